"""Registers that hold the same, each for some of those who need it.

On an FPGA a wire to many places is slower than the logic at its ends.
"""

from amaranth.hdl import Module, Signal, Value

__all__ = ["COPIES_MAX", "copies"]

#: As many can be told apart.
COPIES_MAX = 4


def copies(m: Module, name: str, register: Value, value: Value, enable: Value, count: int):
    """Return ``register`` and ``count`` - 1 more that hold the same; ``count`` 1 to `COPIES_MAX`.

    ``register`` takes ``value`` where ``enable`` is set, and starts at zero. Synthesis makes one of
    registers that are alike; so the others are stored the other way round, or start with other
    contents: nothing may look at them before they are written.
    """
    result = [register]
    for number in range(1, count):
        inverted, ones = number % 2, number // 2
        init = (1 << len(value)) - 1 if ones else 0
        copy = Signal(len(value), name=f"{name}_copy_{number}", reset_less=True, init=init)
        with m.If(enable):
            m.d.sync += copy.eq(~value if inverted else value)
        result.append(~copy if inverted else copy)
    return result
