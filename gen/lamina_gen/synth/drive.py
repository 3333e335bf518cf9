"""Drive strengths: cells as strong as their loads want.

ABC sizes gates for loads that are gates. What registers drive are inputs to it, and technology
cells and other modules are outputs: both it does not see.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Set
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
    a pin's max_capacitance; what not even the strongest cell may drive gets that one. Of a module
    that is there several times the largest load counts. A library without limits changes nothing.
    """
    families = _families(library)
    for name, loads in _loads(modules, library).items():
        for cell in modules[name]["cells"].values():
            family = families.get(cell["type"])
            if family is None:
                continue
            drives = {pin: loads[bits[0]] for pin, bits in cell["connections"].items() if bits}
            if not _suffices(library.cells[cell["type"]], drives, share):
                enough = (one.name for one in family if _suffices(one, drives, share))
                cell["type"] = next(enough, family[-1].name)


def _suffices(cell: Cell, loads: Mapping[str, float], share: float) -> bool:
    pins = (cell.pins[name] for name in cell.outputs)
    return all(loads.get(pin.name, 0.0) <= share * (pin.max_capacitance or 0.0) for pin in pins)


def _families(library: Library) -> dict[str, list[Cell]]:
    """Return for each cell that has others of its function and pins all of these, by size."""
    families: defaultdict[Hashable, list[Cell]] = defaultdict(list)
    for cell in library.cells.values():
        if not cell.dont_use and all(cell.pins[name].max_capacitance for name in cell.outputs):
            pins = frozenset((pin.name, pin.direction, pin.function) for pin in cell.signal_pins)
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
            most = above[part["type"]]
            for here, there in _ports(modules, part, "output"):
                most[there] = max(most[there], loads[name][here])
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
