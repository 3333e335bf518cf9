"""All columns of a step: trees side by side, and their finished sums one after another."""

from dataclasses import dataclass

from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.packed import WORD_COLUMNS_MAX, weights_per_word
from lamina.pacq.column import Column, ColumnParameters
from lamina.pacq.layouts import (
    ROW_SUM_BITS,
    STEP_SUM_BITS,
    TOTAL_BITS,
    column_sum_layout,
    operand_layout,
    phase_bits,
    special_layout,
)
from lamina.parameters import check_power_of_two

__all__ = ["Columns", "ColumnsParameters"]


@dataclass(frozen=True, kw_only=True)
class ColumnsParameters:
    """``trees``: columns of a beat, 1, 2, 4 or 8."""

    trees: int = 2

    def __post_init__(self):
        check_power_of_two("trees", self.trees, 1, WORD_COLUMNS_MAX)

    def tree(self, number: int) -> ColumnParameters:
        """Return the parameters of one tree."""
        return ColumnParameters(
            phases=WORD_COLUMNS_MAX // self.trees,
            weight_bits=4 if number < weights_per_word(4) else 2,
        )

    @property
    def latency(self) -> int:
        """Cycles from the last operands of a segment to its first column."""
        return 2

    @property
    def throughput(self) -> str:
        """Of operands and of results."""
        return "one beat of operands and one column sum per cycle"

    @property
    def storage_bits(self) -> int:
        """Flip-flops: trees, row sum, and the sums that wait to leave."""
        trees = sum(self.tree(number).storage_bits for number in range(self.trees))
        control = 4 + phase_bits(self.trees)
        waiting = WORD_COLUMNS_MAX * (TOTAL_BITS + special_layout().size) + ROW_SUM_BITS + 1
        return trees + control + STEP_SUM_BITS + ROW_SUM_BITS + waiting + 1 + 3


class Columns(wiring.Component):
    """Adds the beats of a segment up and puts out its column sums.

    Members
    -------
    i : In(stream) of `operand_layout`
    o : Out(stream) of `column_sum_layout`
        The columns of each segment in ascending order.

    Timing: a beat a cycle while a segment takes at least as many beats as it has columns; shorter
    ones wait for the columns of the segment before, which leave at one a cycle.
    """

    def __init__(self, parameters: ColumnsParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(p.trees))),
                "o": Out(stream.Signature(column_sum_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        i, o = self.i, self.o
        advance, valid = Signal(), Signal()
        control = {name: Signal.like(i.p[name], name=name) for name in ("first", "last", "int2")}
        phase, step_sum = Signal.like(i.p.phase, name="phase"), Signal(signed(STEP_SUM_BITS))
        with m.If(advance):
            m.d.sync += [valid.eq(i.valid), phase.eq(i.p.phase)]
            m.d.sync += [signal.eq(i.p[name]) for name, signal in control.items()]
            m.d.sync += step_sum.eq(i.p.pairs[0].both + i.p.pairs[1].both)

        starts_step = phase == 0
        row_sum, next_row_sum = Signal(signed(ROW_SUM_BITS)), Signal(signed(ROW_SUM_BITS))
        m.d.comb += next_row_sum.eq(Mux(control["first"], 0, row_sum) + step_sum)
        with m.If(advance & valid & starts_step):
            m.d.sync += row_sum.eq(next_row_sum)

        trees = self._trees(m, advance)
        leaving = Signal()
        finishing = valid & control["last"]
        m.d.comb += [
            leaving.eq(o.valid & o.ready & o.p.last),
            # Later phases find their places free: a step's beats come without a gap, and columns
            # leave no faster than they come.
            advance.eq(~(finishing & starts_step & o.valid) | leaving),
            i.ready.eq(advance),
        ]
        self._wait(m, trees, phase, advance & finishing)
        with m.If(leaving):
            m.d.sync += o.valid.eq(0)
        with m.If(o.valid & o.ready):
            m.d.sync += o.p.column.eq(o.p.column + 1)
        int2 = Signal()
        m.d.comb += o.p.last.eq(
            o.p.column == Mux(int2, weights_per_word(2) - 1, weights_per_word(4) - 1)
        )
        with m.If(advance & finishing & starts_step):
            m.d.sync += [
                o.valid.eq(1),
                o.p.column.eq(0),
                o.p.row_sum.eq(next_row_sum),
                int2.eq(control["int2"]),
            ]
        return m

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

    def _wait(self, m, trees, phase, load):
        """Keep the sums of a finished segment until they have left, one a cycle."""
        totals = Array(
            Signal(signed(TOTAL_BITS), name=f"total_{n}") for n in range(WORD_COLUMNS_MAX)
        )
        specials = Array(
            Signal(special_layout(), name=f"special_{n}") for n in range(WORD_COLUMNS_MAX)
        )
        for column, (total, special) in enumerate(zip(totals, specials, strict=True)):
            tree = trees[column % len(trees)]
            with m.If(load & (phase == column // len(trees))):
                m.d.sync += [total.eq(tree.total), special.eq(tree.special)]
        m.d.comb += [
            self.o.p.total.eq(totals[self.o.p.column]),
            self.o.p.special.eq(specials[self.o.p.column]),
        ]
