"""Compressor trees: many bits of equal weight become one sum, out of full-adder cells.

A 64-operand ``+`` left to synthesis costs about twice these trees in a cell library, so the full
adders are placed here by hand; only the cells decide what a full adder is.
"""

import heapq
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import count
from operator import xor

from amaranth.hdl import Cat, Const, Module, Signal, Value

from lamina.cells import full_adder, half_adder

__all__ = [
    "Inverse",
    "as_rows",
    "carry_save",
    "compress",
    "compress_rows",
    "reduce_columns",
    "reduce_inverse",
    "reduce_levels",
    "reduce_rows",
]

#: Delays of a full or half adder in arbitrary units; only their order steers the tree.
SUM_DELAY = 3
CARRY_DELAY = 2


@dataclass(frozen=True)
class Inverse:
    """NOT of ``bit``, among the bits that `reduce_columns` takes.

    Where they are added down to one row of bits, no bit gets an inverter of its own: a full adder
    of three inverted bits has the inverted sum and carry, and only what these trees leave is
    inverted.
    """

    bit: Value


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

    def __iter__(self):
        return ((time, bit) for time, _, bit in self._heap)

    def push(self, time: int, bit: Value) -> None:
        heapq.heappush(self._heap, (time, next(self._number), bit))

    def pop(self, number: int) -> tuple[int, list[Value]]:
        """Take the ``number`` earliest bits; return when the last of them arrives, and the bits."""
        entries = [heapq.heappop(self._heap) for _ in range(number)]
        return max((time for time, _, _ in entries), default=0), [bit for _, _, bit in entries]


def compress(m: Module, platform, columns: Sequence[Sequence[Value | Inverse]]) -> Value:
    """Add bits column by column: return the sum over c and b of ``columns[c][b] * 2^c``.

    ``columns[c]`` lists the one-bit values of weight 2^c, in any number, and `Inverse` of such. The
    result has one bit per
    column and is taken modulo 2^len(columns); for two's complement operands extend their signs, or
    fold the correction into constant bits. Combinational; the adders go into ``m``.
    """
    return Cat(bit for (bit,) in reduce_columns(m, platform, columns, 1))


def carry_save(
    m: Module,
    platform,
    columns: Sequence[Sequence[Value | Inverse]],
    reduce: Callable | None = None,
    rows: int = 2,
) -> tuple[Value, ...]:
    """As `compress`, but stop at ``rows`` whose sum that is, two or more: no carry runs along them.

    ``reduce``: `reduce_columns`, the default, or `reduce_levels`.
    """
    return tuple(as_rows((reduce or reduce_columns)(m, platform, columns, rows), rows))


def as_rows(columns: Sequence[Sequence[Value]], rows: int) -> list[Value]:
    """Return columns of up to so many bits as rows, with zeros where a column has none."""
    return [
        Cat(bits[row] if row < len(bits) else Const(0, 1) for bits in columns)
        for row in range(rows)
    ]


def reduce_columns(
    m: Module,
    platform,
    columns: Sequence[Sequence[Value | Inverse]],
    rows: int,
    waiting: Container[int] = (),
) -> list[list[Value]]:
    """As `compress`, but stop at columns of at most ``rows`` bits, and at least one each.

    What is left can be registered and go on to another tree. With ``rows`` of 1 the last carry into
    each column of ``waiting`` stays beside that column's bit, as a second one, and runs no further.
    """
    result = []
    carries: list[tuple[int, Value]] = []
    inverse_carries: list[tuple[int, Value]] = []
    for weight, bits in enumerate(columns):
        waits = [carries.pop()[1]] if carries and weight in waiting else []
        inverse = _Column(bit.bit for bit in bits if isinstance(bit, Inverse))
        column = _Column(bit for bit in bits if not isinstance(bit, Inverse))
        for here, there in ((column, carries), (inverse, inverse_carries)):
            for time, carry in there:
                here.push(time, carry)
        carries, inverse_carries = [], []
        if rows == 1 and weight < len(columns) - 1:
            inverse_carries = _inverse_adders(m, platform, inverse, 2)
        for time, bit in inverse:
            column.push(time, ~bit)
        if weight == len(columns) - 1:
            # Nothing is above the last column, so its adders would waste their carries.
            result.append([_named(m, reduce(xor, column.pop(len(column))[1], 0)), *waits])
            break
        while len(column) > rows:
            # To end with one bit, an even count needs one half adder. Early, so that the late bits
            # meet full adders.
            halve = rows == 1 and len(column) % 2 == 0
            time, operands = column.pop(2 if halve else 3)
            adder = half_adder if halve else full_adder
            total, carry = adder(m, platform, *operands)
            column.push(time + SUM_DELAY, total)
            carries.append((time + CARRY_DELAY, carry))
        result.append([*(column.pop(len(column))[1] or [_named(m, 0)]), *waits])
    return result


def reduce_inverse(
    m: Module, platform, columns: Sequence[Sequence[Value]], rows: Sequence[int]
) -> list[list[Value]]:
    """As `reduce_columns` of NOT of all bits: return NOT of what is left, ``rows[c]`` in column c.

    One or two each, or less where there are none. The carries of the last column are lost.
    """
    result = []
    carries: list[tuple[int, Value]] = []
    for bits, left in zip(columns, rows, strict=True):
        column = _Column(bits)
        for time, carry in carries:
            column.push(time, carry)
        carries = _inverse_adders(m, platform, column, left)
        result.append([bit for _, bit in column])
    return result


def _inverse_adders(m: Module, platform, column: _Column, left: int) -> list[tuple[int, Value]]:
    """Bring a column of inverted bits to ``left``, 1 or 2; return the carries as they arrive."""
    carries = []
    while len(column) > left:
        halve = left == 1 and len(column) % 2 == 0
        time, operands = column.pop(2 if halve else 3)
        if halve:
            a, b = operands
            total, carry = _named(m, ~(a ^ b)), _named(m, a | b)
        else:
            total, carry = full_adder(m, platform, *operands)
        column.push(time + SUM_DELAY, total)
        carries.append((time + CARRY_DELAY, carry))
    return carries


def reduce_levels(
    m: Module, platform, columns: Sequence[Sequence[Value]], rows: int
) -> list[list[Value]]:
    """As `reduce_columns` for ``rows`` of 2 or more, level by level: the shallowest tree.

    Where a column has few bits of its own, a full adder would wait for the carry of the column
    below, that for its own, and so on; here a half adder takes bits that are there already.

    Source: Dadda, Some schemes for parallel multipliers, Alta Frequenza 34, 1965.
    """
    result = [list(bits) for bits in columns]
    # The last column has no carries to give; its bits are joined at the end.
    while (highest := max(map(len, result[:-1]), default=0)) > rows:
        height = 2
        while height * 3 // 2 < highest:
            height = height * 3 // 2
        result = _level(m, platform, result, max(height, rows))
    top = result[-1]
    return [bits or [_named(m, 0)] for bits in result[:-1]] + [[_named(m, reduce(xor, top, 0))]]


def _level(m: Module, platform, columns: list[list[Value]], height: int) -> list[list[Value]]:
    """Bring all columns but the last to ``height`` bits, carries from below among them."""
    result = []
    carries: list[Value] = []
    for column in columns[:-1]:
        bits, sums, below, carries = list(column), [], carries, []
        while (surplus := len(bits) + len(sums) + len(below) - height) > 0:
            adder, count = (half_adder, 2) if surplus == 1 else (full_adder, 3)
            total, carry = adder(m, platform, *bits[:count])
            bits = bits[count:]
            sums.append(total)
            carries.append(carry)
        result.append(bits + sums + below)
    return [*result, [*columns[-1], *carries]]


def _named(m: Module, value) -> Signal:
    bit = Signal()
    m.d.comb += bit.eq(value)
    return bit


def compress_rows(m: Module, platform, rows: Sequence[Value], width: int) -> Value:
    """Add a few wide rows: return their sum modulo 2^width, unsigned, ``width`` bits.

    Rows are sign- or zero-extended to ``width`` by their own shape. Three rows at a time go through
    one vector-wide full adder (carry-save) until two are left for a carry-propagating adder.
    """
    result = Signal(width)
    m.d.comb += result.eq(sum(reduce_rows(m, platform, rows, width, 2)))
    return result


def reduce_rows(m: Module, platform, rows: Sequence[Value], width: int, left: int) -> list[Value]:
    """As `compress_rows`, but stop at ``left`` rows, 2 or more, of ``width`` bits each.

    They can be registered and go on to `compress_rows`.
    """
    waiting: list[Value] = [_extended(m, row, width) for row in rows]
    while len(waiting) > left:
        # First in, first out keeps the tree balanced: the results of a level wait behind its rest.
        total, carry = full_adder(m, platform, *waiting[:3])
        waiting = [*waiting[3:], total, Cat(0, carry[:-1])]
    return waiting


def _extended(m: Module, row: Value, width: int) -> Signal:
    extended = Signal(width)
    m.d.comb += extended.eq(row)
    return extended
