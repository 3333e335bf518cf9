"""A flat netlist as the tables that netlist.cpp simulates."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina_gen.synth.flat import FlatNetlist, Instance
from lamina_gen.synth.functions import names, truth_table
from lamina_gen.synth.liberty import Cell, Library, Register

__all__ = ["GATE", "MEMORY", "REGISTER", "GateTable", "gate_table"]

GATE = np.dtype([("table", "u8"), ("inputs", "i4", 6), ("output", "i4"), ("padding", "i4")])
REGISTER = np.dtype([("data", "i4"), ("state", "i4")])
MEMORY = np.dtype(
    [(name, "i4") for name in ("write_enable", "read_enable", "address_bits", "width")]
    + [("depth", "i8"), ("first", "i8")]
)

_CONSTANTS = {"1'b0": 0, "1'b1": 1}


@dataclass(frozen=True)
class GateTable:
    """``numbers`` of the wires by name (0 and 1 are the constants), gates in order of data flow.

    ``gated``: each gated clock's wire, and those of which any lets the clock through.
    """

    numbers: Mapping[str, int]
    gated: Mapping[int, tuple[int, ...]]
    gates: NDArray[Any]
    registers: NDArray[Any]
    memories: NDArray[Any]
    memory_wires: NDArray[np.int32]
    wires: int


@dataclass(frozen=True)
class _Gate:
    """``output`` = ``table`` of ``inputs``, all by number."""

    output: int
    inputs: tuple[int, ...]
    table: int


def gate_table(flat: FlatNetlist, library: Library, clock: str | None) -> GateTable:
    """Turn a netlist into tables.

    A clock gate becomes an enable of the registers behind it; the gated clock stays 0.

    Raises ValueError for what they cannot express: latches, gates behind gates, registers on other
    clocks or edges or with a clear or preset in use, cells of more than six inputs, loops, memories
    that are not of `lamina.stream.memory`.
    """
    shapes = {name: _memory_shape(text) for name, text in flat.macros.items()}
    numbers = {wire: number for number, wire in enumerate(flat.wires, start=2)} | _CONSTANTS
    clocks = {wires[0] for name, _, wires in flat.ports if name == clock}
    gated = _gated_clocks(flat, library, clocks)
    gates: list[_Gate] = []
    registers: list[tuple[int, int]] = []
    memories: list[tuple[int, ...]] = []
    memory_wires: list[int] = []
    extra = len(flat.wires) + 2  # wires of our own: the states, and what they become
    for instance in flat.instances:
        if instance.kind in shapes:
            row, wires = _memory(shapes[instance.kind], instance, numbers)
            memories.append((*row, len(memory_wires)))
            memory_wires += wires
            continue
        cell = library.cells[instance.kind]
        if cell.integrated_clock_gate:
            continue
        pins = {pin: numbers[wire] for pin, wire in instance.pins.items()}
        if not cell.registers and not gated.keys().isdisjoint(instance.pins.values()):
            raise ValueError(
                f"Cell {instance.path} ({cell.name}) must not have a gated clock as data."
            )
        try:
            for register in _registers(cell, instance, clocks | gated.keys()):
                assert register.data is not None
                assert register.clock is not None
                pins[register.state], data = extra, extra + 1
                enables = gated.get(instance.pins[register.clock], ())
                gates.append(_data(register, pins, data, [numbers[wire] for wire in enables]))
                gates.append(_gate(f"!{register.state}", pins, extra + 2))
                pins[register.inverse] = extra + 2
                registers.append((data, pins[register.state]))
                extra += 3
            gates += _outputs(cell, pins)
        except ValueError as error:
            raise ValueError(f"Cell {instance.path} ({cell.name}): {error}") from None
    table = np.zeros(len(gates), GATE)
    for entry, gate in zip(table, _in_order(gates), strict=True):
        entry["table"], entry["output"] = gate.table, gate.output
        entry["inputs"][: len(gate.inputs)] = gate.inputs
    return GateTable(
        numbers=numbers,
        gated={
            numbers[wire]: tuple(numbers[by] for by in enables) for wire, enables in gated.items()
        },
        gates=table,
        registers=np.array(registers, REGISTER),
        memories=np.array(memories, MEMORY),
        memory_wires=np.array(memory_wires, np.int32),
        wires=extra,
    )


@dataclass(frozen=True)
class _Shape:
    """What Verilog says of a memory: its size, and the ports by what they are for."""

    width: int
    depth: int
    ports: dict[str, str]


_MEMORY = re.compile(
    r"^  reg (?:\[(?P<top>\d+):0\] )?(?P<rows>\w+) \[(?P<last>\d+):0\];.*"
    r"if \((?P<write_enable>\w+)\)\s+(?P=rows)\[(?P<write_address>\w+)\] <= (?P<write_data>\w+);.*"
    r"if \((?P<read_enable>\w+)\) begin\s+(?P<state>\w+) <= (?P=rows)\[(?P<read_address>\w+)\];.*"
    r"assign (?P<read_data>\w+) = (?P=state);",
    re.M | re.S,
)


def _memory_shape(verilog: str) -> _Shape:
    match = _MEMORY.search(verilog)
    if match is None:
        raise ValueError("A memory macro must have one write and one read port, both enabled.")
    ports = match.groupdict()
    return _Shape(int(ports.pop("top") or 0) + 1, int(ports.pop("last")) + 1, ports)


def _memory(
    shape: _Shape, instance: Instance, numbers: Mapping[str, int]
) -> tuple[tuple[int, ...], list[int]]:
    """The row of a memory in the table, but for its first wire, and its wires."""

    def wires(use: str) -> list[int]:
        """Numbers of the wires of a port; in Verilog's braces the least significant is last."""
        names = instance.pins[shape.ports[use]].strip("{}").split(", ")
        return [numbers[name] for name in reversed(names)]

    write, read = wires("write_address"), wires("read_address")
    enables = (*wires("write_enable"), *wires("read_enable"))
    row = (*enables, len(read), shape.width, shape.depth)
    return row, [*write, *read, *wires("write_data"), *wires("read_data")]


def _registers(cell: Cell, instance: Instance, clocks: set[str]) -> Iterator[Register]:
    """The flip-flops of a cell, when the tables can express them."""
    for register in cell.registers:
        if register.kind != "ff" or register.data is None or register.clock is None:
            raise ValueError("latches must be simulated by Verilator.")
        if instance.pins.get(register.clock) not in clocks:
            raise ValueError("registers must be clocked by the rising edge of the module's clock.")
        for expression in filter(None, (register.clear, register.preset)):
            pins = names(expression)
            values = [_CONSTANTS.get(instance.pins.get(pin, ""), 2) for pin in pins]
            row = sum(value << place for place, value in enumerate(values))
            if max(values) > 1 or truth_table(expression, pins) >> row & 1:
                raise ValueError("clear and preset must be tied off.")
        yield register


def _gated_clocks(
    flat: FlatNetlist, library: Library, clocks: set[str]
) -> dict[str, tuple[str, ...]]:
    """Return the wires that let each gated clock through, any of them."""
    gated: dict[str, tuple[str, ...]] = {}
    for instance in flat.instances:
        cell = library.cells.get(instance.kind)
        if cell is None or not cell.integrated_clock_gate:
            continue
        pins = {pin.clock_gate: instance.pins.get(pin.name, "1'b0") for pin in cell.pins.values()}
        if not cell.integrated_clock_gate.startswith("latch_posedge"):
            raise ValueError(f"Cell {instance.path} ({cell.name}) must gate rising edges.")
        if pins["clock"] not in clocks:
            raise ValueError(f"Cell {instance.path} ({cell.name}) must gate the module's clock.")
        gated[pins["out"]] = (pins["enable"], pins.get("test", "1'b0"))
    return gated


def _data(register: Register, pins: dict[str, int], output: int, enables: list[int]) -> _Gate:
    """Return what a register takes; with ``enables`` its state while none of them is set."""
    assert register.data is not None
    gate = _gate(register.data, pins, output)
    if not enables:
        return gate
    inputs = (*gate.inputs, pins[register.state], *enables)
    if len(inputs) > 6:
        raise ValueError(f"{register.data} behind a clock gate must have at most three inputs.")
    size = len(gate.inputs)
    table = 0
    for row in range(1 << len(inputs)):
        kept, *enabled = (row >> size + place & 1 for place in range(1 + len(enables)))
        taken = gate.table >> (row & (1 << size) - 1) & 1
        table |= (taken if any(enabled) else kept) << row
    return _Gate(output, inputs, table)


def _outputs(cell: Cell, wires: dict[str, int]) -> Iterator[_Gate]:
    for name in cell.outputs:
        function = cell.pins[name].function
        if name not in wires:
            continue  # not connected
        if function is None or cell.pins[name].three_state:
            raise ValueError(f"pin {name} must have a function of two values.")
        yield _gate(function, wires, wires[name])


def _gate(function: str, wires: dict[str, int], output: int) -> _Gate:
    inputs = names(function)
    if len(inputs) > 6:
        raise ValueError(f"{function} must have at most six inputs.")
    # An input that is not connected reads as 0.
    return _Gate(output, tuple(wires.get(i, 0) for i in inputs), truth_table(function, inputs))


def _in_order(gates: list[_Gate]) -> list[_Gate]:
    """Every gate behind those that drive it."""
    driver = {gate.output: index for index, gate in enumerate(gates)}
    waiting = [sum(wire in driver for wire in gate.inputs) for gate in gates]
    readers: dict[int, list[int]] = {}
    for index, gate in enumerate(gates):
        for wire in gate.inputs:
            readers.setdefault(wire, []).append(index)
    ready = [index for index, count in enumerate(waiting) if count == 0]
    for index in ready:  # grows while it is read
        for reader in readers.get(gates[index].output, ()):
            waiting[reader] -= 1
            if waiting[reader] == 0:
                ready.append(reader)
    if len(ready) < len(gates):
        raise ValueError("The netlist must have no combinational loop.")
    return [gates[index] for index in ready]
