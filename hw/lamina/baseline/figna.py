"""FIGNA: groups of aligned integers times columns of integer weights, all bits at once."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal

from lamina.arith.pipeline import delayed
from lamina.baseline.integer_dot import DenseDot, DenseDotParameters, PlainDot, PlainDotParameters
from lamina.baseline.integer_element import IntegerElement, IntegerElementParameters
from lamina.cell import Cell
from lamina.formats.anda import GROUP
from lamina.parameters import check_choice

__all__ = ["Figna", "FignaParameters"]

_STRUCTURES = {
    "plain": (PlainDot, PlainDotParameters),
    "dense": (DenseDot, DenseDotParameters),
}


@dataclass(frozen=True, kw_only=True)
class FignaParameters(IntegerElementParameters):
    """As `IntegerElementParameters`; ``structure`` of the sum: "plain" or "dense".

    ``stages_per_rank``: plain has 7 stages, dense 2.
    """

    structure: str = "plain"

    def __post_init__(self):
        super().__post_init__()
        check_choice("structure", self.structure, tuple(_STRUCTURES))

    @property
    def steps(self) -> int:
        """Cycles per group."""
        return 1

    @property
    def dot(self) -> PlainDotParameters | DenseDotParameters:
        """Parameters of each column's sum."""
        return _STRUCTURES[self.structure][1](
            mantissa_bits=self.mantissa_bits,
            entry_bits=self.entry_bits,
            stages_per_rank=self.stages_per_rank,
        )

    @property
    def latency(self) -> int:
        """Cycles from a group accepted to its sums valid."""
        return 1 + self.dot.latency + self.slice_latency

    @property
    def storage_bits(self) -> int:
        """Operands, pair sums if there are any, the sums of all columns, what goes beside them."""
        pair_sums = self.dot.operands["row"].size - GROUP * (self.mantissa_bits + 1)
        dots = self.columns * self.dot.storage_bits + self.dot.latency * self.beside_layout.size
        return 1 + self.operand_bits + pair_sums + dots


class Figna(IntegerElement):
    """Multiply groups of 64 integers by columns of 64 weights, bit-parallel: one group a cycle.

    Ports and numerics: `IntegerElement`.

    Timing
    ------
    One group a cycle, new weights included; ``parameters.latency`` cycles. All ranks of the sums
    advance together, whenever ``o`` is free or is being read.

    Source: FIGNA (HPCA 2024), as the Anda paper compares with it: integers of a preset mantissa
    length after a conversion of FP16 that the elements of a row share.
    """

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        advance, valid, summing = Signal(), Signal(), Signal()
        take, load = self._admit(m, advance)
        with m.If(advance):
            m.d.sync += valid.eq(take)
        row = Signal(p.dot.operands["row"], reset_less=True)
        with m.If(take):
            m.d.sync += row.eq(p.dot.hold(list(self.i.payload.values)))
        results = self._results(m)
        dots = [self._add_column(m, index, row, load) for index in range(p.columns)]
        for dot in dots:
            m.d.comb += [dot.i.valid.eq(valid & advance), dot.o.ready.eq(results.ready)]
        m.d.comb += [
            summing.eq(dots[0].i.ready),
            # A slice is ready before anything is in it: the operands move on by its word alone.
            advance.eq(results.ready if p.slice else summing),
            results.valid.eq(dots[0].o.valid),
        ]
        beside = delayed(m, self._describe(m, take, load), summing, p.dot.latency)
        self._put_out(m, results.payload, [dot.o.payload.sum for dot in dots], beside)
        return m

    def _add_column(self, m, index, row, load):
        """Add one column's weights and the sum over them."""
        dot = Cell(_STRUCTURES[self.parameters.structure][0], self.parameters.dot)
        m.submodules[f"dot_{index}"] = dot
        entries = self._entries(m, index)
        weights = [Signal.like(entry, reset_less=True) for entry in entries]
        with m.If(load):
            m.d.sync += [held.eq(entry) for held, entry in zip(weights, entries, strict=True)]
        m.d.comb += [
            dot.i.payload.row.eq(row),
            dot.i.payload.column.eq(self.parameters.dot.decode(weights)),
        ]
        return dot
