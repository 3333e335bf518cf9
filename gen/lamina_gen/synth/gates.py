"""Simulating the netlist on the driver of the module itself: whatever runs on one runs on both.

    model = gate_model("netlist.v", "cells.lib", "anda_element.json")
    result = model.run({"i": values}, outputs={"o": 1000})

There are two engines that share nothing but the library's functions. `GateModel` interprets tables
(netlist.cpp): it starts at once and counts what every wire does. `compiled_gates` has Verilator
compile the netlist with Verilog models of the cells, which takes a CPU second for every 500 cells
or so, and can do what tables cannot: latches, clock gates, memories of any kind. Neither knows
delays: glitches do not show.
"""

import ctypes
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina_gen.synth.cache import cached
from lamina_gen.synth.cell_models import cell_models
from lamina_gen.synth.flat import FlatNetlist, flatten
from lamina_gen.synth.gate_table import gate_table
from lamina_gen.synth.liberty import Library, read_liberty
from lamina_sim import verilated
from lamina_sim.verilated import library as lib
from lamina_sim.verilated import toolchain
from lamina_sim.verilated.build import Design
from lamina_sim.verilated.runtime import DRIVER
from lamina_sim.verilated.session import Session

__all__ = ["GateModel", "compiled_gates", "gate_model"]

Description = Path | str | Mapping[str, Any]


def gate_model(netlist: Path | str, liberty: Path | str, description: Description) -> "GateModel":
    """Build the bulk model of a netlist of library cells.

    Registers start at random values, drawn from the seed of the run: silicon has no others, and a
    reset that forgets one shows. Memories are zero until the first reset ends, as in the Verilog.

    Parameters
    ----------
    netlist
        Verilog of the cells, flat or hierarchical, with the ports of the module at its top.
    liberty
        The library that the cells are from.
    description
        MODULE.json of the module, its path or its content.

    Returns
    -------
    A :class:`GateModel`. `compiled_gates` gives another kind, for what tables cannot express.

    Raises
    ------
    ValueError
        A file is missing, or the netlist has what tables cannot express (`gate_table`).
    ToolError
        Yosys or g++ is missing or fails; a cell is not in the library.
    """
    facts, library = _description(description), read_liberty(liberty)
    flat = flatten(Path(netlist), library, facts["top"])
    return GateModel(flat, library, facts)


def compiled_gates(
    netlist: Path | str, liberty: Path | str, description: Description
) -> verilated.Model:
    """Build the bulk model of a netlist by Verilator; parameters as for `gate_model`.

    Raises ValueError for a cell whose function the library does not give, ToolError as it does.
    """
    facts, library = _description(description), read_liberty(liberty)
    return _compile(flatten(Path(netlist), library, facts["top"]), library, facts)


def _description(description: Description) -> dict[str, Any]:
    if isinstance(description, Mapping):
        return dict(description)
    return dict(json.loads(Path(description).read_text()))


def _compile(flat: FlatNetlist, library: Library, description: dict[str, Any]) -> verilated.Model:
    kinds = {instance.kind for instance in flat.instances}
    cells = (cell for cell in library.cells.values() if cell.name in kinds)
    files = {"v": flat.verilog() + "".join([cell_models(cells), *flat.macros.values()])}
    files["json"] = json.dumps(description)

    def make(folder: Path) -> None:
        for suffix, text in files.items():
            (folder / f"{flat.top}.{suffix}").write_text(text)

    folder = cached(f"{flat.top}-gates", tuple(files.values()), make)
    # -O0: to build it takes longer than to run it.
    return verilated.build(folder / f"{flat.top}.json", random_initial=True, optimize="-O0")


class _NetlistPointers(ctypes.Structure):
    """netlist.cpp Netlist."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("wires", "gates", "registers", "memories", "signals")
        ),
        *((name, ctypes.c_void_p) for name in ("gate", "register", "memory", "memory_wires")),
        *((name, ctypes.c_void_p) for name in ("first", "bits", "is_input")),
        *((name, ctypes.c_int64) for name in ("clock", "reset")),
        *((name, ctypes.c_void_p) for name in ("toggles", "ones", "cycles")),
    )


class GateModel(verilated.Model):
    """A netlist as tables; runs as every `verilated.Model`, and counts.

    Of the last run, from the release of its last reset on: ``cycles`` is the number of clock
    cycles, ``toggles`` and ``ones`` in how many of them each wire of ``flat.wires`` had another
    value than in the one before, and the value 1. A gated clock has two toggles in every cycle that
    it is let through, and is 1 for half of it.

    Raises ValueError for what tables cannot express (`gate_table`).
    """

    def __init__(self, flat: FlatNetlist, library: Library, description: Mapping[str, Any]) -> None:
        design = Design(verilog="", description=dict(description), random_initial=True)
        super().__init__(design, Path(), _engine())
        self.flat = flat
        self._table = gate_table(flat, library, description["clock"])
        self._counts = np.zeros((2, self._table.wires), np.int64)
        self._cycles = np.zeros(1, np.int64)
        numbers = self._table.numbers
        ports = {name: (direction, wires) for name, direction, wires in flat.ports}
        signals = [ports[name] for name in design.signals]
        bits = [numbers[wire] for _, wires in signals for wire in wires]
        first = np.cumsum([0, *(len(wires) for _, wires in signals)])
        self._first, self._bits = first.astype(np.int32), np.array(bits, np.int32)
        self._inputs = np.array([direction == "input" for direction, _ in signals], np.uint8)

    @property
    def cycles(self) -> int:
        """Clock cycles counted."""
        return int(self._cycles[0])

    @property
    def toggles(self) -> NDArray[np.int64]:
        """How often each wire changed, in the order of ``flat.wires``."""
        return self._counted(0, 2.0)

    @property
    def ones(self) -> NDArray[np.int64]:
        """In how many cycles each wire was 1, in the order of ``flat.wires``."""
        return self._counted(1, 0.5)

    def _counted(self, row: int, gated: float) -> NDArray[np.int64]:
        counts = self._counts[row].copy()
        for wire, enables in self._table.gated.items():
            # Of two enables one is for scan tests, and constant.
            counts[wire] = gated * self._counts[1, list(enables)].max()
        return counts[2 : 2 + len(self.flat.wires)]

    def _open(
        self, schedule: lib.Schedule, seed: int, trace: PathLike[str] | str | None
    ) -> Session:
        if trace is not None:
            raise ValueError("A gate-level run by tables writes no trace: use compiled_gates.")
        signals = {name: number for number, name in enumerate(self._design.signals)}
        clock, reset = (self.description.get(name) for name in ("clock", "reset"))
        table = self._table
        tables = (table.gates, table.registers, table.memories)
        arrays = (*tables, table.memory_wires, self._first, self._bits, self._inputs)
        self._counts[:], self._cycles[:] = 0, 0
        # Kept as long as this model: the simulation reads and writes through them.
        self._pointers = _NetlistPointers(
            table.wires, *map(len, tables), len(signals),
            *(array.ctypes.data for array in arrays),
            *(-1 if name is None else signals[name] for name in (clock, reset)),
            *(array.ctypes.data for array in (*self._counts, self._cycles)),
        )  # fmt: skip
        library = lib.load(self.library)
        library.lamina_netlist(ctypes.byref(self._pointers))
        return Session(library, signals, clock, reset, schedule, seed, True, None)


def _engine() -> Path:
    """Compile netlist.cpp with the driver, once."""
    toolchain.require("g++")
    source = Path(__file__).with_name("netlist.cpp")
    flags = ["-std=gnu++20", "-fPIC", "-shared", "-O2", "-fvisibility=hidden", "-fno-gnu-unique"]
    texts = [path.read_text() for path in (source, *sorted(DRIVER.glob("*.[ch]*")))]

    def make(folder: Path) -> None:
        sources = [source, DRIVER / "driver.cpp"]
        command: list[str | Path] = ["g++", *flags, f"-I{DRIVER}", *sources, "-o", "model.so"]
        toolchain.run(command, folder, "Compiling the simulator of netlists")

    return cached("netlists", (*texts, *flags, toolchain.fingerprint()), make) / "model.so"
