"""Synthesis to the cells of a Liberty library: area of a hierarchy, at one ABC script or more."""

import gzip
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lamina_gen.synth import drive, netlist, tools
from lamina_gen.synth.abc import Script
from lamina_gen.synth.cache import cached
from lamina_gen.synth.liberty import Cell, Library, Register
from lamina_gen.synth.source import Source
from lamina_gen.synth.technology import smallest_buffer, wrappers

__all__ = ["Front", "Mapped", "unpacked"]

# Sequential logic goes to the library's flip-flops; what is left is ABC's. Amaranth gives every
# register an initial value, which no cell has: reset brings it.
_FRONT = """\
read_verilog logic.v
read_verilog technology.v
{macros}
read_liberty -lib -ignore_miss_func {liberty}
hierarchy -check -top {top}
setattr -mod -set keep_hierarchy 1 {definitions}
synth -top {top} -flatten -noabc -noshare
setattr -unset init w:*
{gate_clocks}
dfflibmap -liberty {liberty}{avoid_registers}
opt -fast
clean -purge
rename -wire -suffix _register {registers}
write_rtlil front.il
"""

_BACK = """\
read_rtlil {front}
abc -liberty {liberty} -script abc.script -constr abc.constr{avoid}
setundef -zero
splitnets
clean -purge
write_json {mapped}
"""

#: Where cells are exchanged.
_MAPPED = "mapped.json"

_WRITE = f"""\
read_json {_MAPPED}
write_verilog -noattr -noexpr -nohex netlist.v
tee -q -o cells.json stat -json
"""

#: Registers with a common enable from which on a clock gate takes the place of their multiplexers.
#: It is the size of one or two of these, but every gated clock is one more to distribute.
_GATED_REGISTERS = 8

#: A reset that works without the enable, as all of Amaranth's, hides the enable from that pass.
_RESET_FIRST = """\
module \\$_SDFFE_PP{value}P_ (input D, C, R, E, output Q);
  wire enable, data;
  \\$_OR_ any (.A(E), .B(R), .Y(enable));
  {gate} next (.A(D), .B(R), .Y(data));
  \\$_DFFE_PP_ _TECHMAP_REPLACE_ (.C(C), .D(data), .E(enable), .Q(Q));
endmodule
"""
_RESETS = "".join(
    _RESET_FIRST.format(value=value, gate=gate)
    for value, gate in enumerate(("\\$_ANDNOT_", "\\$_OR_"))
)

#: What else decides the result.
_CODE = (Path(__file__), Path(drive.__file__), Path(netlist.__file__))


@dataclass(frozen=True)
class Front:
    """A design on its way to ``liberty``, whose file is unpacked."""

    top: str
    source: Source
    library: Library
    liberty: Path

    def key(self) -> tuple[str, ...]:
        """Return what decides the result."""
        source = self.source
        version = tools.package_version("pyosys")
        technology = wrappers(self.library)[0]
        # The unpacked library is named by its content.
        name = self.liberty.parent.name
        scripts = (
            _FRONT,
            _BACK,
            _WRITE,
            self._avoid(registers=True),
            self._gate_clocks(),
            *(path.read_text() for path in _CODE),
        )
        return (version, *scripts, source.logic, technology, *source.macros.values(), name)

    def folder(self, line: tools.Line | None = None) -> Path:
        """Return the folder with front.il: registers mapped, logic not yet."""
        return cached(f"{self.top}-front", self.key(), lambda work: self._make(work, line))

    def _make(self, work: Path, line: tools.Line | None) -> None:
        (work / "logic.v").write_text(self.source.logic)
        (work / "technology.v").write_text(wrappers(self.library)[0])
        (work / "resets.v").write_text(_RESETS)
        (work / "macros.v").write_text("\n".join(map(_ports_only, self.source.macros.values())))
        run = _FRONT.format(
            top=self.top,
            liberty=self.liberty,
            avoid_registers=self._avoid(registers=True),
            gate_clocks=self._gate_clocks(),
            registers=" ".join(f"t:{cell.name}" for cell in self._registers()),
            definitions=" ".join(self.source.definitions),
            macros="read_verilog -lib macros.v" if self.source.macros else "",
        )
        tools.run_yosys(run, work, f"Synthesis of {self.top}", line)

    def _gate_clocks(self) -> str:
        """Return the pass that turns enables into gated clocks, if the library has a clock gate."""
        cells = self.library.cells.values()
        if not any(_is_clock_gate(cell) and not cell.dont_use for cell in cells):
            return ""
        unusable = [cell.name for cell in cells if cell.dont_use and cell.integrated_clock_gate]
        avoid = "".join(f" -dont_use {name}" for name in unusable)
        gate = f"clockgate -liberty {self.liberty}{avoid} -min_net_size {_GATED_REGISTERS}"
        return f"techmap -map resets.v\nopt_merge\nclean\n{gate}"

    def _registers(self) -> list[Cell]:
        return [cell for cell in self.library.cells.values() if cell.sequential]

    def _avoid(self, registers: bool = False) -> str:
        """Return options of Yosys that keep cells out.

        Registers with an enable are among them: ABC would not see, and so not buffer, the load of
        an enable that is not logic.
        """
        cells = self.library.cells.values()
        names = [cell.name for cell in cells if cell.dont_use]
        if registers:
            names += [cell.name for cell in cells if any(map(_holds, cell.registers))]
        return "".join(f" -dont_use {name}" for name in names)

    def map(
        self, script: Script, delay_ps: float | None = None, line: tools.Line | None = None
    ) -> "Mapped":
        """Map the logic by an ABC script that aims at paths of ``delay_ps``."""
        front, text = self.folder(line), script.text(delay_ps)

        def make(work: Path) -> None:
            (work / "abc.script").write_text(text)
            # Without a driver, registers and ports could drive any load, and get no buffers.
            (work / "abc.constr").write_text(f"set_driving_cell {smallest_buffer(self.library)}\n")
            run = _BACK.format(
                front=front / "front.il", liberty=self.liberty, avoid=self._avoid(), mapped=_MAPPED
            )
            tools.run_yosys(run, work, f"Mapping {self.top} to cells", line)
            mapped = json.loads((work / _MAPPED).read_text())
            drive.strengthen(mapped["modules"], self.library, script.load_share)
            (work / _MAPPED).write_text(json.dumps(mapped))
            tools.run_yosys(_WRITE, work, f"Writing the netlist of {self.top}", line)
            (work / _MAPPED).unlink()
            gates = netlist.plain((work / "netlist.v").read_text())
            (work / "gates.v").write_text(gates)
            macros = "\n".join(self.source.macros.values())
            (work / "netlist.v").write_text(gates + ("\n" + macros if macros else ""))

        key = (*self.key(), text, str(script.load_share))
        folder = cached(f"{self.top}-cells", key, make)
        return Mapped(self.top, self.library, folder)


@dataclass(frozen=True)
class Mapped:
    """A netlist of cells in ``folder``: netlist.v with its memory macros, gates.v without."""

    top: str
    library: Library
    folder: Path

    @cached_property
    def cells(self) -> dict[str, dict[str, int]]:
        """Cells and submodules of each definition, by type and number."""
        modules = json.loads((self.folder / "cells.json").read_text())["modules"]
        return {
            name.removeprefix("\\"): {
                kind.removeprefix("\\"): count
                for kind, count in module["num_cells_by_type"].items()
            }
            for name, module in modules.items()
        }

    @cached_property
    def instances(self) -> dict[str, int]:
        """How often each definition is there, and each macro: what is in none and no cell."""
        counts: dict[str, int] = {}

        def walk(name: str, times: int) -> None:
            counts[name] = counts.get(name, 0) + times
            for kind, count in self.cells.get(name, {}).items():
                if kind not in self.library.cells:
                    walk(kind, times * count)

        walk(self.top, 1)
        return counts

    def area(self, name: str) -> tuple[float, float]:
        """Return the area of a definition's own cells: logic, registers."""
        logic = registers = 0.0
        for kind, count in self.cells.get(name, {}).items():
            cell = self.library.cells.get(kind)
            if cell is not None and cell.sequential:
                registers += count * cell.area
            elif cell is not None:
                logic += count * cell.area
        return logic, registers

    @property
    def total_area(self) -> tuple[float, float]:
        """Area of all definitions times their instances: logic, registers."""
        areas = [(self.area(name), times) for name, times in self.instances.items()]
        logic = sum(area[0] * times for area, times in areas)
        return logic, sum(area[1] * times for area, times in areas)


def _is_clock_gate(cell: Cell) -> bool:
    """Whether a cell is a clock gate for registers that take their data at the rising edge."""
    return (cell.integrated_clock_gate or "").startswith("latch_posedge")


def _holds(register: Register) -> bool:
    """Whether the next state of a flip-flop depends on its state."""
    names = re.findall(r"\w+", register.data or "")
    return register.state in names or register.inverse in names


def _ports_only(module: str) -> str:
    """Return a module without its body."""
    header = module.partition(";\n")[0] + ";\n"
    ports = re.findall(r"^  (?:input|output) [^;]*;\n", module, re.M)
    return header + "".join(ports) + "endmodule\n"


def unpacked(liberty: Path) -> Path:
    """Return the path of the plain text of a Liberty file, in the cache under its content."""
    data = liberty.read_bytes()
    text = gzip.decompress(data) if liberty.suffix == ".gz" else data

    def make(work: Path) -> None:
        (work / "cells.lib").write_bytes(text)

    return cached("liberty", (text.decode("latin-1"),), make) / "cells.lib"
