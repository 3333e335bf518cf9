"""Registers that hold the same, each for some of those who need it.

On an FPGA a wire to many places is slower than the logic at its ends.
"""

from amaranth.hdl import Module, Signal, Value

__all__ = ["COPIES_MAX", "copies"]

#: As many can be told apart.
COPIES_MAX = 4


def copies(m: Module, name: str, values: list[Value], enable: Value, count: int) -> list[Value]:
    """Return ``count`` registers that take their value where ``enable`` is set.

    ``values`` are the same, from registers of their own or just one; each serves up to
    `COPIES_MAX` of the new ones. Synthesis makes one of registers that are alike; so those with the
    same source are stored the other way round, or start with other contents: nothing may look at
    them before they are written.
    """
    result = []
    for number in range(count):
        value, kind = values[number % len(values)], number // len(values)
        inverted, ones = kind % 2, kind // 2
        init = (1 << len(value)) - 1 if ones else 0
        copy = Signal(len(value), name=f"{name}_copy_{number}", reset_less=True, init=init)
        with m.If(enable):
            m.d.sync += copy.eq(~value if inverted else value)
        result.append(~copy if inverted else copy)
    return result
