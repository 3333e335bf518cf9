"""A circuit cut at its registers: what they hold are inputs, what they get are outputs.

Registers go by every name of the wire that they drive, as one may have several in the Verilog, of
which a netlist keeps one.
"""

import json
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

__all__ = ["Bit", "Circuit", "CutError", "cut"]

#: As Yosys numbers them; constants are "0", "1", "x" and "z", of which the last two count as 0.
Bit = int | str

# Netlists name a register after the wire that it drives (cells.py); the model of its cell has a
# wire of its own inside (cell_models.py).
_REGISTER = re.compile(r"(.*)_register\.\w+")


class CutError(Exception):
    """A circuit has state that is not in flip-flops on one clock, or lacks an output."""


@dataclass
class Circuit:
    """Gates between named bits, each after those that it depends on.

    ``registers``: the bit that each drives, by name; ``data``: the bit that it gets, by the one it
    drives; ``initial``: "0" or "1" by the same. ``inputs`` and ``outputs``: bits of ports and
    macros, by name. ``equal``: bits without a driver that are what another one is.
    """

    gates: list[tuple[Bit, tuple[Bit, ...]]] = field(default_factory=list)
    registers: dict[str, Bit] = field(default_factory=dict)
    data: dict[Bit, Bit] = field(default_factory=dict)
    initial: dict[Bit, str] = field(default_factory=dict)
    inputs: dict[str, Bit] = field(default_factory=dict)
    outputs: dict[str, Bit] = field(default_factory=dict)
    equal: dict[Bit, Bit] = field(default_factory=dict)

    def names(self) -> dict[Bit, str]:
        """Return the name of each register that says most: Yosys makes those with a $."""
        names = sorted(self.registers, key=lambda name: ("$" in name, name), reverse=True)
        return {self.registers[name]: name for name in names}

    def cone(self, bits: Iterable[Bit]) -> set[Bit]:
        """Return all bits that ``bits`` depend on, and these."""
        found = set(bits)
        for output, sources in reversed(self.gates):
            if output in found:
                found.update(sources)
        return found | {self.equal[bit] for bit in found & self.equal.keys()}

    def unlabelled(self, labels: Container[Bit]) -> set[Bit]:
        """Return the registers not in ``labels`` that the outputs, or those in them, depend on."""
        next_bits = {data for bit, data in self.data.items() if bit in labels}
        needed = self.cone(next_bits.union(self.outputs.values()))
        return {bit for bit in needed & self.data.keys() if bit not in labels}

    def simulate(
        self, inputs: Mapping[str, int], state: Mapping[Bit, int], ones: int
    ) -> Mapping[Bit, int]:
        """Return every bit's value; ``inputs`` by name, ``state`` by register.

        A value is an integer, of which each bit is a case by itself and ``ones`` has all.
        """
        values: defaultdict[Bit, int] = defaultdict(int, {"1": ones, **state})
        values.update((bit, inputs[name]) for name, bit in self.inputs.items())
        values.update((bit, values[source]) for bit, source in self.equal.items())
        for output, sources in self.gates:
            first, last = values[sources[0]], values[sources[-1]]
            values[output] = first & last if len(sources) == 2 else first ^ ones
        return values

    def blif(self, inputs: Iterable[str], outputs: Iterable[str]) -> str:
        """Write it in Berkeley's format, with ``inputs`` i000000 ... and ``outputs`` o0 ...

        ABC sorts inputs by name.
        """
        inputs, outputs = list(inputs), list(outputs)
        lines = [".model cut"]
        lines.append(f".inputs {' '.join(f'i{k:06}' for k in range(len(inputs)))}")
        lines.append(f".outputs {' '.join(f'o{k}' for k in range(len(outputs)))}")
        lines += [".names n0", ".names nx", ".names nz", ".names n1", "1"]
        lines += [
            f".names i{k:06} n{self.inputs[name]}\n1 1"
            for k, name in enumerate(inputs)
            if name in self.inputs
        ]
        lines += [f".names n{source} n{bit}\n1 1" for bit, source in self.equal.items()]
        for output, sources in self.gates:
            row = "11 1" if len(sources) == 2 else "0 1"
            lines.append(f".names {' '.join(f'n{bit}' for bit in sources)} n{output}\n{row}")
        lines += [f".names n{self.outputs[name]} o{k}\n1 1" for k, name in enumerate(outputs)]
        return "\n".join([*lines, ".end", ""])


def cut(path: Path, top: str, macros: Iterable[str], clock: str | None) -> Circuit:
    """Read a flat design of Yosys: AND gates, inverters, flip-flops, gated clocks, and ``macros``.

    A gated clock is an AND gate of ``clock`` and a latch that is open while the clock is low; a
    register behind it keeps what it has while the latch gets 0. Raises CutError for any other cell,
    or a register on another clock than the rising edge of ``clock``.
    """
    module = json.loads(path.read_text())["modules"][top]
    ports = module["ports"]
    circuit = Circuit()
    gates: dict[Bit, tuple[Bit, ...]] = {}
    clocks = ports[clock]["bits"] if clock else []
    gated = _gated(module["cells"].values(), clocks)
    read: set[Bit] = set()  # by anything but a clock gate or a register's clock
    for name, port in ports.items():
        _add(circuit, name, port["bits"], port["direction"] == "input")
    for name, cell in module["cells"].items():
        kind, pins = cell["type"], cell["connections"]
        if kind == "$_AND_" and pins["Y"][0] in gated.clocks:
            continue
        if kind in ("$_AND_", "$_NOT_"):
            gates[pins["Y"][0]] = tuple(pins[pin][0] for pin in ("A", "B") if pin in pins)
            read.update(gates[pins["Y"][0]])
        elif kind == "$_DFF_P_" and pins["C"] == clocks:
            circuit.data[pins["Q"][0]] = pins["D"][0]
        elif kind == "$_DFF_P_" and pins["C"][0] in gated.clocks:
            state = pins["Q"][0]
            read.add(pins["D"][0])
            circuit.data[state] = _held(gates, gated.clocks[pins["C"][0]], pins["D"][0], state)
        elif kind == "$_DLATCH_N_" and pins["Q"][0] in gated.latches:
            read.add(pins["D"][0])
        elif kind in macros:
            for pin, direction in cell["port_directions"].items():
                _add(circuit, f"{name}.{pin}", pins[pin], direction == "output")
        elif kind != "$scopeinfo":
            raise CutError(f"{name} must be a flip-flop on the rising clock, not {kind}")
    read.update(circuit.data.values(), circuit.outputs.values())
    if read & (gated.clocks.keys() | gated.latches):
        raise CutError(
            "a gated clock, and the latch behind it, must lead to registers' clocks only"
        )
    order = TopologicalSorter(gates).static_order()
    circuit.gates = [(bit, gates[bit]) for bit in order if bit in gates]
    _name(circuit, module["netnames"])
    return circuit


@dataclass(frozen=True)
class _Gated:
    """``clocks``: what the latch behind each gated clock gets; ``latches``: what these put out."""

    clocks: dict[Bit, Bit]
    latches: set[Bit]


def _gated(cells: Iterable[dict[str, Any]], clocks: list[Bit]) -> _Gated:
    """Find the clock gates."""
    enables, pairs = {}, []
    for cell in cells:
        pins = cell["connections"]
        if cell["type"] == "$_DLATCH_N_" and pins["E"] == clocks:
            enables[pins["Q"][0]] = pins["D"][0]
        elif cell["type"] == "$_AND_" and clocks in (pins["A"], pins["B"]):
            pairs.append((pins["Y"][0], pins["B"][0] if pins["A"] == clocks else pins["A"][0]))
    found = {output: enables[latch] for output, latch in pairs if latch in enables}
    return _Gated(found, {latch for _, latch in pairs if latch in enables})


def _held(gates: dict[Bit, tuple[Bit, ...]], enable: Bit, data: Bit, state: Bit) -> Bit:
    """Add the gates of a multiplexer: ``data`` where ``enable`` is set, else ``state``."""
    closed, kept, taken, neither, both = (f"{state}_{name}" for name in "ckteb")
    gates[closed] = (enable,)
    gates[kept] = (closed, state)
    gates[taken] = (enable, data)
    gates[f"{kept}n"], gates[f"{taken}n"] = (kept,), (taken,)
    gates[neither] = (f"{kept}n", f"{taken}n")
    gates[both] = (neither,)
    return both


def _add(circuit: Circuit, name: str, bits: list[Bit], is_input: bool) -> None:
    where = circuit.inputs if is_input else circuit.outputs
    where.update((f"{name}[{index}]", bit) for index, bit in enumerate(bits))


def _name(circuit: Circuit, wires: dict[str, Any]) -> None:
    """Find every name of each register, and its initial value."""
    circuit.initial = dict.fromkeys(circuit.data, "0")
    for wire, facts in wires.items():
        match, bits = _REGISTER.fullmatch(wire), facts["bits"]
        initial = facts["attributes"].get("init", "")[::-1]
        for index, bit in enumerate(bits):
            if bit not in circuit.data:
                continue
            number = f"[{index + facts.get('offset', 0)}]" if len(bits) > 1 else ""
            circuit.registers[match[1] if match else wire + number] = bit
            if initial[index : index + 1] == "1":
                circuit.initial[bit] = "1"
