"""Registers behind block RAMs of ECP5 become the block RAMs' own, which Yosys does not do."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

__all__ = ["with_output_registers"]

#: A flip-flop that does what the register in a block RAM does: no reset, 0 at first.
_PLAIN = {"CLKMUX": "CLK", "REGSET": "RESET"}


def with_output_registers(netlist: dict[str, Any], top: str) -> dict[str, Any]:
    """Return the netlist with plain flip-flops that follow a block RAM's outputs moved into it.

    Only where all outputs that are used go to such flip-flops, of the same clock and enable, and
    nowhere else: one setting is for all. Not where the block RAM is reset, which would reset the
    register too, or takes the other edge. Block RAM without these is slow: 5.6 ns in ECP5.
    """
    module = netlist["modules"][top]
    cells, loads = module["cells"], _loads(module)
    followers = {
        cell["connections"]["DI"][0]: name
        for name, cell in cells.items()
        if cell["type"] == "TRELLIS_FF" and _plain(cell)
    }
    for ram in [cell for cell in cells.values() if cell["type"] == "DP16KD"]:
        wires = ram["connections"]
        used = {name: bit for name, bit in _outputs(ram) if loads[bit]}
        behind = [followers.get(bit) for bit in used.values() if loads[bit] == 1]
        clocks = {cells[name]["connections"]["CLK"][0] for name in behind if name}
        enables = {_enable(cells[name]) for name in behind if name}
        alike = _clocks(ram) == clocks and len(enables) == 1 and _free(ram)
        if len(behind) != len(used) or None in behind or not alike:
            continue
        enable = enables.pop()
        for name, output in zip(behind, used, strict=True):
            wires[output] = cells.pop(name)["connections"]["Q"]
        for side in "AB":
            ram["parameters"][f"REGMODE_{side}"] = "OUTREG"
            wires[f"OCE{side}"] = [enable]
    return netlist


def _plain(flip_flop: dict[str, Any]) -> bool:
    parameters, wires = flip_flop["parameters"], flip_flop["connections"]
    unset = all(wires.get(name, ["0"])[0] in ("0", "x") for name in ("LSR", "M"))
    alike = all(str(parameters[name]).strip() == _PLAIN[name] for name in _PLAIN)
    return unset and alike and str(parameters["CEMUX"]).strip() in ("1", "CE")


def _enable(flip_flop: dict[str, Any]) -> int | str:
    """Return the wire that enables a plain flip-flop, "1" if it always is."""
    plain = str(flip_flop["parameters"]["CEMUX"]).strip() == "1"
    return "1" if plain else flip_flop["connections"]["CE"][0]


def _free(ram: dict[str, Any]) -> bool:
    """Return whether no reset and no other edge of the clock is in a block RAM's ports."""
    wires, parameters = ram["connections"], ram["parameters"]
    resets = (wires.get(f"RST{side}", ["0"])[0] for side in "AB")
    edges = (str(parameters.get(f"CLK{side}MUX", "CLK")).strip() for side in "AB")
    return all(bit in ("0", "x") for bit in resets) and "INV" not in edges


def _clocks(ram: dict[str, Any]) -> set[Any]:
    """Return the clocks of a block RAM's ports; a port that is not used has none."""
    return {wire for side in "AB" if (wire := ram["connections"][f"CLK{side}"][0]) != "0"}


def _outputs(ram: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the wires that a block RAM drives."""
    for name, bits in ram["connections"].items():
        if name.startswith("DO") and bits and isinstance(bits[0], int):
            yield name, bits[0]


def _loads(module: dict[str, Any]) -> Counter[Any]:
    """Return how many cells' inputs, and ports, hang on each wire."""
    count: Counter[Any] = Counter()
    for cell in module["cells"].values():
        for name, bits in cell["connections"].items():
            if cell["port_directions"][name] == "input":
                count.update(bits)
    for port in module["ports"].values():
        if port["direction"] == "output":
            count.update(port["bits"])
    return count
