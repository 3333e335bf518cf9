"""One-hot registers, and selection by them: faster than by a number where that fans out widely."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike

__all__ = ["one_hot", "select_one"]


def one_hot(m: Module, name: str, number: Value, valid: ValueLike = 1) -> Value:
    """Return, a cycle later, a bit for each ``number``: the one that it was, if ``valid`` was set.

    Each bit is one gate behind two registers, since both halves of the number are known apart.
    """
    half = len(number) // 2
    low, high = number[:half], number[half:]
    lows = Signal(1 << len(low), name=f"{name}_low")
    highs = Signal(1 << len(high), name=f"{name}_high")
    m.d.sync += [lows.eq(1 << low), highs.eq(Mux(valid, 1 << high, 0))]
    return Cat(lows & bit.replicate(len(lows)) for bit in highs)


def select_one(selects: Iterable[Value], values: Iterable[Value]) -> Value:
    """Return, as bits, the one of equally wide ``values`` whose select bit is set."""
    pairs = zip(selects, map(Value.cast, values), strict=True)
    return reduce(or_, (value & select.replicate(len(value)) for select, value in pairs))
