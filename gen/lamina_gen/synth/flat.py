"""A netlist of library cells without hierarchy and with one name per wire.

Yosys flattens it; that is wiring only, no cell is touched. Wires become scalars because simulators
see a loop where one bit of a vector depends on another, and slow down or give up.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lamina_gen.synth.cache import cached
from lamina_gen.synth.liberty import Cell, Library
from lamina_gen.synth.tools import package_version, run_yosys

__all__ = ["FlatNetlist", "Instance", "flatten", "used_cells"]


@dataclass(frozen=True)
class Instance:
    """One cell: its name in the flat netlist, its kind, and the wire at each connected pin.

    ``path`` is its name in the original netlist, the hierarchy joined by dots. Pins of a memory
    macro may have many bits: their wires are in braces, as Verilog has them.
    """

    name: str
    kind: str
    pins: dict[str, str]
    path: str


@dataclass(frozen=True)
class FlatNetlist:
    """``ports``: (name, direction, wires from the least significant bit); ``wires``: all names.

    ``macros`` has the behavioural Verilog of the memories, which are instances as the cells are.
    """

    top: str
    ports: list[tuple[str, str, list[str]]]
    instances: list[Instance]
    wires: list[str]
    macros: dict[str, str]

    def verilog(self) -> str:
        """Return the netlist as Verilog, without the macros."""
        body = list(self._declarations())
        for instance in self.instances:
            pins = ", ".join(f".{pin}({wire})" for pin, wire in instance.pins.items())
            plain = re.fullmatch(r"\w+", instance.kind)
            kind = instance.kind if plain else f"\\{instance.kind} "
            body.append(f"{kind} {instance.name} ({pins});")
        lines = "".join(f"  {line}\n" for line in body)
        names = ", ".join(name for name, *_ in self.ports)
        return f"module {self.top} ({names});\n{lines}endmodule\n"

    def _declarations(self) -> Iterator[str]:
        for name, direction, wires in self.ports:
            vector = f"[{len(wires) - 1}:0] " if len(wires) > 1 else ""
            yield f"{direction} {vector}{name};"
        yield from (f"wire {wire};" for wire in self.wires)
        for name, direction, wires in self.ports:
            for index, wire in enumerate(wires):
                bit = f"{name}[{index}]" if len(wires) > 1 else name
                left, right = (wire, bit) if direction == "input" else (bit, wire)
                yield f"assign {left} = {right};"


def used_cells(verilog: str, library: Library) -> dict[str, Cell]:
    """The cells of ``library`` that a Verilog netlist instantiates, by name."""
    words = set(re.findall(r"^\s*\\?([\w.$]+)\s", verilog, re.M))
    return {name: cell for name, cell in library.cells.items() if name in words}


_MODULE = re.compile(r"^module \s*(\\\S+|\w+).*?^endmodule\n?", re.M | re.S)


def flatten(netlist: Path, library: Library, top: str) -> FlatNetlist:
    """Flatten the Verilog file ``netlist``, kept under the hash of its text.

    Modules of it that are not made of cells, but behavioural, are memory macros and stay whole.
    Raises ToolError with Yosys's words if it holds a cell that the library does not have,
    ValueError if the top is itself such a macro.
    """
    text = netlist.read_text()
    macros = {
        match[1].removeprefix("\\"): match[0]
        for match in _MODULE.finditer(text)
        if re.search(r"^\s*reg\b", match[0], re.M)
    }
    if top in macros:
        raise ValueError(f"{top} must be made of cells, but is a memory macro.")
    for macro in macros.values():
        text = text.replace(macro, "")
    stubs = "".join(map(_stub, used_cells(text, library).values()))
    stubs += "".join(map(_ports_only, macros.values()))
    script = (
        "read_verilog -lib cells.v\nread_verilog netlist.v\n"
        f"hierarchy -check -top {top}\nflatten\nclean\nwrite_json flat.json\n"
    )

    def make(folder: Path) -> None:
        (folder / "cells.v").write_text(stubs)
        (folder / "netlist.v").write_text(text)
        run_yosys(script, folder, f"Flattening of {top}")

    folder = cached(f"{top}-flat", (text, stubs, script, package_version("pyosys")), make)
    return _read_json(folder / "flat.json", top, macros)


def _stub(cell: Cell) -> str:
    pins = ", ".join(f"{pin.direction} {pin.name}" for pin in cell.signal_pins)
    return f"module {cell.name}({pins}); endmodule\n"


def _ports_only(module: str) -> str:
    header = module.partition(";\n")[0] + ";\n"
    ports = re.findall(r"^  (?:input|output) [^;]*;\n", module, re.M)
    return header + "".join(ports) + "endmodule\n"


def _read_json(path: Path, top: str, macros: dict[str, str]) -> FlatNetlist:
    module = json.loads(path.read_text())["modules"][top]
    names: dict[int, str] = {}

    def wire(bit: int | str) -> str:
        if isinstance(bit, str):
            return "1'b1" if bit == "1" else "1'b0"  # undriven and don't care: 0, as in Verilator
        return names.setdefault(bit, f"n{len(names)}")

    def pin(bits: list[int | str]) -> str:
        wires = [wire(bit) for bit in reversed(bits)]
        return wires[0] if len(wires) == 1 else f"{{{', '.join(wires)}}}"

    ports = [
        (name, port["direction"], [wire(bit) for bit in port["bits"]])
        for name, port in module["ports"].items()
    ]
    instances = [
        Instance(
            f"g{index}",
            cell["type"],
            {name: pin(bits) for name, bits in cell["connections"].items() if bits},
            path,
        )
        for index, (path, cell) in enumerate(module["cells"].items())
        if cell["type"] != "$scopeinfo"  # a note on the hierarchy that was
    ]
    return FlatNetlist(top, ports, instances, list(names.values()), macros)
