"""Sums that are accumulated in one cycle although no carry runs along all of them.

A carry that would come too late goes into a flip-flop, and into its column in the next cycle. A few
of these cut the chain, where carry-save accumulators have two flip-flops for every bit.

All bits are inverted, as inverting selects give them: full adders do the same with inverted bits,
and where nothing is added, nothing changes.
"""

import heapq
from collections.abc import Sequence
from itertools import count

from amaranth.hdl import Cat, Module, Signal, Value

from lamina.cells import full_adder

__all__ = ["accumulate", "add_with_one", "late_places"]

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
    m: Module, platform, columns: Sequence[Sequence[Value]], *, first: Value,
    enables: Sequence[tuple[int, Value]], limit: int,
) -> tuple[Value, Value]:  # fmt: skip
    """Add inverted bits to an accumulator of inverted bits; ``first``: it starts anew.

    ``columns[c]``: bits of weight 2^c to add, as many columns as the sum has bits. ``enables``: an
    end of columns, ascending, and in which cycles those before it may change; the last one is that
    of late carries too. ``limit``: delay in tenths of a full adder's after which a carry waits for
    the next cycle. Returns the sum with these bits in it, combinational: its bits, and late
    carries, which belong in the columns `late_places`, inverted.
    """
    total = Signal(len(columns), reset_less=True)
    registers, carries = [], []

    def adder(kind, operands):
        if kind == FULL_ADDER:
            return full_adder(m, platform, *operands)
        return add_with_one(*operands)

    def wait(column, carry):
        register = Signal(name=f"late_{column}", reset_less=True)
        registers.append(register)
        carries.append(carry)
        return register | first

    given = [[(ROW_ARRIVAL, bit) for bit in column] for column in columns]
    following = Cat(_reduce(given, limit, adder, lambda column: total[column] | first, wait))
    start = 0
    for end, enable in enables:
        with m.If(enable):
            m.d.sync += total[start:end].eq(following[start:end])
        start = end
    with m.If(enable):
        m.d.sync += Cat(registers).eq(Cat(carries))
    return following, Cat(carries)


def add_with_one(a: Value, b: Value) -> tuple[Value, Value]:
    """Return sum and carry of two bits and 1; of inverted bits, theirs without it, inverted."""
    return ~(a ^ b), a | b


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
