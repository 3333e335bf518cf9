"""Technology cells: the library's or the FPGA's own where it has them.

The generated Verilog instantiates `lamina_full_adder` and its like (`lamina.cells`). For a cell
library their definitions are written here around the smallest cell of the same function, which is
found by truth table and not by name; what the library lacks stays behavioural. An FPGA's own are a
file in ``cells``.
"""

import itertools
import re
from collections.abc import Iterator
from importlib import resources

from lamina_gen.synth.functions import truth_table
from lamina_gen.synth.liberty import Cell, Library

__all__ = ["behavioural", "check_usable", "smallest_buffer", "with_own_cells", "wrappers"]


def behavioural() -> dict[str, str]:
    """Return the behavioural definitions of all technology cells, by module name."""
    text = (resources.files("lamina_gen") / "cells" / "behavioural.v").read_text()
    modules = re.finditer(r"^module (\w+) .*?^endmodule\n", text, re.M | re.S)
    return {module[1]: module[0] for module in modules}


def with_own_cells(verilog: str, target: str) -> str:
    """Return ``verilog`` with the technology cells of the FPGA ``target``, where it has its own."""
    file = resources.files("lamina_gen") / "cells" / f"{target}.v"
    own = file.read_text() if file.is_file() else ""
    rest = verilog
    for name in re.findall(r"^module (\w+)", own, re.M):
        rest = re.sub(rf"^module {name} .*?^endmodule\n", "", rest, flags=re.M | re.S)
    return verilog if rest == verilog else f"{rest}\n{own}"


def wrappers(library: Library) -> tuple[str, dict[str, str]]:
    """Return the Verilog of all technology cells, and the cell behind each that has one."""
    found = {
        name: match
        for name, outputs in _WANTED.items()
        if (match := _smallest(library, len(_INPUTS[name]), outputs)) is not None
    }
    text = [
        _wrapper(name, *found[name]) if name in found else definition
        for name, definition in behavioural().items()
    ]
    return "\n".join(text), {name: cell.name for name, (cell, _) in found.items()}


def check_usable(library: Library, path: object) -> None:
    """Raise ValueError unless the library has what mapping to gates needs."""
    cells = [cell for cell in library.cells.values() if not cell.dont_use]
    needed = {
        "an inverter": bool(_gates(library, 0b01)),
        "a buffer": bool(_gates(library, 0b10)),
        "a flip-flop": any(register.kind == "ff" for cell in cells for register in cell.registers),
    }
    missing = [name for name, there in needed.items() if not there]
    if missing:
        raise ValueError(f"{path} must have {' and '.join(missing)} free to use, but has none.")


def smallest_buffer(library: Library) -> str:
    """Return the name of the smallest buffer."""
    return min(_gates(library, 0b10), key=lambda cell: (cell.area, cell.name)).name


def _gates(library: Library, table: int) -> list[Cell]:
    """Return the gates of one input whose truth table is ``table``."""
    return [
        cell
        for cell in library.cells.values()
        if len(cell.inputs) == 1
        and not cell.sequential
        and not cell.dont_use
        and [found for _, found in _tables(cell)] == [table]
    ]


# Ports of the wrappers in the order of the truth tables below; a select is one bit for all.
_INPUTS = {
    "lamina_full_adder": ("a", "b", "c"),
    "lamina_half_adder": ("a", "b"),
    "lamina_and_or_select": ("s0", "v0", "s1", "v1", "s2", "v2"),
}


def _variable(index: int, count: int) -> int:
    """Return the truth table of input ``index`` of ``count``: bit i is its value in row i."""
    return sum(1 << row for row in range(1 << count) if row >> index & 1)


def _wanted() -> Iterator[tuple[str, dict[str, int]]]:
    a, b, c = (_variable(index, 3) for index in range(3))
    majority = (a & b) | (c & (a ^ b))
    yield "lamina_full_adder", {"sum": a ^ b ^ c, "carry": majority}
    a, b = (_variable(index, 2) for index in range(2))
    yield "lamina_half_adder", {"sum": a ^ b, "carry": a & b}
    v = [_variable(index, 6) for index in range(6)]
    selected = v[0] & v[1] | v[2] & v[3] | v[4] & v[5]
    yield "lamina_and_or_select", {"y": selected ^ ((1 << 64) - 1)}


_WANTED = dict(_wanted())

#: Pin of the cell by port of the wrapper.
_Match = tuple[Cell, dict[str, str]]


def _smallest(library: Library, inputs: int, wanted: dict[str, int]) -> _Match | None:
    """Return the smallest cell with exactly the functions ``wanted``, and its pins."""
    matches = []
    for cell in library.cells.values():
        fits = len(cell.inputs) == inputs and len(cell.outputs) == len(wanted)
        if fits and not cell.sequential and not cell.dont_use:
            match = _match(cell, wanted)
            if match is not None:
                matches.append((cell, match))
    return min(matches, key=lambda match: (match[0].area, match[0].name), default=None)


def _match(cell: Cell, wanted: dict[str, int]) -> dict[str, str] | None:
    name = next(name for name, outputs in _WANTED.items() if outputs is wanted)
    ports = _INPUTS[name]
    for order in itertools.permutations(cell.inputs):
        tables = dict(_tables(cell, order))
        pins = {
            port: pin
            for port, table in wanted.items()
            for pin, found in tables.items()
            if found == table
        }
        if len(pins) == len(wanted):
            return dict(zip(ports, order, strict=True)) | pins
        # Sums and carries do not depend on the order: only the select is worth trying again.
        if len(wanted) > 1:
            return None
    return None


def _tables(cell: Cell, order: tuple[str, ...] | None = None) -> list[tuple[str, int]]:
    """Return output pin and truth table of each function of ``cell`` that is a plain one."""
    tables = []
    for pin in cell.outputs:
        function = cell.pins[pin].function
        if function and not cell.pins[pin].three_state:
            try:
                tables.append((pin, truth_table(function, list(order or cell.inputs))))
            except (ValueError, KeyError):  # of the state of a register, for one
                continue
    return tables


def _wrapper(name: str, cell: Cell, pins: dict[str, str]) -> str:
    """Return the definition of ``name`` as one instance of ``cell`` per bit."""
    header = behavioural()[name].partition(");\n")[0] + ");\n"
    bits = [
        f".{pin}({port}{'' if re.fullmatch(r's[0-2]', port) else '[i]'})"
        for port, pin in pins.items()
    ]
    return (
        f"{header}  genvar i;\n  generate for (i = 0; i < WIDTH; i = i + 1) begin : bits\n"
        f"    {cell.name} gate ({', '.join(bits)});\n  end endgenerate\nendmodule\n"
    )
