"""PacQ's tensor core: four octets, which share the operands of a warp operation."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.cell import Cell
from lamina.formats.tensor import (
    TILE,
    WORDS,
    Flow,
    a_tile_layout,
    b_tile_layout,
    counters_layout,
    element_layout,
    operation_layout,
    word_scales_layout,
)
from lamina.pacq.octet import Octet, OctetParameters
from lamina.pacq.rank import Rank, RankParameters
from lamina.parameters import narrowed
from lamina.stream.buffer import SkidBufferParameters, sliced

__all__ = ["TensorCore", "TensorCoreParameters"]

#: Octets along m and along n.
_HALVES = 2
OCTETS = _HALVES * _HALVES

#: Tiles of an operation at one k.
_TILES = _HALVES * WORDS // TILE

#: What enters an octet, and what leaves each of its write ports.
_ENTERS = {
    "i": operation_layout(),
    "i_a": a_tile_layout(),
    "i_b": b_tile_layout(),
    "i_scales": word_scales_layout(),
}
_LEAVES = element_layout(3)

#: Counters that are not those of all octets together.
_ALONE = ("issue_cycles", "cycles")


@dataclass(frozen=True, kw_only=True)
class TensorCoreParameters:
    """``trees``, ``stages_per_rank`` and ``fp16`` of the octets, see `OctetParameters`."""

    trees: int = 2
    stages_per_rank: int = 1
    fp16: bool = False

    def __post_init__(self):
        _ = self.octet  # whose own checks hold here too

    @property
    def octet(self) -> OctetParameters:
        """Parameters of an octet."""
        return narrowed(OctetParameters, self)

    @property
    def apart(self) -> bool:
        """Whether registers are on the ways into and out of each octet: on FPGAs they are long.

        Of the ways back only those from the write ports have some.
        """
        return self.stages_per_rank == 1

    @property
    def enters(self) -> dict[str, RankParameters]:
        """Of the ranks before an octet, if there are any."""
        return {name: RankParameters(shape=shape) for name, shape in _ENTERS.items()}

    @property
    def leaves(self) -> SkidBufferParameters | None:
        """Of the slice behind a write port of an octet."""
        return SkidBufferParameters(shape=_LEAVES) if self.apart else None

    @property
    def ports(self) -> int:
        """Write ports of all octets."""
        return OCTETS * self.octet.ports

    def cycles(self, bits: int, flow: Flow) -> int:
        """Cycles that an operation takes in steady state."""
        return self.octet.cycles(bits, flow)

    @property
    def latency(self) -> int:
        """Cycles from an operation whose operands are there to the first of its elements."""
        return self.octet.latency + 2 * self.apart

    @property
    def throughput(self) -> str:
        """In weights: four per column and DP-4 unit."""
        return f"{4 * 2 * OCTETS * self.trees} products per cycle"

    @property
    def storage_bits(self) -> int:
        """Octets and the registers around them, sums of counters, and where tiles and scales go."""
        octet = self.octet.storage_bits
        if self.apart:
            octet += sum(part.storage_bits for part in self.enters.values())
            octet += self.octet.ports * self.leaves.storage_bits
        counters, alone = counters_layout(), sum(counters_layout()[name].width for name in _ALONE)
        sums = (1 + _HALVES) * (counters.size - alone) + alone + 1
        return OCTETS * octet + sums + 2 + 2 + 4


class TensorCore(wiring.Component):
    """Multiplies 16 rows of A by 16 x 16 words of B, a warp operation after another.

    Members
    -------
    i : In(stream) of `operation_layout`
    i_a, i_b, i_scales : In(stream) of `a_tile_layout`, `b_tile_layout`, `word_scales_layout`
        An operation's operands: tiles with k ascending, for each k the four of m or n; the scales
        of the sixteen words. Each is written to the registers of the two octets that need it.
    o_0, ... : Out(stream) of `element_layout`
        Elements of C, when the sum over all k is finished: ``parameters.ports`` write ports, those
        of the octets one after another, octets by half of m, then of n.
    counters : Out of `counters_layout`
        Accesses of all octets; issue cycles of one, as all have as many, a few cycles apart; cycles
        in which any of them works.

    Timing and numerics: those of `Octet`, but for registers around the octets, see
    `TensorCoreParameters.apart`. An element that has left is counted four cycles later.

    Source: PacQ (DAC 2025), sections II and III: the warp operation m16n16k16, read as 16 x 16
    words of B, in four octets.
    """

    def __init__(self, parameters: TensorCoreParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(operation_layout())),
                "i_a": In(stream.Signature(a_tile_layout())),
                "i_b": In(stream.Signature(b_tile_layout())),
                "i_scales": In(stream.Signature(word_scales_layout())),
                **{f"o_{n}": Out(stream.Signature(element_layout(4))) for n in range(p.ports)},
                "counters": Out(counters_layout()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        octets = [Cell(Octet, self.parameters.octet) for _ in range(OCTETS)]
        ways = []
        for number, octet in enumerate(octets):
            m.submodules[f"octet_{number}"] = octet
            ways.append({name: self._enter(m, f"{name}_{number}", octet, name) for name in _ENTERS})
            self._leave(m, number, octet)
        self._share(m, self.i, [way["i"] for way in ways], Const(1))
        by_m = [ways[:_HALVES], ways[_HALVES:]]
        by_n = [ways[::_HALVES], ways[1::_HALVES]]
        for name, halves, period in (
            ("i_a", by_m, _TILES),
            ("i_b", by_n, _TILES),
            ("i_scales", by_n, _HALVES * WORDS),
        ):
            self._distribute(m, name, halves, period)
        self._count(m, octets)
        return m

    def _enter(self, m, label, octet, name):
        """Return an octet's input, or that of a rank before it."""
        if not self.parameters.apart:
            return getattr(octet, name)
        m.submodules[label] = rank = Rank(self.parameters.enters[name])
        wiring.connect(m, rank.o, getattr(octet, name))
        return rank.i

    @staticmethod
    def _share(m, source, sinks, enable):
        """Give each beat, if it is for them, to all ``sinks`` at once."""
        ready = Signal(len(sinks))
        m.d.comb += ready.eq(Cat(sink.ready for sink in sinks))
        for number, sink in enumerate(sinks):
            others = Cat(ready[:number], ready[number + 1 :]).all()
            m.d.comb += [sink.valid.eq(source.valid & enable & others), sink.p.eq(source.p)]
        with m.If(enable):
            m.d.comb += source.ready.eq(ready.all())

    def _distribute(self, m, name, halves, period):
        """Give a stream to the octets of either half in turn, half a ``period`` each."""
        source, number = getattr(self, name), Signal(range(period), name=f"number_{name}")
        for half, ways in enumerate(halves):
            self._share(m, source, [way[name] for way in ways], number[-1] == half)
        with m.If(source.valid & source.ready):
            m.d.sync += number.eq(number + 1)

    def _leave(self, m, number, octet):
        """Say of an octet's elements where they are in the whole tile."""
        ports = self.parameters.octet.ports
        m_half, n_half = divmod(number, _HALVES)
        for port in range(ports):
            o = getattr(self, f"o_{number * ports + port}")
            own = sliced(
                m, f"o_{number}_{port}", getattr(octet, f"o_{port}"), self.parameters.leaves
            )
            m.d.comb += [
                o.valid.eq(own.valid),
                own.ready.eq(o.ready),
                o.p.value.eq(own.p.value),
                o.p.column.eq(own.p.column),
                o.p.word.eq(Cat(own.p.word, Const(n_half, 1))),
                o.p.row.eq(Cat(own.p.row, Const(m_half, 1))),
            ]

    def _count(self, m, octets):
        """Add the octets' accesses up."""
        working = Signal()
        m.d.sync += [
            working.eq(Cat(octet.working for octet in octets).any()),
            self.counters.issue_cycles.eq(octets[0].counters.issue_cycles),
            self.counters.cycles.eq(self.counters.cycles + working),
        ]
        for name in self.counters.shape().members:
            if name in _ALONE:
                continue
            # In two steps, as the octets lie apart.
            halves = [Signal.like(self.counters[name], name=f"{name}_{n}") for n in range(_HALVES)]
            for half, own in zip(halves, (octets[:_HALVES], octets[_HALVES:]), strict=True):
                m.d.sync += half.eq(sum(octet.counters[name] for octet in own))
            m.d.sync += self.counters[name].eq(sum(halves))
