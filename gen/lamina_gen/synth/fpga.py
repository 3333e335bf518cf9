"""The FPGA targets: resources by Yosys, and for ECP5 the clock frequency by nextpnr."""

import json
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina_gen.synth import nextpnr, technology, tools
from lamina_gen.synth.cache import cached
from lamina_gen.synth.report import Report

__all__ = ["FPGAS", "synthesize_fpga"]


@dataclass(frozen=True)
class _Flow:
    """A Yosys command, and its options for multipliers in logic and in DSP blocks."""

    command: str
    logic: str = ""
    dsp: str = ""


#: By target. Left to itself Yosys puts even 4-bit multipliers into DSP blocks.
FPGAS = {
    "ecp5": _Flow("synth_ecp5", logic="-nodsp"),
    "ice40": _Flow("synth_ice40", dsp="-dsp"),
    "xilinx": _Flow("synth_xilinx -flatten -noiopad", logic="-nodsp"),
    "gowin": _Flow("synth_gowin -noiopads"),
}

_SCRIPT = """\
read_verilog design.v
{command} -top {top}
write_json netlist.json
write_verilog -noattr netlist.v
tee -q -o cells.json stat -json
"""

#: Placement is a matter of luck: the median of these counts.
SEEDS = (1, 2, 3)


def synthesize_fpga(
    design: Any, target: str, dsp: bool, report: Callable[[str, float], None]
) -> Report:
    """Synthesize ``design``; with ``dsp`` Yosys may use DSP blocks."""
    top = design.emission.entry.top
    flow = FPGAS[target]
    command = " ".join(filter(None, (flow.command, flow.dsp if dsp else flow.logic)))
    script = _SCRIPT.format(command=command, top=top)
    text = technology.with_own_cells(design.emission.files["v"], target)

    def make(work: Path) -> None:
        (work / "design.v").write_text(text)
        tools.run_yosys(script, work, f"Synthesis of {top}", tools.passes(top, report))

    report(f"{top}: {command}", 0.0)
    versions = {"yosys": tools.package_version("pyosys"), "command": command}
    folder = cached(f"{top}-{target}", (versions["yosys"], script, text), make)
    stat = json.loads((folder / "cells.json").read_text())["design"]
    cells = {
        name.removeprefix("\\"): count
        for name, count in sorted(stat["num_cells_by_type"].items())
        if not name.startswith("$")
    }
    figures: dict[str, Any] = {"resources": cells}
    if target == "ecp5":
        report(f"{top}: nextpnr places and routes", 0.3)
        figures = _ecp5_resources(cells) | _frequency(folder, top, report)
        versions["nextpnr"] = nextpnr.version()
        versions["device"] = nextpnr.DEVICE
    report(f"{top}: synthesized", 1.0)
    return Report(
        module=design.emission.entry.name,
        parameters=design.parameters,
        target=target,
        top=top,
        tools=versions,
        figures=figures,
        netlist=folder / "netlist.v",
    )


def _ecp5_resources(cells: dict[str, int]) -> dict[str, int]:
    """Return what the design uses; a CCU2C, two bits of a carry chain, takes two more LUT4."""
    return {
        "lut4": cells.get("LUT4", 0),
        "ff": cells.get("TRELLIS_FF", 0),
        "dsp": cells.get("MULT18X18D", 0),
        "bram": cells.get("DP16KD", 0),
        "ccu2c": cells.get("CCU2C", 0),
        "dpr16x4": cells.get("TRELLIS_DPR16X4", 0),
    }


def _frequency(folder: Path, top: str, report: Callable[[str, float], None]) -> dict[str, Any]:
    netlist = (folder / "netlist.json").read_text()
    with ThreadPoolExecutor(2) as pool:
        runs = []
        for run in pool.map(lambda seed: nextpnr.place_and_route(netlist, top, seed), SEEDS):
            runs.append(run)
            report(f"{top}: nextpnr has done {len(runs)} of {len(SEEDS)}", 0.3 + 0.2 * len(runs))
    median = statistics.median_low([run.fmax_mhz for run in runs])
    typical = next(run for run in runs if run.fmax_mhz == median)
    return {
        "fmax_mhz": median,
        "fmax_seeds": [run.fmax_mhz for run in runs],
        "worst_path": typical.worst_path,
    }
