"""Plane sum: one plane of activations times one column of weights a cycle, summed serially."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.pairs import PairTree, select_entries
from lamina.formats.anda import MANTISSA_BITS_MAX, PAIRS, pair_table_layout
from lamina.parameters import check_range

__all__ = ["PlaneSum", "PlaneSumParameters"]

#: A plane's sum has four stages. Bits of each weight that all but the last leave: about as deep a
#: tree in each, the first behind a wire to many columns; the last ends in a carry chain.
_STAGE_ROWS = (19, 6, 2)


@dataclass(frozen=True, kw_only=True)
class PlaneSumParameters:
    """``entry_bits``: width of a weight after its zero point was taken off.

    ``stages_per_rank``, 1 to 16: after so many of the four stages of a plane's sum comes a rank of
    registers. 1 suits FPGAs; from 4 on there is none, and the sum is a single tree: the smallest.
    """

    entry_bits: int
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("entry_bits", self.entry_bits, 2, 9)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def rank_rows(self) -> tuple[int, ...]:
        """Bits of each weight in the ranks of registers, first to last."""
        return _STAGE_ROWS[self.stages_per_rank - 1 :: self.stages_per_rank]

    @property
    def tree(self) -> PairTree:
        """What adds the entries up."""
        return PairTree(self.rank_rows)

    @property
    def high_bits(self) -> int:
        """Bits of the sum above 2^M: |P| < 64 * 2^(entry_bits - 1) * 2^M, and a sign."""
        return self.entry_bits + 6

    @property
    def latency(self) -> int:
        """Cycles from the last plane to the sum."""
        return 1 + len(self.rank_rows)

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one plane a cycle"

    @property
    def storage_bits(self) -> int:
        """Running sum, its low bits, the snapshot of both, and the ranks."""
        sums = (self.high_bits + 1) + (MANTISSA_BITS_MAX - 1) + self.high_bits + MANTISSA_BITS_MAX
        return sums + self.tree.storage_bits(self.columns())

    def columns(self, selected: Sequence[Value] | None = None) -> list[list[Value]]:
        """Sort the bits of the ``selected`` entries by weight, but the top one's inverted again."""
        entry_bits = self.entry_bits + 1
        selected = selected or [Signal(entry_bits) for _ in range(PAIRS)]
        columns = [[entry[weight] for entry in selected] for weight in range(self.entry_bits)]
        columns.append([~entry[-1] for entry in selected])
        return columns + [[] for _ in range(self.high_bits + 1 - entry_bits)]


class PlaneSum(wiring.Component):
    """Sum, over planes LSB first, of plane j times the weights of a column times 2^j, exactly.

    Members
    -------
    selects : In(ArrayLayout(unsigned(3), PAIRS))
        The plane, as `Row` decodes it.
    tables : In(ArrayLayout(pair_table_layout(entry_bits), PAIRS))
        The weights, as `Column` keeps them.
    advance : In(1), if there are ranks
        All of them take what is before them.
    enable, first, last : In(1)
        The plane in the last stage counts; it is the first (least significant), the last (sign)
        plane of its group.
    high : Out(signed(high_bits)), low : Out(unsigned(16))
        After the last plane: the sum times 2^(16 - M) is ``high * 2^16 + low``, M planes having
        come before it. Held until the next group's last plane.

    Numerics
    --------
    With a plane's exact sum T_j the result is sum_{j<M} 2^j T_j - 2^M T_M. The select cells invert,
    which is used instead of undone: with all but their top bit inverted, the 32 selected entries
    of W bits add to N_j = C - T_j >= 0, C = 32 * (2^(W-1) - 1), so the tree needs no sign
    extension. The running sum G' = floor(G / 2) + N_j keeps W + 6 bits; what it drops are final
    low bits. It starts at C - 1 and is inverted as it meets the last plane, because
    -x - 1 = NOT x: 2^M N_M + NOT(C - 1 + sum_{j<M} 2^j N_j) is the result, with no constant that
    depends on the weights. The running sum is one more row of the tree: no adder of its own.
    """

    def __init__(self, parameters: PlaneSumParameters):
        self.parameters = p = parameters
        super().__init__(
            ({"advance": In(1)} if p.rank_rows else {})
            | {
                "selects": In(data.ArrayLayout(unsigned(3), PAIRS)),
                "tables": In(data.ArrayLayout(pair_table_layout(p.entry_bits), PAIRS)),
                "enable": In(1),
                "first": In(1),
                "last": In(1),
                "high": Out(signed(p.high_bits)),
                "low": Out(unsigned(MANTISSA_BITS_MAX)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        # No register needs a reset: the first plane of a group makes all that went before unseen.
        running = Signal(p.high_bits + 1, reset_less=True)
        shifted = Signal(MANTISSA_BITS_MAX - 1, reset_less=True)
        high = Signal.like(self.high, reset_less=True)
        low = Signal.like(self.low, reset_less=True)
        total = Signal(len(running))
        dropped = Signal(len(low))
        addend = self._addend(m, running)
        advance = self.advance if p.rank_rows else Const(1)
        columns = p.columns(select_entries(m, platform, self.selects, self.tables, p.entry_bits))
        m.d.comb += [
            total.eq(p.tree.add(m, platform, columns, addend, advance)),
            dropped.eq(Cat(shifted, ~running[0])),
            self.high.eq(high),
            self.low.eq(low),
        ]
        with m.If(self.enable):
            m.d.sync += [running.eq(total), shifted.eq(Mux(self.first, 0, dropped[1:]))]
            with m.If(self.last):
                m.d.sync += [high.eq(total[:-1]), low.eq(dropped)]
        return m

    def _addend(self, m, running):
        """Return what the tree adds to a plane: half the running sum, or where that starts."""
        start = PAIRS * ((1 << self.parameters.entry_bits) - 1) - 1
        addend = Signal(len(running) - 1)
        m.d.comb += addend.eq(
            Mux(self.first, start, running[1:]) ^ self.last.replicate(len(addend))
        )
        return addend
