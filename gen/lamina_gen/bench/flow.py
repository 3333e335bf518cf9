"""Synthesis of a contender's parts, as `bench pe` needs it: what is missing is told, not raised."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lamina_gen.bench.contenders import Part
from lamina_gen.build import Progress
from lamina_gen.synth import Report, synthesize
from lamina_sim.verilated.toolchain import ToolError

__all__ = ["Flow", "Parts"]


class Flow:
    """Synthesis that remembers versions, and why what is missing is missing.

    ``notes`` are sentences, ``tools`` versions by name, ``place`` how much of all is done.
    """

    def __init__(self, liberty: Path | None, progress: Progress | None):
        self.liberty = liberty
        self.place = 0.0
        self.tools: dict[str, str] = {}
        self.notes: set[str] = set()
        self._progress = progress or (lambda what, fraction: None)
        self._done: dict[str, Report] = {}

    def progress(self, what: str) -> None:
        """Tell what is being done."""
        self._progress(what, self.place)

    def cells(self, parts: Iterable[Part], clock_ps: float | None = None) -> "Parts":
        """Map ``parts`` to cells, at ``clock_ps`` as well if there is one."""
        options = {"liberty": self.liberty, "clock_ps": clock_ps}
        return Parts([(part, self._synthesize(part, "cells", **options)) for part in parts])

    def ecp5(self, parts: Iterable[Part]) -> "Parts":
        """Place and route ``parts``, each on its own."""
        return Parts([(part, self._synthesize(part, "ecp5")) for part in parts])

    def _synthesize(self, part: Part, target: str, **options: Any) -> Report | None:
        # Contenders that differ in the length of mantissas only may be one netlist.
        key = repr((part.module, sorted(part.settings.items()), target, sorted(options.items())))
        if key in self._done:
            return self._done[key]
        try:
            result = synthesize(
                part.module,
                part.settings,
                target,
                progress=lambda what, fraction: self.progress(what),
                **options,
            )
        except ToolError as error:
            self.notes.add(str(error))
            return None
        self.tools |= result.tools
        self.notes.update(result.notes)
        self._done[key] = result
        return result


class Parts:
    """Parts and their reports; None for what could not be synthesized."""

    def __init__(self, reports: Sequence[tuple[Part, Report | None]]):
        self.reports = reports

    @property
    def complete(self) -> list[tuple[Part, Report]] | None:
        """All parts with their reports; None if one has none."""
        found = [(part, report) for part, report in self.reports if report is not None]
        return found if len(found) == len(self.reports) else None

    def total(self, figure: str) -> float | None:
        """Add up a figure over all instances; None if one part's is missing."""
        values = self._values(figure)
        if values is None:
            return None
        counts = (part.count for part, _ in self.reports)
        return round(sum(v * count for v, count in zip(values, counts, strict=True)), 2)

    def choose(self, figure: str, by: Callable[[list[Any]], Any]) -> Any:
        """Return the figure that ``by``, say max, chooses of the parts'; None if one is missing."""
        values = self._values(figure)
        return None if values is None else by(values)

    def listed(self, figures: Sequence[str]) -> list[dict[str, Any]]:
        """Return what each part is and its own ``figures``, for JSON."""
        return [
            {
                "module": part.module,
                "parameters": part.settings,
                "instances": part.count,
                **{name: report.figures.get(name) if report else None for name in figures},
            }
            for part, report in self.reports
        ]

    def _values(self, figure: str) -> list[Any] | None:
        values = [report.figures.get(figure) if report else None for _, report in self.reports]
        return None if None in values else values
