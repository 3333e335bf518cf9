"""`lamina bench pe`: area, period, energy and FPGA resources per element and mantissa length."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lamina_gen.bench.contenders import CONTENDERS, FP_FP, Contender
from lamina_gen.bench.energy import run_netlists
from lamina_gen.bench.flow import Flow, Parts
from lamina_gen.build import Progress
from lamina_gen.synth.asic import choose_liberty
from lamina_sim.verilated.toolchain import ToolError

__all__ = ["FIGURES", "choose", "measure", "ratios"]

#: Ratios: FP-FP's figure over one's own, so that above 1 is better than FP-FP.
_RATIOS = {
    "cells": {
        "area_ratio": "area_um2_per_mac_per_cycle",
        "area_at_clock_ratio": "area_at_clock_um2_per_mac_per_cycle",
        "area_time_ratio": "area_time_um2_ns_per_mac",
        "energy_ratio": "energy_pj_per_mac",
    },
    "ecp5": {"lut4_ratio": "lut4_per_mac_per_cycle"},
}

#: What is measured on each target; a row has all of it, None where a target was left out.
FIGURES = {
    "cells": (
        "macs_per_cycle",
        "area_um2",
        "area_um2_per_mac_per_cycle",
        "area_accumulators_um2_per_mac_per_cycle",
        "area_at_clock_um2_per_mac_per_cycle",
        "meets_clock",
        "min_period_ps",
        "area_time_um2_ns_per_mac",
        "energy_pj_per_mac",
        "macs_per_cycle_in_run",
        "macro_bits",
        "parts",
        *_RATIOS["cells"],
    ),
    "ecp5": (
        "macs_per_cycle_ecp5",
        "lut4",
        "ff",
        "dsp",
        "bram",
        "fmax_mhz",
        "lut4_per_mac_per_cycle",
        "parts_ecp5",
        *_RATIOS["ecp5"],
    ),
}


def measure(
    progress: Progress | None = None,
    *,
    liberty: Path | None = None,
    targets: Sequence[str] = tuple(FIGURES),
    elements: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure the contenders on the cells of ``liberty`` (default: osu018) and on ECP5.

    ``elements``: names of those wanted, by default all; the FP-FP lane, which ratios are to, is
    always there. The clock at which all areas are compared is the shortest that the FP-FP lane and
    the accumulators reach. A figure whose tool is missing is None, and ``notes`` says why.

    Raises ValueError for an unknown target or element, or a ``liberty`` that is none.
    """
    if unknown := [target for target in targets if target not in FIGURES]:
        raise ValueError(f"The target must be {' or '.join(FIGURES)}, not {unknown[0]!r}.")
    contenders = choose(elements)
    flow = Flow(liberty, progress)
    rows = [_identity(contender) for contender in contenders]
    clock_ps = None
    if "cells" in targets and _library(flow):
        clock_ps = _clock(flow)
        _fill(rows, contenders, flow, lambda one: _on_cells(one, flow, clock_ps))
    if "ecp5" in targets:
        _fill(rows, contenders, flow, lambda one: _on_ecp5(one, flow))
    ratios(rows)
    return {
        "targets": list(targets),
        "library": flow.tools.get("liberty"),
        "clock_ps": clock_ps,
        "tools": {name: version for name, version in flow.tools.items() if name != "command"},
        "notes": sorted(flow.notes),
        "rows": rows,
    }


def choose(elements: Sequence[str]) -> list[Contender]:
    """Return the contenders of these names, by default all, and the FP-FP lane."""
    names = list(dict.fromkeys(one.name for one in CONTENDERS))
    if unknown := [name for name in elements if name not in names]:
        raise ValueError(f"The element must be one of {', '.join(names)}, not {unknown[0]!r}.")
    wanted = [*(elements or names), FP_FP.name]
    return [one for one in CONTENDERS if one.name in wanted]


def ratios(rows: list[dict[str, Any]]) -> None:
    """Add to each row what FP-FP takes per MAC over what it takes: above 1 is better than FP-FP."""
    base = next((row for row in rows if row["module"] == FP_FP.module), {})
    for row in rows:
        for target in _RATIOS.values():
            for name, figure in target.items():
                mine, theirs = row[figure], base.get(figure)
                row[name] = round(theirs / mine, 3) if mine and theirs else None


def _identity(contender: Contender) -> dict[str, Any]:
    names = (name for figures in FIGURES.values() for name in figures)
    return {
        "name": contender.name,
        "module": contender.module,
        "paper": contender.paper,
        "mantissa_bits": contender.mantissa_bits,
        "parameters": contender.element("cells").settings,
        **dict.fromkeys(names),
    }


def _library(flow: Flow) -> bool:
    """Whether there is a library; why not is noted. One that was asked for must be there."""
    try:
        choose_liberty(flow.liberty)
    except ValueError as error:
        flow.notes.add(str(error))
        return False
    return True


def _clock(flow: Flow) -> float | None:
    """Return the shortest period that everything floating-point reaches on cells."""
    flow.progress("The clock")
    parts = [FP_FP.element("cells")]
    for contender in CONTENDERS:
        parts += [part for part in contender.parts("cells")[1:] if part not in parts]
    period = flow.cells(parts).choose("min_period_ps", max)
    return None if period is None else float(period)


def _fill(
    rows: list[dict[str, Any]],
    contenders: list[Contender],
    flow: Flow,
    figures: Callable[[Contender], dict[str, Any]],
) -> None:
    for number, (row, contender) in enumerate(zip(rows, contenders, strict=True)):
        flow.place = number / len(rows)
        row |= figures(contender)


def _on_cells(contender: Contender, flow: Flow, clock_ps: float | None) -> dict[str, Any]:
    macs = contender.macs_per_cycle("cells")
    parts = flow.cells(contender.parts("cells"), clock_ps)
    area, period = parts.total("area_um2"), parts.choose("min_period_ps", max)
    at_clock = parts.total("area_at_clock_um2")
    return {
        "macs_per_cycle": round(macs, 3),
        "area_um2": area,
        "area_um2_per_mac_per_cycle": _per(area, macs),
        "area_accumulators_um2_per_mac_per_cycle": _per(
            Parts(parts.reports[1:]).total("area_um2"), macs
        ),
        "area_at_clock_um2_per_mac_per_cycle": _per(at_clock, macs),
        "meets_clock": parts.choose("meets_clock", all),
        "min_period_ps": period,
        "area_time_um2_ns_per_mac": _per(area and period and area * period / 1000, macs),
        "macro_bits": parts.total("macro_bits"),
        "parts": parts.listed(
            ("area_um2", "area_registers_um2", "min_period_ps", "area_at_clock_um2")
        ),
        **_energy(contender, parts, flow, clock_ps),
    }


def _on_ecp5(contender: Contender, flow: Flow) -> dict[str, Any]:
    macs = contender.macs_per_cycle("ecp5")
    parts = flow.ecp5(contender.parts("ecp5"))
    lut4 = _lut4(parts)
    return {
        "macs_per_cycle_ecp5": round(macs, 3),
        "lut4": lut4,
        **{name: parts.total(name) for name in ("ff", "dsp", "bram")},
        "fmax_mhz": parts.choose("fmax_mhz", min),
        "lut4_per_mac_per_cycle": _per(lut4, macs),
        "parts_ecp5": parts.listed(("lut4", "ccu2c", "dpr16x4", "ff", "fmax_mhz")),
    }


def _lut4(parts: Parts) -> float | None:
    """Return the LUT4 that all instances take, those in carry chains and small memories too."""
    taken = {"lut4": 1, "ccu2c": 2, "dpr16x4": 4}
    totals = [(times, parts.total(figure)) for figure, times in taken.items()]
    return None if None in dict(totals).values() else sum(n * (total or 0) for n, total in totals)


def _energy(
    contender: Contender, parts: Parts, flow: Flow, clock_ps: float | None
) -> dict[str, float | None]:
    reports = parts.complete
    if clock_ps is None or reports is None or contender.whole:
        return {}
    flow.progress(f"{contender.name}: running the netlists")
    try:
        run = run_netlists(contender, reports, clock_ps)
    except (ToolError, ValueError) as error:
        flow.notes.add(str(error))
        return {}
    return {
        "energy_pj_per_mac": float(f"{run.energy_pj:.4g}"),
        "macs_per_cycle_in_run": round(run.macs_per_cycle, 2),
    }


def _per(value: float | None, macs: float) -> float | None:
    return None if value is None else float(f"{value / macs:.5g}")
