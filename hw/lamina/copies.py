"""Registers that hold the same, each for some of those who need it.

On an FPGA a wire to many places is slower than the logic at its ends.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike

__all__ = ["COPIES_MAX", "chosen", "copies"]

#: As many can be told apart.
COPIES_MAX = 8


def copies(m: Module, name: str, values: list[Value], enable: Value, count: int) -> list[Value]:
    """Return ``count`` registers that take their value where ``enable`` is set.

    ``values`` are the same, from registers of their own or just one; each serves up to
    `COPIES_MAX` of the new ones. Synthesis makes one of registers that are alike; so those with the
    same source are stored the other way round, start with other contents, or are reset to these:
    nothing may look at them before they are written.
    """
    result = []
    for number in range(count):
        value, kind = values[number % len(values)], number // len(values)
        inverted, ones, reset = kind & 1, kind & 2, kind & 4
        init = (1 << len(value)) - 1 if ones else 0
        named = f"{name}_copy_{number}"
        copy = Signal(len(value), name=named, reset_less=not reset, init=init)
        with m.If(enable):
            m.d.sync += copy.eq(~value if inverted else value)
        result.append(~copy if inverted else copy)
    return result


def chosen(choice: list[Value], one: ValueLike, other: ValueLike) -> Value:
    """Return ``one``, or ``other`` where a bit, of which ``choice`` are copies, is not set.

    Each copy serves as many neighbouring bits as any other, or fewer.
    """
    one, other = Value.cast(one), Value.cast(other)
    step = -(-len(one) // len(choice))
    return Cat(
        Mux(bit, one[n * step : (n + 1) * step], other[n * step : (n + 1) * step])
        for n, bit in enumerate(choice)
    )
