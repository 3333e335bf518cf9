"""Selection by a one-hot register, which is faster than by a number where it fans out widely."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from amaranth.hdl import Value

__all__ = ["select_one"]


def select_one(selects: Iterable[Value], values: Iterable[Value]) -> Value:
    """Return, as bits, the one of equally wide ``values`` whose select bit is set."""
    pairs = zip(selects, map(Value.cast, values), strict=True)
    return reduce(or_, (value & select.replicate(len(value)) for select, value in pairs))
