"""One column of the dot product: selects, compressor, exact accumulators."""

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.compressor_tree import compress_rows
from lamina.cells import and_or_select
from lamina.formats.packed import LANES
from lamina.pacq.layouts import (
    PAIR_BITS,
    TERM_BITS,
    TOTAL_BITS,
    pair_layout,
    special_layout,
)
from lamina.parameters import check_choice, check_power_of_two

__all__ = ["Column", "ColumnParameters"]


@dataclass(frozen=True, kw_only=True)
class ColumnParameters:
    """Of one tree of the unit.

    Parameters
    ----------
    phases : int, 1, 2, 4 or 8
        Columns that take turns in the tree, each with an accumulator of its own.
    weight_bits : int, 2 or 4
        Of the widest weights that come here: trees beyond the fourth only meet INT2.
    """

    phases: int = 4
    weight_bits: int = 4

    def __post_init__(self):
        check_power_of_two("phases", self.phases, 1, 8)
        check_choice("weight_bits", self.weight_bits, (2, 4))

    @property
    def step_bits(self) -> int:
        """Width of the sum of four activations times stored codes."""
        return TERM_BITS + (LANES - 1).bit_length() + self.weight_bits

    @property
    def latency(self) -> int:
        """Cycles from operands to the total that holds them."""
        return 1

    @property
    def throughput(self) -> int:
        """Steps of a column per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Flip-flops: the step's sum with its control, and the accumulators."""
        special = special_layout().size
        control = 2 + (self.phases - 1).bit_length()
        return self.step_bits + special + control + self.phases * (TOTAL_BITS + special)


class Column(wiring.Component):
    """Sums activations times stored codes, exactly, for ``phases`` columns in turn.

    Members
    -------
    advance : In
        Both ranks move.
    valid, first, phase : In
        There are operands; they start the sum anew; the accumulator that they belong to.
    pairs, infinite, negative, nan : In
        As in `operand_layout`: minus the activations.
    digits, offset : In
        Stored codes of this column, one per activation, and what they exceed the weights by.
    total, special : Out
        One cycle later, while that rank moves: the sum with these operands in it, in units of 2^-24
        (meaningless if ``special`` has a flag), and what is not a number in it.

    Structure: bit j of the codes of two activations selects 0, one, the other or both of them: one
    AND-OR-INVERT gate per bit of the table, no multiplier. As the table holds -A, the inverted
    select is A - 1; ones below the row make its deficit 1 whatever j. Rows are made unsigned by
    inverting their sign bits, and all that this adds is one constant row.
    """

    def __init__(self, parameters: ColumnParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "advance": In(1),
                "valid": In(1),
                "first": In(1),
                "phase": In(unsigned((p.phases - 1).bit_length())),
                "pairs": In(data.ArrayLayout(pair_layout(), LANES // 2)),
                "infinite": In(LANES),
                "negative": In(LANES),
                "nan": In(1),
                "digits": In(data.ArrayLayout(unsigned(4), LANES)),
                "offset": In(4),
                "total": Out(signed(TOTAL_BITS)),
                "special": Out(special_layout()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        step_sum, step_special = Signal(signed(p.step_bits)), Signal(special_layout())
        valid, first = Signal(), Signal()
        phase = Signal.like(self.phase, name="phase_")
        next_sum = compress_rows(m, platform, self._rows(m, platform), p.step_bits)
        with m.If(self.advance):
            m.d.sync += [
                step_sum.eq(next_sum),
                step_special.eq(self._special()),
                valid.eq(self.valid),
                first.eq(self.first),
                phase.eq(self.phase),
            ]
        totals = Array(Signal(signed(TOTAL_BITS), name=f"total_{n}") for n in range(p.phases))
        specials = Array(
            Signal(special_layout().size, name=f"special_{n}") for n in range(p.phases)
        )
        m.d.comb += [
            self.total.eq(Mux(first, 0, totals[phase]) + step_sum),
            self.special.eq(Mux(first, 0, specials[phase]) | step_special.as_value()),
        ]
        with m.If(self.advance & valid):
            m.d.sync += [totals[phase].eq(self.total), specials[phase].eq(self.special)]
        return m

    def _rows(self, m, platform):
        """Return the selected rows and the constant that makes their sum right."""
        rows, constant = [], 0
        for pair, table in enumerate(self.pairs):
            a, b = self.digits[2 * pair], self.digits[2 * pair + 1]
            for j in range(self.parameters.weight_bits):
                selects = (a[j] & ~b[j], ~a[j] & b[j], a[j] & b[j])
                values = (table.one, table.other, table.both)
                values = [value.as_unsigned() for value in values]
                selected = and_or_select(m, platform, selects, values)
                rows.append(Cat(Const((1 << j) - 1, j), selected[:-1], ~selected[-1]))
                constant += 1 - (1 << (j + PAIR_BITS - 1))
        return [*rows, Const(constant, signed(self.parameters.step_bits))]

    def _special(self):
        """Inf times B: an infinity of the product's sign, or NaN if B is 0."""
        plus, minus, nan = Const(0), Const(0), self.nan
        for lane in range(LANES):
            code, infinite = self.digits[lane], self.infinite[lane]
            zero = code == self.offset
            positive = (code > self.offset) ^ self.negative[lane]
            plus |= infinite & ~zero & positive
            minus |= infinite & ~zero & ~positive
            nan |= infinite & zero
        return Cat(plus, minus, nan)
