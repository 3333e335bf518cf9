"""Energy per MAC of a contender: its netlists run a product of the bundled model."""

import json
from collections.abc import Sequence

from lamina_gen.bench import operands
from lamina_gen.bench.contenders import Contender, Part
from lamina_gen.emit import emit
from lamina_gen.registry import find
from lamina_gen.synth import Report
from lamina_gen.synth.power import count_activity, measure_power

__all__ = ["energy_pj"]


def energy_pj(contender: Contender, reports: Sequence[Report], clock_ps: float) -> float:
    """Return the energy of one multiply-accumulate in pJ, at the period ``clock_ps``.

    ``reports`` are those of the contender's parts. Each part does its share of every MAC, so their
    energies per MAC add up, whatever the number of instances among which the MACs are divided.

    Raises ToolError if OpenSTA is missing or fails, ValueError if a netlist cannot be counted.
    """
    return sum(
        _energy_pj(contender, part, report, clock_ps)
        for part, report in zip(contender.parts("cells"), reports, strict=True)
    )


def _energy_pj(contender: Contender, part: Part, report: Report, clock_ps: float) -> float:
    stimulus, stall = _stimulus(contender, part)
    description = json.loads(emit(find(part.module), part.parameters).files["json"])
    assert report.netlist is not None
    assert report.liberty is not None
    activity = count_activity(
        report.netlist,
        report.liberty,
        description,
        stimulus.inputs,
        outputs={"o": stimulus.outputs},
        stall=stall,
        seed=1,
    )
    return measure_power(activity, clock_ps).energy_pj(stimulus.macs)


def _stimulus(contender: Contender, part: Part) -> tuple[operands.Stimulus, dict[str, float]]:
    """Return the operands of a part, and how often it has none."""
    bits = contender.mantissa_bits
    if bits is None:
        lanes, slots = getattr(part.parameters, "lanes", 1), part.parameters.slots
        return operands.lane(lanes, slots, part.module != "baseline.fp_int"), {}
    if part.module == contender.module:
        return operands.element(part.module, part.settings, bits), {}
    columns = part.settings["columns"]
    # Per group an accumulator works `columns` cycles and then waits for the element.
    idle = max(0, contender.cycles("cells") - columns)
    return operands.accumulator(columns, bits), {"i": idle / (1 + idle)}
