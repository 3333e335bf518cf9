"""Energy per MAC of a contender: its netlists run a product of the bundled model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lamina_gen.bench import operands
from lamina_gen.bench.contenders import Contender, Part
from lamina_gen.emit import emit
from lamina_gen.registry import find
from lamina_gen.synth import Report
from lamina_gen.synth.power import Activity, count_activity, measure_power

__all__ = ["Run", "count", "run_netlists", "stimulus"]


@dataclass(frozen=True)
class Run:
    """``energy_pj`` of one MAC; MACs that were done in a cycle, start and end of the run counted.

    The rate is that of the part that is behind the others.
    """

    energy_pj: float
    macs_per_cycle: float


def run_netlists(
    contender: Contender, reports: Sequence[tuple[Part, Report]], clock_ps: float
) -> Run:
    """Run each part of a contender, check its results, and return what a MAC takes.

    Each part does its share of every MAC, so their energies per MAC add up, whatever the number of
    instances among which the MACs are divided.

    Raises ToolError if OpenSTA is missing or fails, ValueError if a netlist cannot be counted,
    RuntimeError if its results are not those of the golden models.
    """
    energy, rates = 0.0, []
    for part, report in reports:
        operands_, idle = stimulus(contender, part)
        activity = count(part, report, operands_, idle)
        energy += measure_power(activity, clock_ps).energy_pj(operands_.macs)
        rates.append(part.count * operands_.macs / activity.cycles)
    return Run(energy, min(rates))


def count(part: Part, report: Report, given: operands.Stimulus, idle: float) -> Activity:
    """Run the netlist of a part and check what it puts out."""
    description = json.loads(emit(find(part.module), part.parameters).files["json"])
    if report.netlist is None or report.liberty is None:
        raise ValueError(f"{part.module} must have a netlist of cells to be counted.")
    activity = count_activity(
        report.netlist,
        report.liberty,
        description,
        given.inputs,
        outputs={"o": given.outputs},
        stall={"i": idle},
        seed=1,
    )
    given.check(activity.result["o"].values)
    return activity


def stimulus(contender: Contender, part: Part) -> tuple[operands.Stimulus, float]:
    """Return the operands of a part, and the share of cycles in which it has none."""
    bits = contender.mantissa_bits
    if bits is None:
        return operands.lane(part.module, part.parameters), 0.0
    if part.module == contender.module:
        return operands.element(part.module, part.settings, bits), 0.0
    columns = part.settings["columns"]
    # Per group an accumulator works `columns` cycles and then waits for the element.
    idle = max(0, contender.cycles("cells") - columns)
    return operands.accumulator(columns, bits), idle / (1 + idle)
