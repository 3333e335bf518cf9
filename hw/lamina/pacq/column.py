"""One column of the dot product: selects, compressor, exact accumulators."""

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.compressor_tree import compress_rows, reduce_rows
from lamina.cells import and_or_select
from lamina.formats.packed import LANES
from lamina.pacq.layouts import (
    PAIR_BITS,
    TERM_BITS,
    TOTAL_BITS,
    pair_layout,
    special_layout,
)
from lamina.parameters import check_choice, check_power_of_two, check_range

__all__ = ["Column", "ColumnParameters"]

#: Rows in the rank within the tree: as deep before it as behind, where a carry chain is.
_RANK_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class ColumnParameters:
    """Of one tree of the unit.

    Parameters
    ----------
    phases : int, 1, 2, 4 or 8
        Columns that take turns in the tree, each with an accumulator of its own.
    weight_bits : int, 2 or 4
        Of the widest weights that come here: trees beyond the fourth only meet INT2.
    stages_per_rank : int, 1 to 16
        1, for FPGAs: there is a rank of registers within the tree, else none.
    single : bool
        Steps may have one column only: then operands of one phase follow each other.
    """

    phases: int = 4
    weight_bits: int = 4
    stages_per_rank: int = 1
    single: bool = False

    def __post_init__(self):
        check_power_of_two("phases", self.phases, 1, 8)
        check_choice("weight_bits", self.weight_bits, (2, 4))
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def step_bits(self) -> int:
        """Width of the sum of four activations times stored codes."""
        return TERM_BITS + (LANES - 1).bit_length() + self.weight_bits

    @property
    def split(self) -> bool:
        """Whether there is a rank within the tree."""
        return self.stages_per_rank == 1

    @property
    def early(self) -> bool:
        """Whether the sum so far is read a rank early: then the step before has another phase.

        With ``single`` it may have the same; then its sum is taken as it is made.
        """
        return self.split and self.phases >= 4

    @property
    def latency(self) -> int:
        """Cycles from operands to the total that holds them."""
        return 1 + self.split

    @property
    def throughput(self) -> int:
        """Steps of a column per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Flip-flops: the step's sum or rows, control beside them, and the accumulators."""
        special = special_layout().size
        beside = special + 1 + (self.phases - 1).bit_length()
        bits = self.step_bits + beside + self.phases * (1 + TOTAL_BITS + special)
        bits += self.split * (_RANK_ROWS * self.step_bits + beside + 1)
        return bits + self.early * (TOTAL_BITS + special)


class Column(wiring.Component):
    """Sums activations times stored codes, exactly, for ``phases`` columns in turn.

    Members
    -------
    advance : In
        All ranks move.
    valid, first, phase : In
        There are operands; they start the sum anew; the accumulator that they belong to.
    pairs, infinite, negative, nan : In
        As in `operand_layout`: minus the activations.
    digits, offset : In
        Stored codes of this column, one per activation, and what they exceed the weights by.
    total, special : Out
        ``parameters.latency`` cycles later, while that rank moves: the sum with these operands in
        it, in units of 2^-24 (meaningless if ``special`` has a flag), and what is not a number.

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
        totals = Array(Signal(signed(TOTAL_BITS), name=f"total_{n}") for n in range(p.phases))
        specials = Array(
            Signal(special_layout().size, name=f"special_{n}") for n in range(p.phases)
        )
        rows = self._rows(m, platform)
        beat = {"special": self._special(), "first": self.first, "phase": self.phase}
        valid = self.valid
        if p.split:
            rows = reduce_rows(m, platform, rows, p.step_bits, _RANK_ROWS)
            rows = self._rank(m, "rows", {str(n): row for n, row in enumerate(rows)}).values()
            beat = self._rank(m, "tree", beat | {"valid": valid})
            valid = beat.pop("valid")
        written = Signal(p.phases)
        if p.early:
            beat |= self._before(totals, specials, written if p.single else None, **beat)
        beat["sum"] = compress_rows(m, platform, [*rows], p.step_bits)
        # Decoded early, as many registers wait for it.
        beat["writes"] = Cat(valid & (beat["phase"] == n) for n in range(p.phases))
        beat = self._rank(m, "step", beat)
        m.d.comb += written.eq(beat["writes"])
        if not p.early:
            beat |= self._before(totals, specials, **beat)
        m.d.comb += [
            self.total.eq(beat["total_before"].as_signed() + beat["sum"].as_signed()),
            self.special.eq(beat["special_before"] | beat["special"]),
        ]
        for write, total, special in zip(beat["writes"], totals, specials, strict=True):
            with m.If(self.advance & write):
                m.d.sync += [total.eq(self.total), special.eq(self.special)]
        return m

    def _before(self, totals, specials, written=None, *, first, phase, **_):
        """Return what a step is added to; ``written``: phases of the sum that is made just now."""
        total, special = totals[phase], specials[phase]
        if written is not None:
            again = written.bit_select(phase, 1)
            total, special = Mux(again, self.total, total), Mux(again, self.special, special)
        return {"total_before": Mux(first, 0, total), "special_before": Mux(first, 0, special)}

    def _rank(self, m, name, values):
        """Register ``values``; return the registers by the same names."""
        rank = {
            field: Signal(len(value), name=f"{name}_{field}") for field, value in values.items()
        }
        with m.If(self.advance):
            m.d.sync += [rank[key].eq(value) for key, value in values.items()]
        return rank

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
