"""Registers in front of what no cell drives, which make OpenSTA believe what was counted.

Logic behind ports and memory macros, which are left out, it takes to be at its own guess, or at
rest, whatever is said of its pins.
"""

from dataclasses import replace

from lamina_gen.synth.flat import FlatNetlist, Instance
from lamina_gen.synth.liberty import Cell, Library

__all__ = ["registered_inputs"]


def registered_inputs(
    flat: FlatNetlist, library: Library, clock: str
) -> tuple[FlatNetlist, dict[str, str]]:
    """Return ``flat`` without macros and with a flip-flop behind what comes from outside.

    That are the inputs, but for ``clock``, and what macros put out. Cells get the flip-flop's
    output, a new wire behind all others; the dictionary, in the order of these, has the wires by
    the flip-flops' names. Without a plain flip-flop in the library there are none.
    """
    cells = [instance for instance in flat.instances if instance.kind not in flat.macros]
    flat = replace(flat, instances=cells)
    kind = min(filter(_plain, library.cells.values()), key=lambda cell: cell.area, default=None)
    if kind is None:
        return flat, {}
    (register,), (output,) = kind.registers, kind.outputs
    ((own_clock,),) = (wires for name, _, wires in flat.ports if name == clock)
    outputs = {cell.name: set(cell.outputs) for cell in library.cells.values()}
    driven, used = {own_clock}, set[str]()
    for instance in cells:
        for pin, wire in instance.pins.items():
            (driven if pin in outputs[instance.kind] else used).add(wire)
    outside = [wire for wire in flat.wires if wire in used and wire not in driven]
    behind = {wire: f"behind_{number}" for number, wire in enumerate(outside)}
    entries = {f"entry_{number}": wire for number, wire in enumerate(outside)}
    moved = [
        replace(instance, pins={pin: behind.get(wire, wire) for pin, wire in instance.pins.items()})
        for instance in cells
    ]
    registers = [
        Instance(
            name=name,
            kind=kind.name,
            pins={str(register.clock): own_clock, str(register.data): wire, output: behind[wire]},
            path="",
        )
        for name, wire in entries.items()
    ]
    wires = [*flat.wires, *behind.values()]
    return replace(flat, instances=[*moved, *registers], wires=wires), entries


def _plain(cell: Cell) -> bool:
    """Whether a cell is a flip-flop of a rising clock and a data pin, and nothing else."""
    if cell.dont_use or len(cell.registers) != 1 or len(cell.outputs) != 1:
        return False
    register = cell.registers[0]
    return register.kind == "ff" and {register.clock, register.data} == set(cell.inputs)
