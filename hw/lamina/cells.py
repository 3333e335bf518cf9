"""Technology cells: the few gates that the density of an array hangs on.

Each is one Verilog module with one file per technology in the generator (``cells/*.v``); under
Amaranth's own simulator, which has no Verilog, the same function is elaborated in place. All are
combinational. Of the gates bit i of each output depends on bit i of the inputs alone; the adders
are for FPGAs: one carry chain each, whose lookup tables do what comes before the addition.
"""

from amaranth.hdl import Instance, Module, Signal, Value, signed

__all__ = ["add_gated", "add_inverted", "and_or_select", "full_adder", "half_adder"]


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


def add_gated(m: Module, platform, a: Value, a_on: Value, b: Value, b_on: Value) -> Signal:
    """Return the sum of those of the signed ``a`` and ``b`` whose one-bit ``on`` is set."""
    return _add(m, platform, "add_gated", a, a_on, b, {"b_on": b_on}, lambda b, on: b & on)


def add_inverted(m: Module, platform, a: Value, a_on: Value, b: Value, invert: Value) -> Signal:
    """Return signed ``a``, if ``a_on`` is set, plus signed ``b``, or with ``invert`` NOT of ``b``.

    NOT of b is -b - 1.
    """
    return _add(m, platform, "add_inverted", a, a_on, b, {"invert": invert}, lambda b, on: b ^ on)


def _add(m, platform, kind, a, a_on, b, control, before) -> Signal:
    """Add ``a`` and ``b``, as wide as the wider of them, into a sum that is one bit wider."""
    width = max(len(a), len(b))
    first, second, y = (Signal(signed(width + extra)) for extra in (0, 0, 1))
    m.d.comb += [first.eq(a), second.eq(b)]

    def behaviour(on, a, b, control, y):
        # Amaranth would take masks, which are unsigned, for a bit more.
        gated = a.as_unsigned() & on.replicate(width)
        other = before(b.as_unsigned(), control.replicate(width))
        return y.eq(gated.as_signed() + other.as_signed())

    inputs = {"a_on": a_on, "a": first, "b": second} | control
    _cell(m, platform, kind, inputs, {"y": y}, behaviour)
    return y
