"""Drive strengths: cells as strong as their loads want.

ABC sizes gates for loads that are gates. What registers drive are inputs to it, and technology
cells and other modules are outputs: both it does not see.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from graphlib import TopologicalSorter
from typing import Any

from lamina_gen.synth.liberty import Cell, Library

__all__ = ["strengthen"]

# A wire of a module: Yosys numbers them, and gives constants as their values.
_Wire = int | str
_Loads = defaultdict[_Wire, float]


def strengthen(modules: Mapping[str, Any], library: Library, share: float) -> None:
    """Exchange cells that drive too much for the smallest of the same function that do not.

    ``modules`` are a hierarchy in Yosys' JSON, changed in place. Too much is more than ``share`` of
    a pin's max_capacitance; where no cell may drive as much it becomes the strongest. Of a module
    that is there several times the largest load counts. A cell without limits, or without others of
    its function and pins, stays. It is one pass: the pins of what is stronger load what is in
    front of it, which ABC, or a share below 1, has left room for. Wires that only pass through a
    module are not followed.
    """
    families = _families(library)
    for name, loads in _loads(modules, library).items():
        for cell in modules[name]["cells"].values():
            family = families.get(cell["type"])
            if family is None:
                continue
            now = library.cells[cell["type"]]
            wires = {pin: cell["connections"].get(pin) for pin in now.outputs}
            drives = {pin: loads[bits[0]] for pin, bits in wires.items() if bits}
            if _suffices(now, drives, share):
                continue
            enough = (one for one in family if _suffices(one, drives, share))
            cell["type"] = next(enough, max(family, key=_strength)).name


def _suffices(cell: Cell, loads: Mapping[str, float], share: float) -> bool:
    return all(load <= share * _limit(cell, pin) for pin, load in loads.items())


def _strength(cell: Cell) -> tuple[float, float]:
    """What a cell may drive; of equal ones the smaller is the stronger."""
    return min(_limit(cell, pin) for pin in cell.outputs), -cell.area


def _limit(cell: Cell, pin: str) -> float:
    return cell.pins[pin].max_capacitance or 0.0


def _families(library: Library) -> dict[str, list[Cell]]:
    """Return for each cell that has others of its function and pins all of these, by size."""
    families: defaultdict[Hashable, list[Cell]] = defaultdict(list)
    for cell in library.cells.values():
        if cell.outputs and not cell.dont_use and all(_limit(cell, pin) for pin in cell.outputs):
            pins = frozenset(
                replace(p, capacitance=0.0, max_capacitance=None) for p in cell.signal_pins
            )
            families[pins, cell.registers, cell.integrated_clock_gate].append(cell)
    return {
        cell.name: sorted(family, key=lambda one: (one.area, one.name))
        for family in families.values()
        for cell in family
        if len(family) > 1
    }


def _loads(modules: Mapping[str, Any], library: Library) -> dict[str, _Loads]:
    """Return the load of each wire of each module: in it, in those below it and above it."""
    own = modules.keys() - library.cells.keys()
    parts = {name: [*_instances(modules[name], own)] for name in own}
    order = [*TopologicalSorter({name: _kinds(parts[name]) for name in own}).static_order()]
    loads: dict[str, _Loads] = {name: defaultdict(float) for name in order}
    for name in order:
        for cell in _instances(modules[name], library.cells.keys()):
            pins = library.cells[cell["type"]].pins
            for pin, bits in cell["connections"].items():
                for wire in bits:
                    loads[name][wire] += pins[pin].capacitance
        for part in parts[name]:
            for here, there in _ports(modules, part, "input"):
                loads[name][here] += loads[part["type"]][there]
    above: dict[str, _Loads] = {name: defaultdict(float) for name in order}
    for name in reversed(order):
        for wire, load in above[name].items():
            loads[name][wire] += load
        for part in parts[name]:
            most, own_loads = above[part["type"]], defaultdict[_Wire, float](float)
            for here, there in _ports(modules, part, "output"):
                own_loads[there] += loads[name][here]
            most.update({wire: max(most[wire], load) for wire, load in own_loads.items()})
    return loads


def _instances(module: Any, kinds: Set[str]) -> Iterator[Any]:
    return (cell for cell in module["cells"].values() if cell["type"] in kinds)


def _kinds(cells: Iterable[Any]) -> set[str]:
    return {cell["type"] for cell in cells}


def _ports(modules: Mapping[str, Any], part: Any, direction: str) -> Iterator[tuple[_Wire, _Wire]]:
    """Pair the wires at the ports of an instance with those inside."""
    for name, port in modules[part["type"]]["ports"].items():
        if port["direction"] == direction:
            yield from zip(part["connections"].get(name, ()), port["bits"], strict=False)
