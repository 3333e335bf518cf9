"""The exact half of a DP-4: from steps to the sums of segments, before anything is rounded."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.packed import WORD_COLUMNS_MAX, dot_step_layout, weights_per_word
from lamina.pacq.align import Align, AlignParameters, code_offset
from lamina.pacq.columns import Columns, ColumnsParameters
from lamina.pacq.layouts import segment_layout, summed_layout
from lamina.pacq.operands import Operands, OperandsParameters
from lamina.parameters import check_flag, check_power_of_two, check_range, narrowed
from lamina.select import select_one
from lamina.stream.buffer import Queue, QueueParameters, SkidBufferParameters, sliced

__all__ = ["Sums", "SumsParameters"]


@dataclass(frozen=True, kw_only=True)
class SumsParameters:
    """``trees``, ``index_bits``, ``stages_per_rank``: as of `DotParameters`.

    ``lanes``: columns whose sums leave at once, 1 or 2. ``single``: steps may have one column, see
    `dot_step_layout`.
    """

    trees: int = 2
    index_bits: int = 6
    stages_per_rank: int = 1
    lanes: int = 1
    single: bool = False

    def __post_init__(self):
        check_power_of_two("trees", self.trees, 1, WORD_COLUMNS_MAX)
        check_range("index_bits", self.index_bits, 0, 12)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)
        check_flag("single", self.single)
        _ = self.columns  # whose own checks hold here too

    @property
    def align(self) -> AlignParameters:
        """Parameters of the fixed-point conversion."""
        return AlignParameters(stages_per_rank=self.stages_per_rank, single=self.single)

    @property
    def aligned(self) -> SkidBufferParameters | None:
        """Of the register slice behind the conversion, if every stage has a rank.

        A step waits for its columns; the ranks before would have to know in the same cycle.
        """
        if self.stages_per_rank > 1:
            return None
        return SkidBufferParameters(shape=self.align.output_layout)

    @property
    def operands(self) -> OperandsParameters:
        """Parameters of the spreading over columns."""
        return OperandsParameters(
            trees=self.trees, stages_per_rank=self.stages_per_rank, single=self.single
        )

    @property
    def columns(self) -> ColumnsParameters:
        """Parameters of the trees and accumulators."""
        return narrowed(ColumnsParameters, self)

    @property
    def segments(self) -> QueueParameters:
        """Parameters of the queue of what segments have in common.

        Four: so many one-step segments are on their way at once at a column a cycle.
        """
        return QueueParameters(shape=segment_layout(self.index_bits), depth=4)

    def cycles(self, steps: int, bits: int) -> int:
        """Cycles that a segment of so many steps takes in steady state."""
        columns = min(weights_per_word(bits), self.columns.places)
        return max(steps * self.operands.beats(bits), columns)

    @property
    def latency(self) -> int:
        """Cycles from the last step of a segment to the first of its sums."""
        slices = self.aligned.latency if self.aligned else 0
        return self.align.latency + slices + self.operands.latency + self.columns.latency

    @property
    def throughput(self) -> str:
        """In weights: four per column."""
        return f"{4 * self.trees} products per cycle"

    @property
    def storage_bits(self) -> int:
        """Flip-flops and memory bits of all parts."""
        parts = (self.align, self.aligned, self.operands, self.columns, self.segments)
        column = self.columns.places if self.aligned else 0
        return column + sum(part.storage_bits for part in parts if part)


class Sums(wiring.Component):
    """Adds up four activations times four words of weights a step, for all columns of the words.

    Members
    -------
    i : In(stream) of `dot_step_layout`
    o_0, o_1 : Out(stream) of `summed_layout`
        The sums of each segment in ascending order of columns; of two lanes the second has those
        from the fifth on. Both lanes move together.
    issue : Out
        Operands enter the trees in this cycle.

    Timing: INT4 takes ceil(4 / trees), INT2 ceil(8 / trees), a single column one cycle a step
    without a gap; a segment takes at least as many cycles as it has columns in a lane.

    Numerics: exact, for segments of up to 2^18 activations.
    """

    def __init__(self, parameters: SumsParameters):
        self.parameters = p = parameters
        summed = summed_layout(p.index_bits)
        super().__init__(
            {
                "i": In(stream.Signature(dot_step_layout(p.index_bits, single=p.single))),
                **{f"o_{lane}": Out(stream.Signature(summed)) for lane in range(p.lanes)},
                "issue": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.align = align = Align(p.align)
        m.submodules.operands = operands = Operands(p.operands)
        m.submodules.columns = columns = Columns(p.columns)
        m.submodules.segments = segments = Queue(p.segments)
        aligned = sliced(m, "aligned", align.o, p.aligned)
        wiring.connect(m, aligned, operands.i)
        wiring.connect(m, operands.o, columns.i)

        step = self.i.p
        # What the steps of a segment have in common waits in a queue for the segment's sums.
        # From the slice's register: all ranks before it move then, whatever is in them.
        ready = align.o.ready if p.aligned else align.i.ready
        enters = align.o.ready if p.aligned else Const(1)
        m.d.comb += [
            self.issue.eq(operands.o.valid & operands.o.ready),
            align.i.valid.eq(self.i.valid & enters & (segments.i.ready | ~step.last)),
            segments.i.valid.eq(self.i.valid & step.last & ready),
            self.i.ready.eq(ready & (segments.i.ready | ~step.last)),
            *(align.i.p[name].eq(step[name]) for name in p.align.operands),
        ]
        names = ("scales", "index", "group_first", "group_last", "begin", "end")
        m.d.comb += [segments.i.p[name].eq(step[name]) for name in names]
        for column in range(WORD_COLUMNS_MAX):
            offset = code_offset(step.zeros[column], step.int2)
            m.d.comb += segments.i.p.offsets[column].eq(offset)
        self._leave(m, columns.o, segments.o)
        return m

    def _leave(self, m, sums, segments):
        """Give each lane its column with what the segment says; all take them at once."""
        p = self.parameters
        lanes = [getattr(self, f"o_{lane}") for lane in range(p.lanes)]
        exists = [Const(1), sums.p.int2][: p.lanes]
        names = ("index", "group_first", "group_last", "begin", "end")
        valid, taken = Signal(), Signal()
        free = [o.ready | ~there for o, there in zip(lanes, exists, strict=True)]
        m.d.comb += [
            valid.eq(sums.valid & segments.valid),
            taken.eq(Cat(free).all()),
            # What the segment says is there long before its sums, so that these do not ask for it:
            # hundreds of registers wait for their ready.
            sums.ready.eq(taken),
            segments.ready.eq(taken & sums.valid & sums.p.last),
        ]
        places = p.columns.places
        at = Signal(places, init=1) if p.aligned else None
        if p.aligned:  # the column, one-hot: the register that selects the sums lies far from here
            with m.If(sums.valid & sums.ready):
                m.d.sync += at.eq(Mux(sums.p.last, 1, at << 1))
        for lane, (o, there) in enumerate(zip(lanes, exists, strict=True)):
            own = slice(lane * places, (lane + 1) * places)
            offset, scale = (
                select_one(at, [*values][own]) if p.aligned else values[o.p.sum.column]
                for values in (segments.p.offsets, segments.p.scales)
            )
            others = Cat(*free[:lane], *free[lane + 1 :], Const(1)).all()
            m.d.comb += [
                o.valid.eq(valid & there & others),
                *(o.p[name].eq(segments.p[name]) for name in names),
                o.p.offset.eq(offset),
                o.p.scale.eq(scale),
                *(o.p.sum[name].eq(sums.p.lanes[lane][name]) for name in ("total", "special")),
                *(o.p.sum[name].eq(sums.p[name]) for name in ("row_sum", "last")),
                o.p.sum.column.eq(sums.p.column + lane * places),
            ]
