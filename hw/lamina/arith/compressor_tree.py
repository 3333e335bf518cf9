"""Compressor trees: many bits of equal weight become one sum, out of full-adder cells.

A 64-operand ``+`` left to synthesis costs about twice these trees in a cell library, so the full
adders are placed here by hand; only the cells decide what a full adder is.
"""

import heapq
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import count
from operator import xor

from amaranth.hdl import Cat, Module, Signal, Value

from lamina.cells import full_adder, half_adder

__all__ = ["compress", "compress_rows"]

#: Delays of a full or half adder in arbitrary units; only their order steers the tree.
SUM_DELAY = 3
CARRY_DELAY = 2


class _Column:
    """The bits of one weight that are still to be added, earliest arrival first."""

    def __init__(self, bits: Iterable[Value]):
        # The running number settles ties: bits that arrive together take turns.
        self._number = count()
        self._heap: list[tuple[int, int, Value]] = []
        for bit in bits:
            self.push(0, bit)

    def __len__(self):
        return len(self._heap)

    def push(self, time: int, bit: Value) -> None:
        heapq.heappush(self._heap, (time, next(self._number), bit))

    def pop(self, number: int) -> tuple[int, list[Value]]:
        """Take the ``number`` earliest bits; return when the last of them arrives, and the bits."""
        entries = [heapq.heappop(self._heap) for _ in range(number)]
        return max((time for time, _, _ in entries), default=0), [bit for _, _, bit in entries]


def compress(m: Module, platform, columns: Sequence[Sequence[Value]]) -> Value:
    """Add bits column by column: return the sum over c and b of ``columns[c][b] * 2^c``.

    ``columns[c]`` lists the one-bit values of weight 2^c, in any number. The result has one bit per
    column and is taken modulo 2^len(columns); for two's complement operands extend their signs, or
    fold the correction into constant bits. Combinational; the adders go into ``m``.
    """
    result = []
    carries: list[tuple[int, Value]] = []
    for weight, bits in enumerate(columns):
        column = _Column(bits)
        for time, carry in carries:
            column.push(time, carry)
        carries = []
        if weight == len(columns) - 1:
            # Nothing is above the last column, so its adders would waste their carries.
            result.append(_named(m, reduce(xor, column.pop(len(column))[1], 0)))
            break
        while len(column) > 1:
            # An even count needs one half adder. Early, so that the late bits meet full adders.
            time, operands = column.pop(3 if len(column) % 2 else 2)
            adder = full_adder if len(operands) == 3 else half_adder
            total, carry = adder(m, platform, *operands)
            column.push(time + SUM_DELAY, total)
            carries.append((time + CARRY_DELAY, carry))
        result.append(column.pop(1)[1][0] if len(column) else _named(m, 0))
    return Cat(result)


def _named(m: Module, value) -> Signal:
    bit = Signal()
    m.d.comb += bit.eq(value)
    return bit


def compress_rows(m: Module, platform, rows: Sequence[Value], width: int) -> Value:
    """Add a few wide rows: return their sum modulo 2^width, unsigned, ``width`` bits.

    Rows are sign- or zero-extended to ``width`` by their own shape. Three rows at a time go through
    one vector-wide full adder (carry-save) until two are left for a carry-propagating adder.
    """
    waiting = [_extended(m, row, width) for row in rows]
    while len(waiting) > 2:
        # First in, first out keeps the tree balanced: the results of a level wait behind its rest.
        total, carry = full_adder(m, platform, *waiting[:3])
        waiting = [*waiting[3:], total, Cat(0, carry[:-1])]
    result = Signal(width)
    m.d.comb += result.eq(sum(waiting))
    return result


def _extended(m: Module, row: Value, width: int) -> Signal:
    extended = Signal(width)
    m.d.comb += extended.eq(row)
    return extended
