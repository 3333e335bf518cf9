"""An octet of PacQ's tensor core: two DP-4 units, their operand buffers and registers."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.packed import WORD_COLUMNS_MAX, weights_per_word
from lamina.formats.tensor import (
    TILE,
    WORDS,
    Flow,
    a_tile_layout,
    b_tile_layout,
    columns_of,
    counters_layout,
    element_layout,
    operation_layout,
    word_scales_layout,
)
from lamina.pacq.fp16_lane import Fp16Lane, Fp16LaneParameters
from lamina.pacq.fragments import Fragments, FragmentsParameters
from lamina.pacq.issue import DPS, INDEX_BITS, Issue, IssueParameters, octet_step_layout
from lamina.pacq.panels import Panels, PanelsParameters
from lamina.pacq.rank import Rank, RankParameters
from lamina.pacq.sums import Sums, SumsParameters
from lamina.pacq.tail import Tail, TailParameters
from lamina.parameters import check_flag, check_power_of_two, check_range

__all__ = ["Octet", "OctetParameters"]


@dataclass(frozen=True, kw_only=True)
class OctetParameters:
    """``trees``: columns that a DP-4 retires a cycle, 1, 2, 4 or 8; ``stages_per_rank`` of it.

    ``fp16``: there is a lane for FP16 weights as well.
    """

    trees: int = 2
    stages_per_rank: int = 1
    fp16: bool = False

    def __post_init__(self):
        check_power_of_two("trees", self.trees, 1, WORD_COLUMNS_MAX)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)
        check_flag("fp16", self.fp16)

    @property
    def fragments(self) -> FragmentsParameters:
        """Parameters of the octet's part of the register file."""
        return FragmentsParameters()

    @property
    def panels(self) -> dict[str, PanelsParameters]:
        """Parameters of the operand buffers."""
        rank = self.stages_per_rank == 1
        return {operand: PanelsParameters(operand=operand, rank=rank) for operand in "ab"}

    @property
    def issue(self) -> IssueParameters:
        """Parameters of the sequencer."""
        return IssueParameters()

    @property
    def step(self) -> RankParameters:
        """Parameters of the rank before the DP-4 units."""
        return RankParameters(shape=octet_step_layout(), cut=self.stages_per_rank == 1)

    @property
    def sums(self) -> SumsParameters:
        """Parameters of a DP-4's exact half.

        A segment has four steps: with eight trees its columns leave two at a time.
        """
        return SumsParameters(
            trees=self.trees,
            index_bits=INDEX_BITS,
            stages_per_rank=self.stages_per_rank,
            lanes=max(1, self.trees // 4),
            single=True,
        )

    @property
    def tail(self) -> TailParameters:
        """Parameters of a rounding half: up to two trees one is enough for both units."""
        return TailParameters(
            index_bits=INDEX_BITS,
            sources=1 if self.trees > 2 else DPS,
            stages_per_rank=self.stages_per_rank,
        )

    @property
    def tails(self) -> int:
        """Rounding halves of words: elements of C that leave at once."""
        return DPS * self.sums.lanes // self.tail.sources

    @property
    def fp16_lane(self) -> Fp16LaneParameters:
        """Parameters of the lane for FP16 weights."""
        return Fp16LaneParameters(index_bits=INDEX_BITS, stages_per_rank=self.stages_per_rank)

    @property
    def ports(self) -> int:
        """Write ports: one for each rounding half, the last for FP16 weights."""
        return self.tails + self.fp16

    def cycles(self, bits: int, flow: Flow) -> int:
        """Cycles that an operation takes in steady state, which are all issue cycles."""
        beats = {
            Flow.PACKED_N: self.sums.operands.beats(bits),
            Flow.PACKED_K: weights_per_word(bits),
            Flow.FP16: 1,
        }
        return 2 * WORDS * WORDS * beats[flow]

    @property
    def latency(self) -> int:
        """Cycles from an operation whose operands are there to the first of its elements.

        Four steps of one column, the shortest segment, are counted in.
        """
        ways = (self.panels["a"], self.issue, self.step, self.sums, self.tail)
        return self.fragments.operations.latency + sum(part.latency for part in ways) + 3

    @property
    def throughput(self) -> str:
        """In weights: four per column and unit."""
        return f"{4 * DPS * self.trees} products per cycle"

    @property
    def storage_bits(self) -> int:
        """Flip-flops and memory bits of all parts."""
        parts = [self.fragments, *self.panels.values(), self.issue, self.step]
        parts += [self.sums] * DPS + [self.tail] * self.tails + [self.fp16_lane] * self.fp16
        return sum(part.storage_bits for part in parts) + counters_layout().size + 7 + 4 + 25


class Octet(wiring.Component):
    """Multiplies 8 rows of A by 8 words of columns, k = 16 words, an operation after another.

    Members
    -------
    i : In(stream) of `operation_layout`
    i_a, i_b, i_scales : In(stream) of `a_tile_layout`, `b_tile_layout`, `word_scales_layout`
        An operation's operands on their way to the register file, see `Fragments`. Those of the
        next operation may come while one is worked on.
    o_0, ... : Out(stream) of `element_layout`
        Elements of C, when the sum over all k is finished. ``parameters.ports`` write ports.
    issue, working : Out
        Operands enter the trees; there is an operation under way.
    counters : Out of `counters_layout`
        Of all that happened until the cycle before.

    Timing: ``parameters.cycles`` per operation, without a gap between operations.

    Numerics: that of `Dot` and `ScaleAccumulate`, whatever the flow: the exact sum over a scale
    group, in however many operations, rounded once to FP32, scaled, accumulated in FP32.

    Source: PacQ (DAC 2025), sections II and III; see docs/modules/pacq.md for what it leaves open.
    """

    def __init__(self, parameters: OctetParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(operation_layout())),
                "i_a": In(stream.Signature(a_tile_layout())),
                "i_b": In(stream.Signature(b_tile_layout())),
                "i_scales": In(stream.Signature(word_scales_layout())),
                **{f"o_{n}": Out(stream.Signature(element_layout(3))) for n in range(p.ports)},
                "issue": Out(1),
                "working": Out(1),
                "counters": Out(counters_layout()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.fragments = fragments = Fragments(p.fragments)
        m.submodules.issue = issue = Issue(p.issue)
        m.submodules.step = step = Rank(p.step)
        for name in ("i", "i_a", "i_b", "i_scales"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(fragments, name))
        for operand in "ab":
            self._panels(m, operand, fragments, issue)
        wiring.connect(m, fragments.o_issue, issue.i)
        wiring.connect(m, issue.o, step.i)
        m.d.comb += [
            fragments.release.eq(issue.release),
            fragments.scales_enable.eq(issue.scales_enable),
            fragments.scales_address.eq(issue.scales_address),
            issue.scales_data.eq(fragments.scales_data),
        ]
        units = self._units(m, step.o)
        self._tails(m, units)
        ports = [getattr(self, f"o_{n}") for n in range(p.ports)]
        self._count(m, fragments, issue, Cat(o.valid & o.ready for o in ports))
        return m

    def _panels(self, m, operand, fragments, issue):
        """Set an operand's buffer between the register file and the sequencer."""
        m.submodules[f"panels_{operand}"] = panels = Panels(self.parameters.panels[operand])
        wiring.connect(m, getattr(fragments, f"o_{operand}"), panels.i)
        m.d.comb += [
            getattr(fragments, f"{operand}_enable").eq(panels.fragment_enable),
            getattr(fragments, f"{operand}_address").eq(panels.fragment_address),
            panels.fragment_data.eq(getattr(fragments, f"{operand}_data")),
            getattr(issue, f"{operand}_there").eq(panels.there),
            panels.release.eq(getattr(issue, f"{operand}_release")),
            panels.read_enable.eq(getattr(issue, f"{operand}_enable")),
            panels.read_address.eq(getattr(issue, f"{operand}_address")),
            getattr(issue, f"{operand}_data").eq(panels.read_data),
        ]

    def _units(self, m, step):
        """Give each step to both units at once, FP16 weights to the lane for them."""
        units = []
        for number in range(DPS):
            m.submodules[f"dp_{number}"] = unit = Sums(self.parameters.sums)
            units.append(unit)
            m.d.comb += [
                unit.i.p.a.eq(step.p[f"a_{number}"]),
                *(
                    unit.i.p[name].eq(step.p[name])
                    for name in unit.i.p.shape().members
                    if name != "a"
                ),
            ]
        words = ~step.p.fp16 if self.parameters.fp16 else Const(1)
        self._both(m, step, [unit.i for unit in units], words)
        m.d.comb += self.issue.eq(units[0].issue)
        if self.parameters.fp16:
            self._fp16(m, step)
        return units

    @staticmethod
    def _both(m, step, streams, enable):
        for stream_, other in zip(streams, reversed(streams), strict=True):
            m.d.comb += stream_.valid.eq(step.valid & enable & other.ready)
        with m.If(enable):
            m.d.comb += step.ready.eq(Cat(stream_.ready for stream_ in streams).all())

    def _fp16(self, m, step):
        """Add the lane for FP16 weights, which are issued when they enter it."""
        m.submodules.fp16_lane = lane = Fp16Lane(self.parameters.fp16_lane)
        streams = [lane.i_0, lane.i_1]
        for number, into in enumerate(streams):
            beside = into.p.beside
            m.d.comb += [
                into.p.a.eq(step.p[f"a_{number}"]),
                into.p.b.eq(step.p.words),
                beside.scale.eq(step.p.scales[0]),
                *(
                    beside[name].eq(step.p[name])
                    for name in beside.shape().members
                    if name != "scale"
                ),
            ]
        self._both(m, step, streams, step.p.fp16)
        with m.If(step.p.fp16 & step.valid & step.ready):
            m.d.comb += self.issue.eq(1)
        o = getattr(self, f"o_{self.parameters.tails}")
        self._place(m, o, lane.o, Cat(Const(0, 3), lane.o.p.index[:-1]), lane.o.p.index[-1])

    def _tails(self, m, units):
        """Round, scale and accumulate."""
        p = self.parameters
        lanes = range(p.sums.lanes)
        sums = [(dp, getattr(unit, f"o_{n}")) for dp, unit in enumerate(units) for n in lanes]
        for number in range(p.tails):
            m.submodules[f"tail_{number}"] = tail = Tail(p.tail)
            own = sums[number * p.tail.sources :][: p.tail.sources]
            for source, (_, summed) in enumerate(own):
                wiring.connect(m, summed, getattr(tail, f"i_{source}"))
            index = tail.o.p.index
            # The number of the unit, which a shared tail adds to the index.
            dp = index[-1] if p.tail.sources > 1 else Const(own[0][0], 1)
            self._place(m, getattr(self, f"o_{number}"), tail.o, index, dp)

    @staticmethod
    def _place(m, o, result, index, dp):
        """Say of a result where it is: ``index`` within the unit ``dp``."""
        column, word, n_tile, row, m_tile = index[:3], index[3:5], index[5], index[6], index[7]
        m.d.comb += [
            o.valid.eq(result.valid),
            result.ready.eq(o.ready),
            o.p.value.eq(result.p.value),
            o.p.column.eq(column),
            o.p.word.eq(Cat(word, n_tile)),
            o.p.row.eq(Cat(row, dp, m_tile)),
        ]

    def _count(self, m, fragments, issue, taken):
        """Count accesses, and elements that are still to leave."""
        operation, counters = issue.i.p, self.counters
        elements, owed, due = Signal(range(TILE * TILE)), Signal(12), Signal(12)
        leaving = sum(taken)
        finishes = issue.release & operation.group_last & operation.end
        all_elements, finished = Signal(5), Signal()
        m.d.comb += [
            all_elements.eq(elements + leaving),
            self.working.eq((fragments.held != 0) | finished | (owed != 0)),
        ]
        m.d.sync += [
            finished.eq(finishes),
            due.eq(columns_of(operation) * WORDS * WORDS),
            owed.eq(owed + Mux(finished, due, 0) - leaving),
            elements.eq(all_elements),
        ]
        steps = issue.taken
        for name, event, accesses in (
            ("register_file_a", fragments.a_enable, 1),
            ("register_file_b", fragments.b_enable, 1),
            ("register_file_c", all_elements[-1], 1),
            ("buffer_a", steps, DPS),
            ("buffer_b", steps, 1),
            ("issue_cycles", self.issue, 1),
            ("cycles", self.working, 1),
        ):
            # What happens is known too late to move a carry along 32 bits.
            happened = Signal(name=f"{name}_event")
            counted = counters[name] + Mux(happened, accesses, 0)
            m.d.sync += [happened.eq(event), counters[name].eq(counted)]
