"""Column: the weights of one output column, as tables of pair sums."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import delayed
from lamina.formats.anda import GROUP, PAIRS, pair_table_layout
from lamina.parameters import check_flag, check_range

__all__ = ["Column", "ColumnParameters"]


@dataclass(frozen=True, kw_only=True)
class ColumnParameters:
    """``weight_bits`` of a code; ``zero_points``: whether zero points are taken off the codes.

    ``rank``: whether weights wait in a register before their pairs are added.
    """

    weight_bits: int
    zero_points: bool
    rank: bool = False

    def __post_init__(self):
        check_range("weight_bits", self.weight_bits, 2, 8)
        check_flag("zero_points", self.zero_points)
        check_flag("rank", self.rank)

    @property
    def entry_bits(self) -> int:
        """Bits of a weight B = code - zero point."""
        return self.weight_bits + self.zero_points

    @property
    def latency(self) -> int:
        """Cycles from ``codes`` to the new tables."""
        return 1 + self.rank

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one set of weights a cycle"

    @property
    def storage_bits(self) -> int:
        """The tables, and the weights that wait."""
        waiting = GROUP * self.entry_bits if self.rank else 0
        return PAIRS * pair_table_layout(self.entry_bits).size + waiting


class Column(wiring.Component):
    """Hold w0, w1 and w0 + w1 for each pair of weights, shared by all rows of a column.

    Adding the pair here, once per set of weights, saves each plane sum the first level of its
    tree: 2.5 bits per element enter it instead of 4 (INT4).

    Members
    -------
    codes : In(ArrayLayout(signed(weight_bits), GROUP))
    zero : In(signed(weight_bits))
        Ignored without ``zero_points``.
    take : In(1), if there is a rank
        It takes them at this clock edge.
    load : In(1)
        The tables take them, from the rank if there is one, at this clock edge.
    tables : Out(ArrayLayout(pair_table_layout(entry_bits), PAIRS))
        Of B = code - zero, for elements 2p and 2p + 1.
    """

    def __init__(self, parameters: ColumnParameters):
        self.parameters = p = parameters
        super().__init__(
            ({"take": In(1)} if p.rank else {})
            | {
                "codes": In(data.ArrayLayout(signed(p.weight_bits), GROUP)),
                "zero": In(signed(p.weight_bits)),
                "load": In(1),
                "tables": Out(data.ArrayLayout(pair_table_layout(p.entry_bits), PAIRS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        weights = [Signal(signed(self.parameters.entry_bits)) for _ in range(GROUP)]
        for weight, code in zip(weights, self.codes, strict=True):
            m.d.comb += weight.eq(code - self.zero if self.parameters.zero_points else code)
        if self.parameters.rank:
            # A zero point has 64 codes to reach: too far to add pairs in the same cycle.
            weights = [
                delayed(m, coming, self.take, 1, f"weight_{number}")
                for number, coming in enumerate(weights)
            ]
        tables = Signal(self.tables.shape(), reset_less=True)
        m.d.comb += self.tables.eq(tables)
        with m.If(self.load):
            for table, w0, w1 in zip(tables, weights[::2], weights[1::2], strict=True):
                m.d.sync += [table.w0.eq(w0), table.w1.eq(w1), table.both.eq(w0 + w1)]
        return m
