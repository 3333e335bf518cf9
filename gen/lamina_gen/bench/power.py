"""Power of any module for `lamina synth --power`: its netlist runs, counted, then OpenSTA."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lamina_gen.bench import operands
from lamina_gen.emit import emit
from lamina_gen.registry import find, make_parameters
from lamina_gen.synth import Report, sta, tools
from lamina_gen.synth.power import Activity, count_activity, measure_power
from lamina_sim.verilated import StuckError
from lamina_sim.verilated.description import ports_of
from lamina_sim.verilated.ports import word_count

__all__ = ["with_power"]

_MANTISSA_BITS = 8
_RANDOM_BEATS = 500
#: Of the row indices of a product.
_INDEX_BITS = (operands.ROWS_IN_TURN - 1).bit_length()


def with_power(report: Report, settings: dict[str, Any]) -> Report:
    """Return ``report``, of the target cells, with its power at the clock it was mapped for.

    That is ``clock_ps``, else the least period. Elements, lanes and accumulators run a product of
    the bundled model (activations of M = 8); other modules random payloads on all inputs.

    Raises ValueError if there is no clock or a netlist cannot be run, ToolError if OpenSTA is
    missing or fails.
    """
    if tools.find_sta() is None:
        raise tools.ToolError(sta.MISSING)
    clock_ps = report.figures["clock_ps"] or report.figures["min_period_ps"]
    if not clock_ps:
        raise ValueError(f"{report.module} must have a period to have a power, but has none.")
    entry = find(report.module)
    parameters = make_parameters(entry, settings)
    description = json.loads(emit(entry, parameters).files["json"])
    given = _product(report.module, parameters)
    try:
        activity = _count(report, description, given)
    except StuckError as error:
        raise ValueError(f"{report.module} must run to have a power: {error}") from None
    power = measure_power(activity, clock_ps)
    figures = {
        "power_mw": round(power.total_mw, 4),
        "power_internal_mw": round(power.internal_mw, 4),
        "power_switching_mw": round(power.switching_mw, 4),
        "power_leakage_mw": float(f"{power.leakage_mw:.4g}"),
        "power_clock_ps": clock_ps,
        "power_cycles": power.cycles,
    }
    what = "a product of the bundled model" if given else "random payloads on every input stream"
    return replace(
        report,
        figures=report.figures | figures,
        notes=(*report.notes, f"Power is that of {what}, at {clock_ps:.0f} ps."),
    )


def _count(
    report: Report, description: Mapping[str, Any], given: operands.Stimulus | None
) -> Activity:
    """Run the netlist on ``given``, whose results are checked, or on random payloads."""
    if report.netlist is None or report.liberty is None:
        raise ValueError(f"{report.module} must have a netlist of cells to have a power.")
    files = (report.netlist, report.liberty, description)
    if given is None:
        return count_activity(*files, _random(description), seed=1, drain=20, timeout=1000)
    activity = count_activity(*files, given.inputs, outputs={"o": given.outputs}, seed=1)
    given.check(activity.result["o"].values)
    return activity


def _random(description: Mapping[str, Any]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    words = {}
    for port in ports_of(description):
        if (port.kind, port.direction) == ("stream", "in"):
            shape = _RANDOM_BEATS, word_count(port.width)
            words[port.name] = rng.integers(0, 1 << 32, shape, np.uint32)
            if port.width % 32:
                words[port.name][:, -1] &= (1 << port.width % 32) - 1
    return words


def _product(module: str, parameters: Any) -> operands.Stimulus | None:
    """Return a product as the streams of a module that multiplies or adds one up, else None."""
    if module in operands.LANES:
        return operands.lane(module, parameters)
    widths = getattr(parameters, "weight_bits", None), getattr(parameters, "format", "fp16")
    if widths != (4, "fp16") or parameters.index_bits < _INDEX_BITS:
        return None
    bits = getattr(parameters, "mantissa_bits", _MANTISSA_BITS)
    if module in ("anda.element", "baseline.figna", "baseline.ifpu"):
        return operands.element(module, {"columns": parameters.columns}, bits)
    return operands.accumulator(parameters.columns, bits) if module == "anda.accumulator" else None
