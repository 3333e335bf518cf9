"""Verilog models of library cells, made of what Liberty says they do: no time, no power."""

from collections.abc import Iterable

from lamina_gen.synth.functions import to_verilog
from lamina_gen.synth.liberty import Cell, Register

__all__ = ["cell_models"]


def cell_models(cells: Iterable[Cell]) -> str:
    """Return Verilog modules that do what the cells do, without time.

    Raises ValueError for a cell whose function the library does not give.
    """
    return "".join(map(_model, cells))


def _model(cell: Cell) -> str:
    ports = ", ".join(f"{pin.direction} {pin.name}" for pin in cell.signal_pins)
    try:
        body = _clock_gate(cell) if cell.integrated_clock_gate else _plain(cell)
    except ValueError as error:
        raise ValueError(f"Cell {cell.name} cannot be simulated: {error}") from None
    lines = "".join(f"  {line}\n" for line in body)
    return f"\nmodule {cell.name}({ports});\n{lines}endmodule\n"


def _plain(cell: Cell) -> list[str]:
    lines = [line for register in cell.registers for line in _register(register)]
    for name in cell.outputs:
        pin = cell.pins[name]
        if pin.function is None:
            raise ValueError(f"the library gives no function of its pin {name}.")
        value = to_verilog(pin.function)
        if pin.three_state:
            value = f"{to_verilog(pin.three_state)} ? 1'bz : {value}"
        lines.append(f"assign {name} = {value};")
    return lines


_BOTH = {"L": "1'b0", "H": "1'b1"}


def _register(register: Register) -> list[str]:
    """State and inverse of a flip-flop or latch; clear and preset act at once."""
    if register.clock is None or register.data is None:
        raise ValueError("its register has no clock or no data.")
    clear, preset = (
        to_verilog(text) if text else None for text in (register.clear, register.preset)
    )
    # With both active each side has a value of its own, often the same: not each other's inverse.
    both = [_BOTH.get(value, "1'bx") for value in register.both]
    cases = [f"if (lamina_clear & lamina_preset) {{}} <= {both[0]};"] if clear and preset else []
    cases += ["if (lamina_clear) {} <= 1'b0;"] if clear else []
    cases += ["if (lamina_preset) {} <= 1'b1;"] if preset else []
    data, clock = f"{{}} <= {to_verilog(register.data)};", to_verilog(register.clock)
    names = [name for name, text in (("clear", clear), ("preset", preset)) if text]
    if register.kind == "ff":
        events = "".join(f" or posedge lamina_{name}" for name in names)
        trigger, cases = f"posedge lamina_clock{events}", [*cases, data]
    else:
        trigger, cases = "*", [*cases, f"if (lamina_clock) {data}"]
    inverse = f"~{register.state}"
    if clear and preset:
        inverse = f"lamina_clear & lamina_preset ? {both[1]} : {inverse}"
    return [
        f"reg {register.state};",
        f"wire lamina_clock = {clock};",
        *(f"wire lamina_clear = {clear};" for _ in range(clear is not None)),
        *(f"wire lamina_preset = {preset};" for _ in range(preset is not None)),
        f"always @({trigger}) " + " else ".join(cases).replace("{}", register.state),
        *(f"wire {name} = {inverse};" for name in [register.inverse] if name),
    ]


def _clock_gate(cell: Cell) -> list[str]:
    """A latch that is open while the clock is idle, and a gate behind it."""
    style = (cell.integrated_clock_gate or "").split("_")
    pins = {pin.clock_gate: pin.name for pin in cell.pins.values() if pin.clock_gate}
    if style[0] != "latch" or not {"clock", "enable", "out"} <= pins.keys():
        raise ValueError("it is a clock gate of an unknown kind.")
    clock, out, test = pins["clock"], pins["out"], pins.get("test")
    before = f" | {test}" if test and "precontrol" in style else ""
    after = f"(lamina_open | {test})" if test and "postcontrol" in style else "lamina_open"
    falling = "negedge" in style
    return [
        "reg lamina_open;",
        f"always @* if ({'' if falling else '~'}{clock}) lamina_open = {pins['enable']}{before};",
        f"assign {out} = {clock} | ~{after};" if falling else f"assign {out} = {clock} & {after};",
    ]
