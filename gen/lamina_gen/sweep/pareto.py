"""What is worth building: the points that no other beats on both axes, and their plot."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina_gen.sweep.results import Row

__all__ = ["Axes", "front", "plot"]

_OPERATORS = {"*": operator.mul, "/": operator.truediv}


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Two figures to weigh; less is better, but for those in ``maximize``.

    A figure is the name of a figure or parameter, ``outer.inner`` within a table, or several with
    ``*`` and ``/`` between: ``area_um2 * min_period_ps / columns``.
    """

    x: str
    y: str
    maximize: tuple[str, ...] = ()

    def place(self, row: Row) -> tuple[float, float] | None:
        """Return the figures of ``row``; None if it failed or lacks one."""
        x, y = (_value(name, row) for name in (self.x, self.y))
        return None if x is None or y is None else (x, y)

    def cost(self, place: tuple[float, float]) -> tuple[float, float]:
        """Return ``place`` with signs such that less is better."""
        x, y = place
        return (-x if self.x in self.maximize else x, -y if self.y in self.maximize else y)


def _value(expression: str, row: Row) -> float | None:
    words = expression.split()
    values = [_look_up(name, row) for name in words[::2]]
    if any(value is None for value in values) or any(
        word not in _OPERATORS for word in words[1::2]
    ):
        return None
    result = values[0]
    for sign, value in zip(words[1::2], values[1:], strict=False):
        if sign == "/" and not value:
            return None
        result = _OPERATORS[sign](result, value)
    return result


def _look_up(name: str, row: Row) -> float | None:
    value: Any = row.parameters | (row.figures or {}) if row.figures is not None else {}
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def front(rows: Sequence[Row], axes: Axes) -> list[Row]:
    """Return the rows that no other is better than on one axis and as good on the other.

    In order of the first axis, best first; of rows with equal figures the first is kept.
    """
    placed = [(axes.cost(place), row) for row in rows if (place := axes.place(row))]
    best, result = float("inf"), []
    for (_, y), row in sorted(placed, key=lambda item: item[0]):
        if y < best:
            best = y
            result.append(row)
    return result


def plot(rows: Sequence[Row], axes: Axes, target: str, path: Path) -> None:
    """Draw the rows of ``target`` and their front into ``path``, an SVG file."""
    from lamina_gen.plots import figure, save

    chart, ax = figure()
    for module in sorted({row.module for row in rows}):
        places = [place for row in rows if row.module == module and (place := axes.place(row))]
        if places:
            ax.scatter(*zip(*places, strict=True), label=module, s=18)
    chosen = front(rows, axes)
    places = [place for row in chosen if (place := axes.place(row))]
    ax.plot(*zip(*places, strict=True), color="black", linewidth=0.8, label="Pareto front")
    for place, row in zip(places, chosen, strict=True):
        ax.annotate(_label(row, rows), place, xytext=(4, 4), textcoords="offset points", fontsize=6)
    better = {name: "more" if name in axes.maximize else "less" for name in (axes.x, axes.y)}
    ax.set(xlabel=f"{axes.x} ({better[axes.x]} is better)", title=target)
    ax.set(ylabel=f"{axes.y} ({better[axes.y]} is better)")
    ax.legend(fontsize=7)
    save(chart, path)


def _label(row: Row, rows: Sequence[Row]) -> str:
    """Return the parameters in which the rows of this module differ."""
    others = [other.parameters for other in rows if other.module == row.module]
    return " ".join(
        f"{name}={value}"
        for name, value in row.parameters.items()
        if any(other.get(name) != value for other in others)
    )
