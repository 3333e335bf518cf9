"""Radix-4 Booth products: half as many rows to add as the second factor has bits."""

from amaranth.hdl import Cat, Const, Module, Signal, Value

__all__ = ["booth_columns"]


def booth_columns(m: Module, a: Value, b: Value) -> list[list[Value]]:
    """Return columns of bits (as `compress` takes them) that add to ``a * b``, both unsigned.

    Modulo 2^(len(a) + len(b)), which the product is below. Each pair of bits of ``b`` is a digit
    -2 to 2, which takes one row; it costs less than the full adders of the row it saves.

    Source: MacSorley, High-speed arithmetic in binary computers, Proc. IRE 49, 1961.
    """
    width = len(a) + len(b)
    columns: list[list[Value]] = [[] for _ in range(width)]
    padded = Cat(Const(0, 1), b, Const(0, 2))
    constant = 0
    for digit in range(len(b) // 2 + 1):
        below, bit, negative = padded[2 * digit : 2 * digit + 3]
        one, two = Signal(name=f"one_{digit}"), Signal(name=f"two_{digit}")
        row = Signal(len(a) + 1, name=f"row_{digit}")
        m.d.comb += [
            one.eq(below ^ bit),
            two.eq((negative & ~bit & ~below) | (~negative & bit & below)),
            row.eq((a & one.replicate(len(a))) | (Cat(Const(0, 1), a) & two.replicate(len(row)))),
        ]
        # -row = ~row + 1, and its sign -negative * 2^n is ~negative * 2^n and a constant.
        signed = digit < len(b) // 2  # the last one has no bit above it
        bits = row
        if signed:
            # A signal: Amaranth would write the operation out again for each bit of it.
            bits = Signal.like(row, name=f"signed_{digit}")
            m.d.comb += bits.eq(row ^ negative.replicate(len(row)))
        for place, value in enumerate(bits, 2 * digit):
            if place < width:
                columns[place].append(value)
        if signed:
            columns[2 * digit].append(negative)
            top = 2 * digit + len(row)
            if top < width:
                columns[top].append(~negative)
                constant -= 1 << top
    for place in range(width):
        if constant >> place & 1:
            columns[place].append(Const(1, 1))
    return columns
