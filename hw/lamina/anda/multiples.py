"""Products as the array itself has them: pairs of bits select multiples of the other factor."""

from amaranth.hdl import Cat, Const, Module, Signal, Value

from lamina.anda.pairs import decode_pairs
from lamina.arith.compressor_tree import compress, reduce_inverse
from lamina.cells import and_or_select

__all__ = ["multiply", "triple_of"]

#: Low bits of a product that are added one after the other, while the tree above them works.
_RIPPLED = 4


def triple_of(m: Module, platform, b: Value) -> Value:
    """Return ``3 * b``, unsigned, two bits longer: one full adder a bit."""
    columns = [
        [*b[place : place + 1], *b[max(place - 1, 0) : place]] for place in range(len(b) + 1)
    ]
    return compress(m, platform, [*columns, []])


def multiply(m: Module, platform, a: Value, b: Value, triple: Value, up: Value) -> Value:
    """Return ``(a + up) * b``, unsigned, below 2^(len(a) + len(b)).

    ``a`` has an even number of bits, each two of which select nothing, ``b``, ``2 * b`` or
    ``triple``. That takes one cell a bit, where a digit of Booth's takes two, and as many full
    adders. The cells invert, and a full adder of inverted bits has the inverted sum and carry.
    """
    width = len(a) + len(b)
    columns: list[list[Value]] = [[] for _ in range(width)]
    values = [Signal(len(triple)) for _ in range(3)]
    m.d.comb += [value.eq(of) for value, of in zip(values, (b, b << 1, triple), strict=True)]
    selects = decode_pairs(m, a)
    for digit in range(len(a) // 2):
        row = and_or_select(m, platform, list(selects[3 * digit : 3 * digit + 3]), values)
        for place, bit in enumerate(row, 2 * digit):
            columns[place].append(bit)
    for place, bit in enumerate(b):
        columns[place].append(~(bit & up))
    low = min(_RIPPLED, width)
    rows = [1] * low + [2] * (width - low)
    # Where there is no bit, NOT of it is 1.
    left = [
        [*bits, Const(1, 1), Const(1, 1)] for bits in reduce_inverse(m, platform, columns, rows)
    ]
    one, other = (Cat(bits[row] for bits in left) for row in range(2))
    product = Signal(width)
    m.d.comb += product.eq(Cat(~one[:low], ~one[low:] + ~other[low:]))
    return product
