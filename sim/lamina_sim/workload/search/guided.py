"""A search that learns from every loss how much each position costs: fewer evaluations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.precision import Mantissas
from lamina_sim.workload.search.sensitivity import Sensitivity
from lamina_sim.workload.search.trace import Evaluate, Outcome, Step

#: A cheaper tuple that is less likely than this to pass is not worth an evaluation.
_LEAST_CHANCE = 0.1


def guided_search(
    evaluate: Evaluate,
    macs: Sequence[int],
    tolerance: float,
    *,
    iterations: int = 32,
    lengths: range = range(1, 14),
    first: int = 7,
    report: Callable[[Step], None] | None = None,
) -> Outcome:
    """Cheapest tuple within ``tolerance``, by expected gain under a model of the loss.

    Where the paper's search asks only whether a tuple passed, this one fits `Sensitivity` to the
    losses seen, and evaluates the tuple of which it expects the largest drop in bit operations:
    the chance to pass times what it would save. No tuple at or below one clearly rejected is
    tried, since fewer bits are no better. It ends when no cheaper tuple has a chance of a tenth.

    ``lengths`` that a position may have, ``first``: of the uniform tuple that it starts with.
    """
    outcome = Outcome(macs=macs, tolerance=tolerance, report=report)
    if first not in lengths:
        raise ValueError(f"first must be one of {lengths}, not {first}.")
    space = np.array(list(itertools.product(lengths, repeat=len(macs))), dtype=np.int64)
    cost = np.array([outcome.cost(tuple(row)) for row in space.tolist()])
    possible = np.ones(len(space), dtype=bool)
    model = Sensitivity(macs, tolerance)
    candidate: Mantissas | None = (first,) * len(macs)
    while candidate is not None and outcome.evaluations < iterations:
        loss = evaluate(candidate)
        model.observe(candidate, loss)
        if outcome.step(candidate, loss):
            possible &= cost < outcome.cost(outcome.best)
        else:
            # Within the noise of the text, a tuple below a rejected one may still pass.
            sure = loss > tolerance + model.blur
            possible &= ~((space <= candidate) if sure else (space == candidate)).all(1)
        candidate = _next(space[possible], cost[possible], outcome, model, cost.max())
    return outcome


def _next(
    space: npt.NDArray[np.int64],
    cost: npt.NDArray[np.float64],
    outcome: Outcome,
    model: Sensitivity,
    most: float,
) -> Mantissas | None:
    """The tuple with the largest expected gain, or None where it is not worth the evaluation."""
    if not len(space):
        return None
    chance = model.chance(space)
    if outcome.best is None and chance.max() < _LEAST_CHANCE:
        # Nothing has passed yet and little will: the longest mantissas settle it.
        return tuple(space[cost.argmax()].tolist())
    bar = most if outcome.best is None else outcome.cost(outcome.best)
    gain = np.where(chance < _LEAST_CHANCE, 0, chance * (bar - cost))
    best = int(gain.argmax())
    if outcome.best is not None and gain[best] == 0:
        return None
    return tuple(space[best].tolist())
