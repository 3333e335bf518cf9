"""A precision search over a checkpoint: from a study to what the file of `search` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_gen.study import Study
from lamina_sim.workload.evaluation import Evaluator
from lamina_sim.workload.precision import Mantissas, Precision, bops_saving
from lamina_sim.workload.quantize import Quantized
from lamina_sim.workload.runtime.placement import TILE_ROWS
from lamina_sim.workload.search import (
    Outcome,
    PlaneOutcome,
    Step,
    guided_search,
    layer_search,
    paper_search,
    plane_search,
)
from lamina_sim.workload.search.planes import Planes, read_rows

__all__ = ["SearchSettings", "find", "mantissa_search", "mean_squares"]

PrintStep = Callable[[int, Step, float], None]


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How to search; the names are those of `lamina search`."""

    tolerance: float
    method: str = "guided"
    iterations: int = 32
    planes: str | None = None


def find(
    study: Study, settings: SearchSettings, print_step: PrintStep | None = None
) -> dict[str, Any]:
    """Search and return the entries of a precision file, and what the search took.

    ValueError where no tuple is within the tolerance.
    """
    seen: list[Step] = []

    def note(number: int, step: Step, saving: float) -> None:
        seen.append(step)
        if print_step:
            print_step(number, step, saving)

    outcome = mantissa_search(study, settings, note)
    if outcome.best is None:
        raise ValueError(
            f"No tuple of mantissa lengths is within {100 * settings.tolerance:g} % of w4a16 "
            f"after {outcome.evaluations} evaluations."
        )
    best = next(step for step in outcome.trace if step.mantissas == outcome.best)
    entries: dict[str, Any] = {
        "tolerance": settings.tolerance,
        "loss": best.loss,
        "bops_saving": outcome.saving,
        "evaluations": outcome.evaluations,
        "whole_passes": study.evaluator.computed / study.model.layers,
        "trace": [
            {"mantissa_bits": step.mantissas, "loss": step.loss, "accepted": step.accepted}
            for step in seen
        ],
    }
    planes: dict[str, Any] = {}
    if settings.planes:
        rows = TILE_ROWS if settings.planes == "rows" else None
        found = _planes(study, settings.tolerance, rows)
        planes = {"planes": found.planes, "rows": rows, "reading": "midpoint"}
        entries |= {
            "plane_fraction": found.fraction,
            "plane_loss": found.loss,
            "plane_evaluations": found.evaluations,
        }
    precision = Precision.of(
        outcome.best, weight_bits=study.weight_bits, scale_group=study.scale_group, **planes
    )
    return precision.to_json() | entries


def mantissa_search(
    study: Study, settings: SearchSettings, print_step: PrintStep | None = None
) -> Outcome:
    """The search that the settings name; its trace and its evaluations are of all its parts."""
    reference = study.score("w4a16")
    seen: list[Step] = []

    def evaluate(mantissas: Mantissas) -> float:
        return study.score("anda", Precision.of(mantissas)).over(reference)

    def report(step: Step) -> None:
        seen.append(step)
        if print_step:
            macs = study.macs * (len(step.mantissas) // len(study.macs))
            print_step(len(seen), step, bops_saving(macs, step.mantissas))

    common: dict[str, Any] = {"iterations": settings.iterations, "report": report}
    if settings.method == "paper":
        return paper_search(evaluate, study.macs, settings.tolerance, **common)
    outcome = guided_search(evaluate, study.macs, settings.tolerance, **common)
    if settings.method != "layers" or outcome.best is None:
        return outcome
    loss = next(step.loss for step in outcome.trace if step.mantissas == outcome.best)
    layers = study.model.layers
    by_layer = layer_search(
        evaluate,
        study.macs * layers,
        settings.tolerance,
        start=outcome.best * layers,
        start_loss=loss,
        report=report,
    )
    # The start of the second part was evaluated in the first.
    by_layer.known = outcome.evaluations - 1
    return by_layer


def _planes(study: Study, tolerance: float, rows: int | None) -> PlaneOutcome:
    """Planes within the tolerance of all planes, with FIGNA's long mantissas for both."""
    reference = study.score("figna")
    powers = mean_squares(study.evaluator, study.codes)

    def evaluate(planes: Planes) -> float:
        codes = read_rows(study.codes, planes, rows)
        return study.score("figna", codes=codes).over(reference)

    return plane_search(evaluate, study.codes, tolerance, powers=powers, rows=rows)


def mean_squares(evaluator: Evaluator, codes: Mapping[str, Quantized]) -> dict[str, np.ndarray]:
    """Squares [k] of the activations of each product, summed over a text.

    In the order of the model; times a constant, they are means.
    """
    powers: dict[str, np.ndarray] = {}

    def linear(name: str, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        if name in codes:
            powers[name] = powers.get(name, 0) + np.square(x, dtype=np.float64).sum(0)
        return x @ weight.T

    evaluator.score(linear)
    return powers
