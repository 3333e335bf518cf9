"""The target `cells`: area, period and area x time on a Liberty library."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lamina_gen.synth import abc, sta, tools
from lamina_gen.synth.cells import Front, Mapped, unpacked
from lamina_gen.synth.liberty import read_liberty
from lamina_gen.synth.report import Report
from lamina_gen.synth.source import split
from lamina_gen.synth.technology import check_usable

__all__ = ["DEFAULT_LIBERTY", "choose_liberty", "synthesize_cells"]

#: Where Debian's package qflow-tech-osu018 puts its library.
DEFAULT_LIBERTY = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")

#: What registers take of a period, so that ABC, which sees only what lies between them, aims lower.
_REGISTER_SHARE = 0.12


@dataclass(frozen=True)
class _Point:
    """One mapping of the design, and its timing once somebody asks."""

    script: str
    mapped: Mapped
    time: Callable[[Mapped], sta.Timing | None]

    @cached_property
    def timing(self) -> sta.Timing | None:
        return self.time(self.mapped)

    @cached_property
    def area(self) -> float:
        return sum(self.mapped.total_area)

    @property
    def period(self) -> float | None:
        return self.timing.period_ps if self.timing else None

    def meets(self, clock_ps: float) -> bool:
        return self.timing is not None and (self.period or 0.0) <= clock_ps


def choose_liberty(liberty: Path | None) -> Path:
    """Return the library to use; ValueError says what to install or to give."""
    if liberty is None:
        if not DEFAULT_LIBERTY.is_file():
            raise ValueError(
                "The target cells needs a cell library: give one with --liberty, or install "
                "Debian's qflow-tech-osu018."
            )
        return DEFAULT_LIBERTY
    return liberty


def synthesize_cells(
    design: Any,
    liberty: Path | None,
    clock_ps: float | None,
    report: Callable[[str, float], None],
) -> Report:
    """Map ``design`` with each ABC script and time the results.

    ``area_um2`` and ``min_period_ps`` are of the script "fast"; ``area_lean_um2`` of "lean". The
    area at a clock is that of the smallest result of all scripts that meets it.
    """
    path = choose_liberty(liberty)
    library = read_liberty(path)
    check_usable(library, path)
    source = split(design.emission)
    top = design.emission.entry.top
    front = Front(top, source, library, unpacked(path))
    report(f"{top}: Yosys reads the Verilog", 0.0)
    front.folder(tools.passes(top, report))

    def point(name: str, delay_ps: float | None = None) -> _Point:
        return _Point(name, front.map(abc.SCRIPTS[name], delay_ps), time)

    def time(mapped: Mapped) -> sta.Timing | None:
        report(f"{top}: OpenSTA times a netlist", 0.6)
        return sta.timing(mapped.folder / "gates.v", top, front.liberty, design.clocked)

    report(f"{top}: ABC maps to cells", 0.4)
    with ThreadPoolExecutor(2) as pool:
        points = dict(zip(("fast", "lean"), pool.map(point, ("fast", "lean")), strict=True))
    figures, notes = _figures(points["fast"], points["lean"], source.macro_bits)
    best = points["fast"]
    if clock_ps is not None:
        report(f"{top}: mapping for {clock_ps:.0f} ps", 0.7)
        best = _at_clock(point, list(points.values()), clock_ps)
        figures |= _clock_figures(best, clock_ps)
    if tools.find_sta() is None:
        notes.append(sta.MISSING)
    report(f"{top}: synthesized", 1.0)
    return Report(
        module=design.emission.entry.name,
        parameters=design.parameters,
        target="cells",
        top=top,
        tools=_versions(path, library.name),
        figures=figures,
        notes=tuple(notes),
        netlist=best.mapped.folder / "netlist.v",
        liberty=front.liberty,
    )


def _at_clock(
    point: Callable[[str, float], _Point], points: list[_Point], clock_ps: float
) -> _Point:
    """Return the smallest result that meets the clock, or else the fastest one.

    To time a large netlist takes longer than to map it, so the smaller ones come first, and what is
    larger than one that meets the clock is not timed.
    """
    aim = clock_ps * (1 - _REGISTER_SHARE)
    if tools.find_sta() is None:
        return point("clock-fast", aim)
    names = ("clock", "clock-lean", "clock-sparing", "clock-balanced", "clock-fast")
    aims = [(name, aim) for name in names]
    aims.append(("clock-fast", 0.9 * aim))
    with ThreadPoolExecutor(2) as pool:
        points = points + list(pool.map(lambda one: point(*one), aims))
    points.sort(key=lambda one: one.area)
    meeting = next((one for one in points if one.meets(clock_ps)), None)
    return meeting or min(points, key=lambda one: one.period or 0.0)


def _clock_figures(best: _Point, clock_ps: float) -> dict[str, Any]:
    return {
        "clock_ps": clock_ps,
        "meets_clock": best.meets(clock_ps) if best.timing else None,
        "script_at_clock": best.script,
        "area_at_clock_um2": round(best.area, 2),
        "period_at_clock_ps": best.period,
    }


def _figures(
    fast: _Point, lean: _Point, macro_bits: dict[str, int]
) -> tuple[dict[str, Any], list[str]]:
    logic, registers = fast.mapped.total_area
    period = fast.period
    figures = {
        "area_um2": round(fast.area, 2),
        "area_logic_um2": round(logic, 2),
        "area_registers_um2": round(registers, 2),
        "min_period_ps": period,
        "area_time_um2_ns": round(fast.area * period / 1000, 2) if period else None,
        "worst_path": fast.timing.to_json() if fast.timing else None,
        "area_lean_um2": round(lean.area, 2),
        "min_period_lean_ps": lean.period,
        "clock_ps": None,
        "area_at_clock_um2": None,
        "macro_bits": sum(
            bits * fast.mapped.instances.get(name, 0) for name, bits in macro_bits.items()
        ),
        "definitions": [
            {
                "name": name,
                "instances": times,
                "area_um2": round(sum(fast.mapped.area(name)), 2),
            }
            for name, times in fast.mapped.instances.items()
        ],
    }
    notes = []
    if figures["macro_bits"]:
        notes.append(
            f"{figures['macro_bits']} bits of memory are left to macros: neither in the area nor "
            "in the timing."
        )
    return figures, notes


def _versions(path: Path, library: str) -> dict[str, str]:
    versions = {"yosys": tools.package_version("pyosys"), "liberty": library or path.name}
    if found := tools.find_sta():
        versions["opensta"] = found[1]
    return versions
