"""Comparison of wide values in few levels of logic."""

from amaranth.hdl import Module, Signal, Value

__all__ = ["equal"]

#: Bits that are compared before what is known of them is put together: a LUT's.
_PIECE_BITS = 2


def equal(m: Module, one: Value, other: Value) -> Value:
    """Return whether two values of the same width are equal, combinationally.

    Pieces are compared side by side, and kept so: mappers to LUTs make a chain of a wide
    comparison, which is smaller by little and slower by much. Not to be called where statements
    have a condition: the pieces would have it too.
    """
    pieces = Signal((len(one) + _PIECE_BITS - 1) // _PIECE_BITS, attrs={"keep": 1})
    for n in range(len(pieces)):
        piece = slice(n * _PIECE_BITS, (n + 1) * _PIECE_BITS)
        m.d.comb += pieces[n].eq(one[piece] == other[piece])
    return pieces.all()
