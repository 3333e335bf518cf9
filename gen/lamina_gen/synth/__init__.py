"""Synthesis: what a module costs in gates or in an FPGA's resources, and how fast it is."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina_gen.emit import Emission, emit
from lamina_gen.registry import find, make_parameters
from lamina_gen.synth.asic import synthesize_cells
from lamina_gen.synth.fpga import synthesize_fpga
from lamina_gen.synth.report import Report

__all__ = ["TARGETS", "Design", "Report", "synthesize"]

#: What a module can be synthesized for.
TARGETS = ("cells", "ecp5", "ice40", "xilinx", "gowin")

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Design:
    """A generated module on its way through a flow."""

    emission: Emission

    @property
    def description(self) -> dict[str, Any]:
        """MODULE.json, parsed."""
        return json.loads(self.emission.files["json"])

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters by name."""
        return self.description["parameters"]

    @property
    def clocked(self) -> bool:
        """Whether the top has a clock."""
        return self.description["clock"] is not None


def synthesize(
    module: str,
    settings: dict[str, Any],
    target: str,
    *,
    liberty: Path | None = None,
    clock_ps: float | None = None,
    dsp: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Synthesize ``module`` with the parameters ``settings`` for ``target``, one of `TARGETS`.

    ``liberty`` and ``clock_ps`` are for the target cells: the library, by default Debian's
    osu018, and a period at which the area is wanted as well. ``dsp`` lets multipliers go to the
    DSP blocks of an FPGA; without, logic is compared with logic. Finished steps are kept under
    $LAMINA_CACHE/synth, by default build/synth, and not done again.

    Raises ValueError or TypeError with a sentence for bad arguments, ToolError for a tool that is
    missing or fails.
    """
    if target not in TARGETS:
        raise ValueError(f"The target must be one of {', '.join(TARGETS)}, not {target!r}.")
    if target != "cells" and (liberty is not None or clock_ps is not None):
        raise ValueError("A Liberty file and a clock are for the target cells only.")
    if dsp and target not in ("ecp5", "ice40", "xilinx"):
        raise ValueError(f"The target {target} must be ecp5, ice40 or xilinx to use DSP blocks.")
    if clock_ps is not None and clock_ps <= 0:
        raise ValueError(f"The clock must be a period above 0 ps, not {clock_ps}.")
    entry = find(module)
    design = Design(emit(entry, make_parameters(entry, settings)))
    report = progress or (lambda text, fraction: None)
    if target == "cells":
        return synthesize_cells(design, liberty, clock_ps, report)
    return synthesize_fpga(design, target, dsp, report)
