"""All columns of a step: trees side by side, and their finished sums one after another."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.packed import WORD_COLUMNS_MAX, weights_per_word
from lamina.pacq.column import Column, ColumnParameters
from lamina.pacq.layouts import (
    COLUMN_BITS,
    ROW_SUM_BITS,
    STEP_SUM_BITS,
    TOTAL_BITS,
    column_sums_layout,
    operand_layout,
    special_layout,
)
from lamina.parameters import check_choice, check_power_of_two, check_range
from lamina.select import select_one

__all__ = ["Columns", "ColumnsParameters"]


@dataclass(frozen=True, kw_only=True)
class ColumnsParameters:
    """``trees``: columns of a beat, 1, 2, 4 or 8; ``stages_per_rank`` of the trees.

    ``lanes``: columns whose sums leave at once, 1 or 2. ``single``: steps may have one column, see
    `dot_step_layout`.
    """

    trees: int = 2
    stages_per_rank: int = 1
    lanes: int = 1
    single: bool = False

    def __post_init__(self):
        check_power_of_two("trees", self.trees, 1, WORD_COLUMNS_MAX)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)
        check_choice("lanes", self.lanes, (1, 2))

    @property
    def places(self) -> int:
        """Columns of a lane, which leave one after another."""
        return WORD_COLUMNS_MAX // self.lanes

    def tree(self, number: int) -> ColumnParameters:
        """Return the parameters of one tree."""
        return ColumnParameters(
            phases=WORD_COLUMNS_MAX // self.trees,
            weight_bits=4 if number < weights_per_word(4) else 2,
            stages_per_rank=self.stages_per_rank,
            single=self.single,
        )

    @property
    def latency(self) -> int:
        """Cycles from the last operands of a segment to its first column."""
        return self.tree(0).latency + 1

    @property
    def throughput(self) -> str:
        """Of operands and of results."""
        return f"one beat of operands and {self.lanes} column sum{'s' * (self.lanes > 1)} per cycle"

    @property
    def storage_bits(self) -> int:
        """Flip-flops: trees, row sum, and the sums that wait to leave."""
        trees = sum(self.tree(number).storage_bits for number in range(self.trees))
        beside = 3 + self.single + self.tree(0).phases + STEP_SUM_BITS
        waiting = WORD_COLUMNS_MAX * (TOTAL_BITS + special_layout().size + 1) + ROW_SUM_BITS + 1
        return trees + self.tree(0).latency * beside + ROW_SUM_BITS + waiting + 2 + COLUMN_BITS


class Columns(wiring.Component):
    """Adds the beats of a segment up and puts out its column sums.

    Members
    -------
    i : In(stream) of `operand_layout`
    o : Out(stream) of `column_sums_layout`
        The columns of each segment in ascending order, those of all lanes side by side.

    Timing: a beat a cycle while a segment takes at least as many beats as it has columns in a lane;
    shorter ones wait for the columns of the segment before, which leave at one a cycle and lane.
    """

    def __init__(self, parameters: ColumnsParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(p.trees, single=p.single))),
                "o": Out(stream.Signature(column_sums_layout(p.lanes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        i, o = self.i, self.o
        advance = Signal()
        beat = self._beside_trees(m, advance)
        row_sum, next_row_sum = Signal(signed(ROW_SUM_BITS)), Signal(signed(ROW_SUM_BITS))
        m.d.comb += next_row_sum.eq(Mux(beat.first, 0, row_sum) + beat.step_sum)
        with m.If(advance & beat.starts):
            m.d.sync += row_sum.eq(next_row_sum)

        trees = self._trees(m, advance)
        free = Signal()
        m.d.comb += [
            free.eq(~o.valid | (o.ready & o.p.last)),
            # Later phases find their places free: a step's beats come without a gap, and columns
            # leave no faster than they come.
            advance.eq(free | ~beat.finishes[0]),
            i.ready.eq(advance),
        ]
        leaves = Signal(self.parameters.places, init=1)  # one-hot o.p.column
        # All ranks move where a later phase finishes: no need to ask.
        writes = (free & beat.finishes[0], *beat.finishes[1:])
        self._wait(m, trees, writes, leaves)
        with m.If(free):
            m.d.sync += o.valid.eq(beat.finishes[0])
        with m.If(o.valid & o.ready):
            # Found early, as all ranks wait for the last column.
            columns = (min(weights_per_word(bits), len(leaves)) for bits in (2, 4))
            m.d.sync += [
                o.p.column.eq(o.p.column + 1),
                leaves.eq(leaves << 1),
                o.p.last.eq(Mux(o.p.int2, *(leaves[number - 2] for number in columns))),
            ]
        with m.If(free & beat.finishes[0]):
            m.d.sync += [
                o.p.column.eq(0),
                leaves.eq(1),
                o.p.last.eq(beat.single),
                o.p.row_sum.eq(next_row_sum),
                o.p.int2.eq(beat.int2 & ~beat.single),
            ]
        return m

    def _beside_trees(self, m, advance):
        """Return what goes beside the trees' sums, in as many ranks as these have."""
        i = self.i
        phases = range(self.parameters.tree(0).phases)
        # Decoded early, as all ranks wait for the sums of a segment's first columns.
        values = {
            "first": i.p.first,
            "int2": i.p.int2,
            "single": i.p.single.any(),  # 0 where it has no bit
            "step_sum": i.p.pairs[0].both + i.p.pairs[1].both,
            "starts": i.valid & (i.p.phase == 0),
            "finishes": Cat(i.valid & i.p.last & (i.p.phase == n) for n in phases),
        }
        for rank in range(self.parameters.tree(0).latency):
            before = values
            values = {
                name: Signal(value.shape(), name=f"{name}_{rank}") for name, value in before.items()
            }
            with m.If(advance):
                m.d.sync += [values[name].eq(value) for name, value in before.items()]
        return SimpleNamespace(**values)

    def _trees(self, m, advance):
        i = self.i
        trees = []
        for number in range(self.parameters.trees):
            tree = Column(self.parameters.tree(number))
            m.submodules[f"tree_{number}"] = tree
            shared = ("first", "phase", "pairs", "infinite", "negative", "nan")
            m.d.comb += [getattr(tree, name).eq(i.p[name]) for name in shared]
            m.d.comb += [
                tree.advance.eq(advance),
                tree.valid.eq(i.valid),
                tree.digits.eq(i.p.digits[number]),
                tree.offset.eq(i.p.offsets[number]),
            ]
            trees.append(tree)
        return trees

    def _wait(self, m, trees, writes, leaves):
        """Keep the sums of a finished segment until they have left, one a cycle."""
        layout = data.StructLayout({"total": signed(TOTAL_BITS), "special": special_layout()})
        sums = [Signal(layout, name=f"sum_{n}") for n in range(WORD_COLUMNS_MAX)]
        for column, waiting in enumerate(sums):
            tree = trees[column % len(trees)]
            with m.If(writes[column // len(trees)]):
                m.d.sync += [waiting.total.eq(tree.total), waiting.special.eq(tree.special)]
        places = self.parameters.places
        for number, lane in enumerate(self.o.p.lanes):
            own = sums[number * places : (number + 1) * places]
            m.d.comb += lane.as_value().eq(select_one(leaves, own))
