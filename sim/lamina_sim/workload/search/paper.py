"""The search of the Anda paper (HPCA 2025, section IV-C)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

from lamina_sim.workload.precision import Mantissas
from lamina_sim.workload.search.trace import Evaluate, Outcome, Step


def paper_search(
    evaluate: Evaluate,
    macs: Sequence[int],
    tolerance: float,
    *,
    iterations: int = 32,
    starts: Iterable[int] = range(4, 14),
    stop_early: bool = False,
    report: Callable[[Step], None] | None = None,
) -> Outcome:
    """Cheapest tuple within ``tolerance``, by best-first descent from uniform tuples.

    A queue ordered by bit operations, first in first out among equals, starts with the uniform
    tuples. Each iteration evaluates the cheapest; if it passes and is cheaper than the best so far
    it becomes the best, and every tuple that lowers one of its lengths by 1 and was not evaluated
    yet is queued, the first position first. It ends after ``iterations`` or with the queue.

    ``stop_early``: end also when nothing queued is cheaper than the best, for then nothing can win;
    the paper goes on. Lengths do not fall below 1, where the paper is silent.
    """
    outcome = Outcome(macs=macs, tolerance=tolerance, report=report)
    queue: list[tuple[float, int, Mantissas]] = []
    queued: set[Mantissas] = set()

    def push(mantissas: Mantissas) -> None:
        if mantissas not in queued and min(mantissas) >= 1:
            # The count keeps equals in the order of their arrival.
            heapq.heappush(queue, (outcome.cost(mantissas), len(queued), mantissas))
            queued.add(mantissas)

    for m in starts:
        push((m,) * len(macs))
    while queue and outcome.evaluations < iterations:
        cost, _, mantissas = heapq.heappop(queue)
        wins = cost < outcome.cost(outcome.best)
        if stop_early and not wins:
            break
        if outcome.step(mantissas, evaluate(mantissas)) and wins:
            for i, m in enumerate(mantissas):
                push((*mantissas[:i], m - 1, *mantissas[i + 1 :]))
    return outcome
