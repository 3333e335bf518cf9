"""A flat netlist as the tables that netlist.cpp simulates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina_gen.synth.flat import FlatNetlist, Instance
from lamina_gen.synth.functions import names, truth_table
from lamina_gen.synth.liberty import Cell, Library, Register

__all__ = ["GATE", "REGISTER", "GateTable", "gate_table"]

GATE = np.dtype([("table", "u8"), ("inputs", "i4", 6), ("output", "i4"), ("padding", "i4")])
REGISTER = np.dtype([("data", "i4"), ("state", "i4")])

_CONSTANTS = {"1'b0": 0, "1'b1": 1}


@dataclass(frozen=True)
class GateTable:
    """``numbers`` of the wires by name (0 and 1 are the constants), gates in order of data flow."""

    numbers: Mapping[str, int]
    gates: NDArray[Any]
    registers: NDArray[Any]
    wires: int


@dataclass(frozen=True)
class _Gate:
    """``output`` = ``table`` of ``inputs``, all by number."""

    output: int
    inputs: tuple[int, ...]
    table: int


def gate_table(flat: FlatNetlist, library: Library, clock: str | None) -> GateTable:
    """Turn a netlist into tables.

    Raises ValueError for what they cannot express: latches and clock gates, registers on another
    clock or edge or with a clear or preset in use, cells of more than six inputs, loops.
    """
    numbers = {wire: number for number, wire in enumerate(flat.wires, start=2)} | _CONSTANTS
    clocks = {wires[0] for name, _, wires in flat.ports if name == clock}
    gates: list[_Gate] = []
    registers: list[tuple[int, int]] = []
    extra = len(flat.wires) + 2  # wires of our own: the states, and what they become
    for instance in flat.instances:
        cell = library.cells[instance.kind]
        wires = {pin: numbers[wire] for pin, wire in instance.pins.items()}
        try:
            for register in _registers(cell, instance, clocks):
                assert register.data is not None
                wires[register.state], data = extra, extra + 1
                gates.append(_gate(register.data, wires, data))
                gates.append(_gate(f"!{register.state}", wires, extra + 2))
                wires[register.inverse] = extra + 2
                registers.append((data, wires[register.state]))
                extra += 3
            gates += _outputs(cell, wires)
        except ValueError as error:
            raise ValueError(f"Cell {instance.path} ({cell.name}): {error}") from None
    table = np.zeros(len(gates), GATE)
    for row, gate in zip(table, _in_order(gates), strict=True):
        row["table"], row["output"] = gate.table, gate.output
        row["inputs"][: len(gate.inputs)] = gate.inputs
    return GateTable(numbers, table, np.array(registers, REGISTER), extra)


def _registers(cell: Cell, instance: Instance, clocks: set[str]) -> Iterator[Register]:
    """The flip-flops of a cell, when the tables can express them."""
    if cell.integrated_clock_gate:
        raise ValueError("clock gates must be simulated by Verilator.")
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
