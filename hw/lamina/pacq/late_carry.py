"""Sums that are accumulated in one cycle although no carry runs along all of them.

A carry that would come too late goes into a flip-flop, and into its column in the next cycle. A few
of these cut the chain, where carry-save accumulators have two flip-flops for every bit.
"""

import heapq
from collections.abc import Sequence
from itertools import count

from amaranth.hdl import Cat, Module, Signal, Value

from lamina.cells import full_adder, half_adder

__all__ = ["accumulate", "late_places"]

#: Delays, in tenths of a full adder's: what the bits of rows pass before the tree, and the gate
#: that lets a sum start anew.
FULL_ADDER, HALF_ADDER = 10, 6
ROW_ARRIVAL, STATE_ARRIVAL = 30, 10


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
) -> tuple[Value, Value]:  # fmt: skip
    """Add bits to an accumulator in every cycle with ``enable``; ``first``: it starts anew.

    ``columns[c]``: bits of weight 2^c to add, as many columns as the sum has bits. ``limit``: delay
    in tenths of a full adder's after which a carry waits for the next cycle. Returns the sum with
    these bits in it, combinational: its bits, and late carries, which belong in the columns
    `late_places`.
    """
    total = Signal(len(columns), reset_less=True)
    registers, carries = [], []

    def adder(kind, operands):
        cell = full_adder if kind == FULL_ADDER else half_adder
        return cell(m, platform, *operands)

    def wait(column, carry):
        register = Signal(name=f"late_{column}", reset_less=True)
        registers.append(register)
        carries.append(carry)
        return register & ~first

    given = [[(ROW_ARRIVAL, bit) for bit in column] for column in columns]
    following = Cat(_reduce(given, limit, adder, lambda column: total[column] & ~first, wait))
    with m.If(enable):
        m.d.sync += [total.eq(following), Cat(registers).eq(Cat(carries))]
    return following, Cat(carries)


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
