"""Mantissa lengths of each layer of its own, from one probe of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from lamina_sim.workload.precision import Mantissas
from lamina_sim.workload.search.trace import Evaluate, Outcome, Step

#: Bits by which a probe shortens one position: enough for its loss to stand out.
_PROBE_DROP = 2
#: A bit more divides a loss by about 4.
_FACTOR = 4.0


def layer_search(
    evaluate: Evaluate,
    macs: Sequence[int],
    tolerance: float,
    *,
    start: Mantissas,
    start_loss: float,
    trials: int = 6,
    lengths: range = range(1, 14),
    report: Callable[[Step], None] | None = None,
) -> Outcome:
    """Cheapest tuple of one length per position of ``macs``, kinds of layers, from ``start``.

    ``start`` is an accepted tuple, its loss ``start_loss``: that of all layers alike, repeated.
    Each position is probed once, two bits shorter, the last first, so that an evaluator that keeps
    what unchanged layers gave computes the later layers only. With losses that add and fall by
    a factor of 4 per bit, the best lengths for a loss are found by taking bits where they save
    most bit operations for the loss; ``trials`` bisect on the loss to aim at until the real one is
    just within ``tolerance``. What comes out is never worse than ``start``.
    """
    outcome = Outcome(macs=macs, tolerance=tolerance, report=report)
    outcome.step(start, start_loss)
    growth = [0.0] * len(macs)
    for i in reversed(range(len(macs))):
        drop = min(_PROBE_DROP, start[i] - lengths[0])
        if drop == 0:
            growth[i] = math.inf
            continue
        probe = (*start[:i], start[i] - drop, *start[i + 1 :])
        loss = evaluate(probe)
        outcome.step(probe, loss)
        growth[i] = max(loss - start_loss, tolerance * 1e-3) / (_FACTOR**drop - 1)
    low, high = 0.0, 2.0
    tried = {step.mantissas for step in outcome.trace}
    for _ in range(trials):
        aim = (low + high) / 2
        candidate = _allocate(macs, start, growth, aim * tolerance - start_loss, lengths)
        if candidate in tried or outcome.cost(candidate) >= outcome.cost(outcome.best):
            low = aim
            continue
        tried.add(candidate)
        if outcome.step(candidate, evaluate(candidate)):
            low = aim
        else:
            high = aim
    return outcome


def _allocate(
    macs: Sequence[int], start: Mantissas, growth: Sequence[float], budget: float, lengths: range
) -> Mantissas:
    """Lengths whose added loss is within ``budget``: bits move from where they do little.

    ``growth[i] * (4**n - 1)`` is the loss that n bits fewer at position i add.
    """
    # Every position long, then the bit that saves most for its loss goes, until none fits.
    lengths_now = [min(m + 2, lengths[-1]) for m in start]

    def added(i: int, m: int) -> float:
        return float(growth[i] * (_FACTOR ** (start[i] - m) - 1)) if growth[i] < math.inf else 0.0

    spent = sum(added(i, m) for i, m in enumerate(lengths_now))
    while True:
        best, rate = None, math.inf
        for i, m in enumerate(lengths_now):
            if m == lengths[0] or (growth[i] == math.inf and m <= start[i]):
                continue
            more = added(i, m - 1) - added(i, m)
            if spent + more <= budget and more / macs[i] < rate:
                best, rate = i, more / macs[i]
        if best is None:
            return tuple(lengths_now)
        spent += added(best, lengths_now[best] - 1) - added(best, lengths_now[best])
        lengths_now[best] -= 1
