"""Sums that are accumulated in one cycle although no carry runs along all of them.

A carry that would come too late goes into a flip-flop, and into its column in the next cycle. A few
of these cut the chain, where carry-save accumulators have two flip-flops for every bit.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from amaranth.hdl import Cat, Const, Module, Signal, Value

from lamina.cells import full_adder, half_adder

__all__ = ["LateSum", "accumulate", "late_places"]

#: Delays, in tenths of a full adder's: what the bits of rows pass before the tree, and the gate
#: that lets a sum start anew.
FULL_ADDER, HALF_ADDER = 10, 6
ROW_ARRIVAL, STATE_ARRIVAL = 30, 10


@dataclass(frozen=True)
class LateSum:
    """``total`` and, of the same width, the late carries ``late``: the sum is that of both."""

    total: Value
    late: Value


def late_places(heights: Sequence[int], limit: int) -> list[int]:
    """Return the columns that get late carries, one entry each, without building anything."""
    places: list[int] = []
    _reduce(
        [[(ROW_ARRIVAL, None)] * height for height in heights],
        limit,
        lambda kind, operands: (None, None),
        lambda column: None,
        lambda column, carry: places.append(column),
    )
    return places


def accumulate(
    m: Module, platform, columns: Sequence[Sequence[Value]], *, first: Value, enable: Value,
    limit: int,
) -> tuple[LateSum, LateSum]:  # fmt: skip
    """Add bits to an accumulator in every cycle with ``enable``; ``first``: it starts anew.

    ``columns[c]``: bits of weight 2^c to add, at least as many columns as the sum has bits.
    ``limit``: tenths of a full adder's delay after which a carry waits for the next cycle. Returns
    the sum with these bits in it, on its way into the registers, and the registers.
    """
    total = Signal(len(columns))
    late: list[tuple[int, Signal, Value]] = []

    def adder(kind, operands):
        cell = full_adder if kind == FULL_ADDER else half_adder
        return cell(m, platform, *operands)

    def wait(column, carry):
        register = Signal(name=f"late_{column}_{len(late)}")
        late.append((column, register, carry))
        return register & ~first

    given = [[(ROW_ARRIVAL, bit) for bit in column] for column in columns]
    bits = _reduce(given, limit, adder, lambda column: total[column] & ~first, wait)
    following = Signal(len(columns))
    m.d.comb += following.eq(Cat(bits))
    with m.If(enable):
        m.d.sync += total.eq(following)
        m.d.sync += [register.eq(carry) for _, register, carry in late]
    now = _spread(len(columns), [(column, register) for column, register, _ in late])
    then = _spread(len(columns), [(column, carry) for column, _, carry in late])
    return LateSum(following, then), LateSum(total, now)


def _spread(width: int, late) -> Value:
    """Return the late carries at their columns; one each at most."""
    bits = [Const(0, 1)] * width
    for column, bit in late:
        bits[column] = bit
    return Cat(bits)


def _reduce(columns, limit, adder, state, wait):
    """Bring each column to one bit, earliest bits first; return these bits.

    ``adder(kind, bits)`` gives sum and carry, ``state(column)`` the accumulator's bit, ``wait``
    takes a carry and the column that it goes to and gives it as of the cycle before.
    """
    result, carries, number = [], [], count()
    for weight, column in enumerate(columns):
        heap = [(time, next(number), bit) for time, bit in [*column, *carries]]
        heap.append((STATE_ARRIVAL, next(number), state(weight)))
        heapq.heapify(heap)
        carries, last = [], weight == len(columns) - 1
        waiting = False
        while len(heap) > 1:
            kind = HALF_ADDER if len(heap) == 2 else FULL_ADDER
            taken = [heapq.heappop(heap) for _ in range(2 if kind == HALF_ADDER else 3)]
            time = max(at for at, _, _ in taken) + kind
            total, carry = adder(kind, [bit for _, _, bit in taken])
            heapq.heappush(heap, (time, next(number), total))
            if last:
                continue  # nothing is above
            if time > limit and not waiting:
                # One place per column: a second late carry is no later than that limit allows.
                carries.append((STATE_ARRIVAL, wait(weight + 1, carry)))
                waiting = True
            else:
                carries.append((time, carry))
        result.append(heap[0][2])
    return result
