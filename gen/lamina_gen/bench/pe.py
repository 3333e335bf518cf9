"""`lamina bench pe`: area, period, energy and FPGA resources per element and mantissa length."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lamina_gen.bench.contenders import CONTENDERS, FP_FP, Contender, Part
from lamina_gen.bench.energy import energy_pj
from lamina_gen.build import Progress
from lamina_gen.synth import Report, synthesize
from lamina_sim.verilated.toolchain import ToolError

__all__ = ["measure", "ratios"]

#: Figures per MAC of which FP-FP's over one's own is a ratio: above 1 is better than FP-FP.
_RATIOS = {
    "area_ratio": "area_um2_per_mac_per_cycle",
    "area_at_clock_ratio": "area_at_clock_um2_per_mac_per_cycle",
    "area_time_ratio": "area_time_um2_ns_per_mac",
    "energy_ratio": "energy_pj_per_mac",
    "lut4_ratio": "lut4_per_mac_per_cycle",
}


def measure(progress: Progress | None = None) -> dict[str, Any]:
    """Measure every contender on the cells of $LAMINA_LIBERTY (default: osu018) and on ECP5.

    The clock at which all areas are compared is the least period of the FP-FP lane. A figure whose
    tool or library is missing is None, and ``notes`` says why.
    """
    liberty = os.environ.get("LAMINA_LIBERTY")
    flow = _Flow(Path(liberty) if liberty else None, progress or (lambda what, fraction: None))
    base = flow.cells(FP_FP.element("cells"), None)
    clock_ps = base.figures["min_period_ps"] if base else None
    rows = []
    for number, contender in enumerate(CONTENDERS):
        flow.place = number / len(CONTENDERS)
        rows.append(_row(contender, flow, clock_ps))
    ratios(rows)
    return {
        "library": base.tools["liberty"] if base else None,
        "clock_ps": clock_ps,
        "tools": flow.tools,
        "notes": sorted(flow.notes),
        "rows": rows,
    }


class _Flow:
    """Synthesis that remembers versions, and why what is missing is missing."""

    def __init__(self, liberty: Path | None, progress: Progress):
        self.liberty = liberty
        self.progress = progress
        self.place = 0.0
        self.tools: dict[str, str] = {}
        self.notes: set[str] = set()

    def cells(self, part: Part, clock_ps: float | None) -> Report | None:
        return self._synthesize(part, "cells", liberty=self.liberty, clock_ps=clock_ps)

    def ecp5(self, part: Part) -> Report | None:
        return self._synthesize(part, "ecp5")

    def note(self, error: Exception) -> None:
        self.notes.add(str(error))

    def _synthesize(self, part: Part, target: str, **options: Any) -> Report | None:
        def report(what: str, fraction: float) -> None:
            self.progress(what, self.place)

        try:
            result = synthesize(part.module, part.settings, target, progress=report, **options)
        except ToolError as error:
            self.note(error)
            return None
        self.tools |= result.tools
        self.notes.update(result.notes)
        return result


def _row(contender: Contender, flow: _Flow, clock_ps: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": contender.name,
        "module": contender.module,
        "paper": contender.paper,
        "mantissa_bits": contender.mantissa_bits,
        "parameters": contender.element("cells").settings,
    }
    parts, macs = contender.parts("cells"), contender.macs_per_cycle("cells")
    reports = [flow.cells(part, clock_ps) for part in parts]
    area, period = _total(reports, parts, "area_um2"), _worst(reports, "min_period_ps", max)
    row |= {
        "macs_per_cycle": round(macs, 3),
        "area_um2": area,
        "area_um2_per_mac_per_cycle": _per(area, macs),
        "area_at_clock_um2_per_mac_per_cycle": _per(
            _total(reports, parts, "area_at_clock_um2"), macs
        ),
        "meets_clock": _worst(reports, "meets_clock", min),
        "min_period_ps": period,
        "area_time_um2_ns_per_mac": _per(area and period and area * period / 1000, macs),
        "energy_pj_per_mac": _energy(contender, reports, flow, clock_ps),
        "macro_bits": _total(reports, parts, "macro_bits"),
        "parts": [part.__dict__ for part in parts],
    }
    parts, macs = contender.parts("ecp5"), contender.macs_per_cycle("ecp5")
    reports = [flow.ecp5(part) for part in parts]
    lut4 = _lut4(reports, parts)
    row |= {
        "macs_per_cycle_ecp5": round(macs, 3),
        "lut4": lut4,
        "ff": _total(reports, parts, "ff"),
        "dsp": _total(reports, parts, "dsp"),
        "bram": _total(reports, parts, "bram"),
        "fmax_mhz": _worst(reports, "fmax_mhz", min),
        "lut4_per_mac_per_cycle": _per(lut4, macs),
        "parts_ecp5": [part.__dict__ for part in parts],
    }
    return row


def _lut4(reports: Sequence[Report | None], parts: list[Part]) -> float | None:
    """Return the LUT4 that all instances take, those in carry chains and small memories too."""
    taken = {"lut4": 1, "ccu2c": 2, "dpr16x4": 4}
    totals = {figure: _total(reports, parts, figure) for figure in taken}
    if None in totals.values():
        return None
    return sum(times * (totals[figure] or 0) for figure, times in taken.items())


def _energy(
    contender: Contender, cells: Sequence[Report | None], flow: _Flow, clock_ps: float | None
) -> float | None:
    reports = [report for report in cells if report is not None]
    if clock_ps is None or len(reports) < len(cells):
        return None
    flow.progress(f"{contender.name}: running the netlist", flow.place)
    try:
        return float(f"{energy_pj(contender, reports, clock_ps):.4g}")
    except (ToolError, ValueError) as error:
        flow.note(error)
        return None


def ratios(rows: list[dict[str, Any]]) -> None:
    """Add to each row what FP-FP takes per MAC over what it takes: above 1 is better than FP-FP."""
    base = next((row for row in rows if row["module"] == FP_FP.module), {})
    for row in rows:
        for name, figure in _RATIOS.items():
            mine, theirs = row[figure], base.get(figure)
            row[name] = round(theirs / mine, 3) if mine and theirs else None


def _total(reports: Sequence[Report | None], parts: list[Part], figure: str) -> float | None:
    """Add up a figure over all instances; None if one part's is missing."""
    values = _values(reports, figure)
    if values is None:
        return None
    return round(sum(v * part.count for v, part in zip(values, parts, strict=True)), 2)


def _worst(
    reports: Sequence[Report | None], figure: str, choose: Callable[[list[float]], float]
) -> float | None:
    values = _values(reports, figure)
    return None if values is None else choose(values)


def _values(reports: Sequence[Report | None], figure: str) -> list[float] | None:
    values = [report.figures.get(figure) for report in reports if report is not None]
    return None if len(values) < len(reports) or None in values else values


def _per(value: float | None, macs: float) -> float | None:
    return None if value is None else float(f"{value / macs:.5g}")
