"""Technology cells: the few gates that the density of an array hangs on.

Each is one Verilog module with one file per technology in the generator (``cells/*.v``); under
Amaranth's own simulator, which has no Verilog, the same function is elaborated in place. All are
combinational and ``width`` bits wide: bit i of each output depends on bit i of the inputs alone.
"""

from amaranth.hdl import Instance, Module, Signal, Value

__all__ = ["and_or_select", "full_adder", "half_adder"]


def _cell(m: Module, platform, kind: str, inputs: dict, outputs: dict, behaviour) -> None:
    """Add an instance of ``lamina_<kind>``, or what it does where the platform has no cells."""
    width = len(next(iter(outputs.values())))
    if getattr(platform, "technology_cells", False):
        ports = {f"i_{name}": value for name, value in inputs.items()}
        ports |= {f"o_{name}": value for name, value in outputs.items()}
        m.submodules += Instance(f"lamina_{kind}", p_WIDTH=width, **ports)
    else:
        m.d.comb += behaviour(*inputs.values(), *outputs.values())


def full_adder(m: Module, platform, a: Value, b: Value, c: Value) -> tuple[Signal, Signal]:
    """Return ``(sum, carry)`` of three equally wide operands, bit by bit: a + b + c."""
    total, carry = Signal(len(a)), Signal(len(a))
    _cell(
        m, platform, "full_adder",
        {"a": a, "b": b, "c": c}, {"sum": total, "carry": carry},
        lambda a, b, c, total, carry: [
            total.eq(a ^ b ^ c), carry.eq((a & b) | (c & (a ^ b))),
        ],
    )  # fmt: skip
    return total, carry


def half_adder(m: Module, platform, a: Value, b: Value) -> tuple[Signal, Signal]:
    """Return ``(sum, carry)`` of two equally wide operands, bit by bit: a + b."""
    total, carry = Signal(len(a)), Signal(len(a))
    _cell(
        m, platform, "half_adder",
        {"a": a, "b": b}, {"sum": total, "carry": carry},
        lambda a, b, total, carry: [total.eq(a ^ b), carry.eq(a & b)],
    )  # fmt: skip
    return total, carry


def and_or_select(m: Module, platform, selects, values) -> Signal:
    """Return NOT of the OR of three ANDs: ``~((s0 & v0) | (s1 & v1) | (s2 & v2))``, per bit.

    Three one-bit ``selects``, at most one of them set, choose among three equally wide
    ``values``; none set gives all ones. Inverting, because the cell that libraries have is AOI222.
    """
    out = Signal(len(values[0]))
    inputs = {f"s{i}": select for i, select in enumerate(selects)}
    inputs |= {f"v{i}": value for i, value in enumerate(values)}
    _cell(
        m, platform, "and_or_select", inputs, {"y": out},
        lambda s0, s1, s2, v0, v1, v2, y: y.eq(
            ~((s0.replicate(len(y)) & v0) | (s1.replicate(len(y)) & v1)
              | (s2.replicate(len(y)) & v2))
        ),
    )  # fmt: skip
    return out
