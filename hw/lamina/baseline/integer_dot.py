"""64 integer products and their sum, two ways: as a plain design has it, and as dense as we can."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.pairs import decode_pair
from lamina.arith.adder_tree import AdderTreeParameters
from lamina.arith.compressor_tree import carry_save
from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.cells import and_or_select
from lamina.formats.anda import GROUP, PAIRS
from lamina.formats.baseline import pair_sums_layout
from lamina.parameters import check_range

__all__ = ["DenseDot", "DenseDotParameters", "PlainDot", "PlainDotParameters"]


@dataclass(frozen=True, kw_only=True)
class _DotParameters(PipelineParameters):
    """``mantissa_bits`` M of an activation, ``entry_bits`` of a weight, and `PipelineParameters`.

    ``hold`` turns 64 activations into what is registered of them, once for all columns;
    ``decode`` turns a column's 64 weights into what meets it.
    """

    mantissa_bits: int
    entry_bits: int

    def __post_init__(self):
        super().__post_init__()
        check_range("mantissa_bits", self.mantissa_bits, 1, 16)
        check_range("entry_bits", self.entry_bits, 2, 9)

    @property
    def results(self):
        # |sum| <= 64 * (2^M - 1) * 2^(entry_bits - 1), and a sign.
        return {"sum": signed(self.mantissa_bits + self.entry_bits + 6)}


class PlainDotParameters(_DotParameters):
    """64 multipliers and an adder tree, left to synthesis. See `_DotParameters`."""

    @property
    def operands(self):
        return {
            "row": data.ArrayLayout(signed(self.mantissa_bits + 1), GROUP),
            "column": data.ArrayLayout(signed(self.entry_bits), GROUP),
        }

    @property
    def stages(self):
        width = self.mantissa_bits + self.entry_bits
        tree = AdderTreeParameters(inputs=GROUP, width=width)
        return (self._multiply, *tree.stages)

    def hold(self, values: list[Value]) -> Value:
        """Return the activations as they are."""
        return Cat(values)

    def decode(self, weights: list[Value]) -> Value:
        """Return the weights as they are."""
        return Cat(weights)

    def _multiply(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        products = []
        rows = data.View(self.operands["row"], x.row)
        columns = data.View(self.operands["column"], x.column)
        for value, weight in zip(rows, columns, strict=True):
            # |value| < 2^M: a product fits one bit less than its factors could fill.
            product = Signal(signed(self.mantissa_bits + self.entry_bits))
            m.d.comb += product.eq(value * weight)
            products.append(product)
        return {"values": Cat(products)}


class DenseDotParameters(_DotParameters):
    """Pair sums selected by weight bits, and full adders placed by hand. See `_DotParameters`."""

    @property
    def operands(self):
        selects = data.ArrayLayout(unsigned(3), self.entry_bits)
        return {
            "row": data.ArrayLayout(pair_sums_layout(self.mantissa_bits), PAIRS),
            "column": data.ArrayLayout(selects, PAIRS),
        }

    @property
    def stages(self):
        return (self._select, _add)

    def hold(self, values: list[Value]) -> Value:
        """Return each pair of activations and its sum."""
        pairs = zip(values[::2], values[1::2], strict=True)
        return Cat(Cat(even, odd, (even + odd)[: len(even) + 1]) for even, odd in pairs)

    def decode(self, weights: list[Value]) -> Value:
        """Return, for each pair of weights and each bit of them, which of the pair have it."""
        return Cat(
            decode_pair(even, odd)
            for pair in zip(weights[::2], weights[1::2], strict=True)
            for even, odd in zip(*pair, strict=True)
        )

    def _select(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        m.submodules.tree = tree = PairTree(self)
        m.d.comb += [tree.row.eq(x.row), tree.column.eq(x.column)]
        return {"sums": tree.sums, "carries": tree.carries}


def _add(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Add the two rows, which are those of -1 - P."""
    return {"sum": ~(x.sums + x.carries)[: len(x.sums)]}


class PairTree(wiring.Component):
    """Select pair sums by weight bits and add them, without a carry that runs: combinational.

    Members
    -------
    row, column : operands of `DenseDotParameters`
    sums, carries : Out
        P = NOT (sums + carries).

    Numerics
    --------
    The select of an entry e of W bits puts out NOT e. With the top bit inverted that is k - e,
    k = 2^(W - 1) - 1, which is not negative and needs no sign extension. The top bit of a weight
    counts negatively: the complement is taken there, k + 1 + e. All that adds to C - P with a
    known C, and with -1 - C to NOT P: nothing has to be negated.
    """

    def __init__(self, parameters: DenseDotParameters):
        self.parameters = p = parameters
        width = p.results["sum"].width
        operands = {name: In(shape) for name, shape in p.operands.items()}
        super().__init__({**operands, "sums": Out(width), "carries": Out(width)})

    def elaborate(self, platform):
        m = Module()
        entry_bits, top = self.parameters.mantissa_bits + 2, self.parameters.entry_bits - 1
        columns = [[] for _ in self.sums]
        known = 0
        for sums, selects in zip(self.row, self.column, strict=True):
            entries = [Signal(signed(entry_bits)) for _ in range(3)]
            pair = (sums.even, sums.odd, sums.both)
            m.d.comb += [entry.eq(value) for entry, value in zip(entries, pair, strict=True)]
            for place, select in enumerate(selects):
                selected = and_or_select(m, platform, list(select), entries)
                for weight, bit in enumerate(selected):
                    inverted = (place == top) != (weight == entry_bits - 1)
                    columns[place + weight].append(~bit if inverted else bit)
                known += (1 << place) * ((1 << entry_bits - 1) - (place != top))
        for weight, column in enumerate(columns):
            if (-1 - known) >> weight & 1:
                column.append(Const(1, 1))
        sums, carries = carry_save(m, platform, columns)
        m.d.comb += [self.sums.eq(sums), self.carries.eq(carries)]
        return m


class PlainDot(Pipeline):
    """Adds 64 products. Parameters: `PlainDotParameters`; see `Pipeline`."""


class DenseDot(Pipeline):
    """Adds 64 products. Parameters: `DenseDotParameters`; see `Pipeline`."""
