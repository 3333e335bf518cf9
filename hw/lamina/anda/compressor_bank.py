"""Compressor bank: lanes that turn groups of values into what an engine takes as activations."""

from dataclasses import dataclass
from functools import reduce
from operator import and_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.compressor_lane import CompressorLane, CompressorLaneParameters
from lamina.cell import Cell
from lamina.formats.anda import FORMATS, MANTISSA_BITS_MAX, bank_values_layout
from lamina.formats.engine import plane_words_layout
from lamina.parameters import check_choice, check_range, narrowed
from lamina.stream.buffer import SkidBufferParameters, sliced

__all__ = ["CompressorBank", "CompressorBankParameters"]


@dataclass(frozen=True, kw_only=True)
class CompressorBankParameters:
    """``lanes``: compressors, 1 to 64. ``rows``, ``planes``: as of the engine that takes the beats;
    ``lanes`` must be a multiple or a divisor of ``rows``. ``groups`` of a beat of values, a divisor
    of both. ``format`` of the values, "fp16" or "bf16". ``stages_per_rank``: as of
    `CompressorParameters`.

    The default fits the default engine; 16 lanes for 8 rows have ports of 1,024 bits, and are as
    many as one group a cycle needs at M = 16.
    """

    lanes: int = 2
    rows: int = 2
    planes: int = 2
    groups: int = 1
    format: str = "fp16"
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("lanes", self.lanes, 1, 64)
        check_range("rows", self.rows, 1, 64)
        check_choice("planes", self.planes, (1, 2, 4))
        check_range("groups", self.groups, 1, 64)
        check_choice("format", self.format, tuple(FORMATS))
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)
        if self.lanes % self.rows and self.rows % self.lanes:
            raise ValueError(
                f"lanes must be a multiple or a divisor of rows, {self.rows}, not {self.lanes}."
            )
        if self.lanes % self.groups or self.rows % self.groups:
            raise ValueError(
                f"groups must be a divisor of lanes, {self.lanes}, and of rows, {self.rows}, "
                f"not {self.groups}."
            )

    @property
    def round(self) -> int:
        """Groups of a round: in one, each lane and each row has its turn."""
        return max(self.lanes, self.rows)

    def beats(self, mantissa_bits: int) -> int:
        """Beats that a set takes, one group of each row."""
        return self.lane.beats(mantissa_bits)

    def cycles(self, mantissa_bits: int) -> int:
        """Cycles that `round` groups take in steady state: of the port of values, of the lanes, or
        of the port of planes, whichever takes longest.
        """
        return max(
            self.round // self.groups,
            self.round // self.lanes * self.lane.cycles(mantissa_bits),
            self.round // self.rows * self.beats(mantissa_bits),
        )

    @property
    def lane(self) -> CompressorLaneParameters:
        """Parameters of each lane."""
        return narrowed(CompressorLaneParameters, self, queues=self.round // self.lanes)

    @property
    def slices(self) -> tuple[SkidBufferParameters, SkidBufferParameters]:
        """Parameters of the register slices before and behind the lanes."""
        shapes = bank_values_layout(self.groups), plane_words_layout(self.rows, self.planes)
        before, behind = (SkidBufferParameters(shape=shape) for shape in shapes)
        return before, behind

    @property
    def latency(self) -> int:
        """Cycles from the last group of the first set accepted to its first beat valid, if a lane
        has but one group of a set, and planes fill the beat.
        """
        return self.lane.latency + sum(part.latency for part in self.slices)

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return (
            f"{self.groups} groups, or {self.rows * self.planes} words, a cycle; in each lane "
            + self.lane.throughput
        )

    @property
    def storage_bits(self) -> int:
        """The lanes, the slices, whose turn it is, and what belongs to a set."""
        slices = sum(part.storage_bits for part in self.slices)
        turns = self.round // self.groups + self.round // self.rows
        return self.lanes * self.lane.storage_bits + slices + turns + 6


class CompressorBank(wiring.Component):
    """Compress groups in order, and give them out as an engine takes them.

    ``rows`` groups that follow each other are a set: one group of each row, which an engine takes
    in lockstep. Group g is compressed by lane g mod ``lanes``.

    Members
    -------
    i : In(stream of `bank_values_layout` (groups))
        Groups in the order of `lamina_sim.perf.anda.activation_order`, those of rows 0 to
        ``rows`` - 1 for each entry there. M and rounding are those of the set's first beat; an M
        of 0 counts as 1, one above 16 as 16.
    o : Out(stream of `plane_words_layout` (rows, planes))
        ceil((M + 1) / ``planes``) beats for each set; to be joined to ``i_activations`` of an
        engine. Exponents are in all beats of the set.

    Timing
    ------
    max(``lanes``, ``rows``) groups take ``parameters.cycles(M)`` cycles. A lane keeps whole groups
    until the others of the set are there, so that the next ones are compressed meanwhile.

    Numerics
    --------
    As of `Compressor`: `golden.anda.encode` and `to_beats` bit for bit.

    Source: Anda, HPCA 2025, section IV: bit-plane compressor of 16 lanes of 64, serial-to-parallel
    FIFO and data packager.
    """

    def __init__(self, parameters: CompressorBankParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(bank_values_layout(p.groups))),
                "o": Out(stream.Signature(plane_words_layout(p.rows, p.planes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        before, behind = p.slices
        source = sliced(m, "taken", wiring.flipped(self.i), before)
        lanes = [Cell(CompressorLane, p.lane) for _ in range(p.lanes)]
        for number, lane in enumerate(lanes):
            m.submodules[f"lane_{number}"] = lane
        self._deal(m, source, lanes)
        # Queue q of a round is that of its group q.
        queues = [
            getattr(lanes[group % p.lanes], f"o_{group // p.lanes}") for group in range(p.round)
        ]
        joined = self._join(m, [queues[k : k + p.rows] for k in range(0, p.round, p.rows)])
        out = sliced(m, "given", joined, behind)
        wiring.connect(m, out, wiring.flipped(self.o))
        return m

    def _deal(self, m, source, lanes):
        """Give the groups of each beat to the lanes whose turn it is."""
        p = self.parameters
        turn = Signal(p.round // p.groups, init=1)
        begins, asked = Signal(), source.payload.mantissa_bits
        kind, kept = Signal(6), Signal(6, reset_less=True)  # M and rounding
        most = MANTISSA_BITS_MAX
        limited = Mux(asked > most, most, Cat(asked[0] | ~asked.any(), asked[1:]))
        m.d.comb += [
            begins.eq(turn[:: p.rows // p.groups].any()),
            kind.eq(Mux(begins, Cat(limited[:5], source.payload.rounding), kept)),
        ]
        with m.If(source.valid & source.ready):
            m.d.sync += [turn.eq(turn.rotate_left(1)), kept.eq(kind)]
        ready = 0
        for number, lane in enumerate(lanes):
            chosen = turn[number // p.groups :: p.lanes // p.groups].any()
            m.d.comb += [
                lane.i.payload["values"].eq(source.payload["values"][number % p.groups]),
                Cat(lane.i.payload.mantissa_bits, lane.i.payload.rounding).eq(kind),
                lane.i.valid.eq(source.valid & chosen),
            ]
            # Lanes that get groups of the same beats do the same at all times.
            if number % p.groups == 0:
                ready |= chosen & lane.i.ready
        m.d.comb += source.ready.eq(ready)

    def _join(self, m, sets):
        """Return the stream of the queues of each of ``sets`` in turn, a group of all at a time."""
        p = self.parameters
        joined = stream.Signature(plane_words_layout(p.rows, p.planes)).create()
        turn = Signal(len(sets), init=1)
        last, payload, valid = 0, 0, 0
        for mine, queues in zip(turn, sets, strict=True):
            complete = Signal()
            m.d.comb += complete.eq(mine & reduce(and_, (queue.valid for queue in queues)))
            m.d.comb += [queue.ready.eq(complete & joined.ready) for queue in queues]
            valid |= complete
            last |= mine & queues[0].payload.last
            words = Cat(*(queue.payload.words for queue in queues))
            exponents = Cat(*(queue.payload.exponent for queue in queues))
            beat = Cat(words, exponents)
            payload |= beat & mine.replicate(len(beat)) if len(sets) > 1 else beat
        m.d.comb += [joined.valid.eq(valid), joined.payload.as_value().eq(payload)]
        if len(sets) > 1:
            with m.If(joined.valid & joined.ready & last):
                m.d.sync += turn.eq(turn.rotate_left(1))
        return joined
