"""The specification of a sweep: a TOML file becomes points, or one sentence says why not."""

import contextlib
import itertools
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from lamina_gen.registry import Entry, find, make_parameters
from lamina_gen.sweep.pareto import Axes
from lamina_gen.sweep.point import SYNTH_TARGETS, Point, evaluator

__all__ = ["Spec", "read_spec"]

#: Axes of a plot by target; a target that is not here needs a table [pareto.TARGET].
_AXES = {
    "describe": Axes(x="storage_bits", y="latency"),
    "cells": Axes(x="area_um2", y="min_period_ps"),
    "ecp5": Axes(x="lut4", y="fmax_mhz", maximize=("fmax_mhz",)),
}


@dataclass(frozen=True)
class Spec:
    """What a file asks for: ``points``, each once, in the file's order; ``axes`` by target."""

    points: tuple[Point, ...]
    axes: dict[str, Axes]


def read_spec(path: Path) -> Spec:
    """Read a specification.

    Raises OSError if there is no such file, ValueError with one sentence for whatever is wrong in
    it. Values that a module refuses are no error: such a point fails by itself when it is run.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be valid TOML: {error}.") from None
    try:
        return _spec(tables, path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _spec(tables: dict[str, Any], folder: Path) -> Spec:
    _check_names("The file", tables, {"space", "synth", "pareto"})
    spaces = tables.get("space", [])
    if not isinstance(spaces, list) or not spaces or not all(isinstance(s, dict) for s in spaces):
        raise ValueError("There must be at least one [[space]].")
    options = _options(tables.get("synth", {}), folder)
    points = {point.key: point for space in spaces for point in _points(space, options)}
    targets = {point.target for point in points.values()}
    return Spec(tuple(points.values()), _axes(tables.get("pareto", {}), targets))


def _options(table: Any, folder: Path) -> dict[str, Any]:
    """Return the options of synthesis; a relative Liberty path counts from the file's folder."""
    _check_names("[synth]", table, {"liberty", "clock_ps"})
    options = dict(table)
    if "liberty" in options:
        if not isinstance(options["liberty"], str):
            raise ValueError("liberty must be the path of a file.")
        liberty = (folder / Path(options["liberty"]).expanduser()).absolute()
        if not liberty.is_file():
            raise ValueError(f"liberty must be a Liberty file, and {liberty} is none.")
        options["liberty"] = str(liberty)
    if "clock_ps" in options:
        clock = options["clock_ps"]
        if isinstance(clock, bool) or not isinstance(clock, int | float) or clock <= 0:
            raise ValueError(f"clock_ps must be a number above 0, not {clock!r}.")
    return options


def _points(space: dict[str, Any], options: dict[str, Any]) -> Iterator[Point]:
    _check_names("[[space]]", space, {"module", "targets", "parameters"})
    if not isinstance(space.get("module"), str):
        raise ValueError("Each [[space]] must name its module.")
    entry = find(space["module"])
    targets = space.get("targets")
    if not isinstance(targets, list) or not targets or not all(isinstance(t, str) for t in targets):
        raise ValueError(f"targets of {entry.name} must be a list of names.")
    for target in targets:
        _check_target(target)
    values = _values(entry, space.get("parameters", {}))
    for combination in itertools.product(*values.values()):
        settings = dict(zip(values, combination, strict=True))
        # What the module refuses stays as given: the point fails with its sentence when it is run.
        with contextlib.suppress(ValueError, TypeError):
            settings = asdict(cast(Any, make_parameters(entry, settings)))
        for target in targets:
            used = options if target == "cells" else {}
            yield Point(module=entry.name, parameters=settings, target=target, options=used)


def _values(entry: Entry, table: Any) -> dict[str, list[Any]]:
    known = {field.name for field in fields(entry.parameters)}
    if not isinstance(table, dict):
        raise ValueError(f"parameters of {entry.name} must be a table.")
    values = {}
    for name, value in table.items():
        if name not in known:
            choices = ", ".join(sorted(known)) or "none"
            raise ValueError(f"{entry.name} has no parameter {name!r}; it has: {choices}.")
        values[name] = value if isinstance(value, list) else [value]
        if not values[name]:
            raise ValueError(f"{name} of {entry.name} must have at least one value.")
        if not all(isinstance(item, bool | int | str) for item in values[name]):
            raise ValueError(f"{name} of {entry.name} must be integers, booleans or texts.")
    return values


def _check_target(target: str) -> None:
    if ":" in target:
        evaluator(target)
    elif target not in (*SYNTH_TARGETS, "describe"):
        known = ", ".join(SYNTH_TARGETS)
        raise ValueError(
            f"Target {target!r} must be one of {known}, describe, or package.module:function."
        )


def _axes(tables: Any, targets: set[str]) -> dict[str, Axes]:
    _check_names("[pareto]", tables, targets)
    axes = {target: _AXES[target] for target in targets & set(_AXES)}
    for target, table in tables.items():
        _check_names(f"[pareto.{target}]", table, {"x", "y", "maximize"})
        values = {"x": table.get("x"), "y": table.get("y")}
        maximize = table.get("maximize", [])
        if not all(isinstance(value, str) for value in values.values()):
            raise ValueError(f"[pareto.{target}] must name the figures x and y.")
        if not isinstance(maximize, list) or not set(maximize) <= set(values.values()):
            raise ValueError(f"maximize of [pareto.{target}] must be a list of its x or y.")
        axes[target] = Axes(**values, maximize=tuple(maximize))
    return axes


def _check_names(where: str, table: Any, known: set[str]) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"{where} must be a table.")
    for name in table:
        if name not in known:
            choices = ", ".join(sorted(known))
            raise ValueError(f"{where} must have only {choices}, not {name!r}.")
