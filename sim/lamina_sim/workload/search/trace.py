"""What a search did: one step for each tuple that it evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lamina_sim.workload.precision import Mantissas, bops, bops_saving

#: Loss of a tuple over the reference: perplexity / perplexity of the reference - 1.
Evaluate = Callable[[Mantissas], float]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One evaluation: the tuple, its bit operations per token, its loss, and whether that passed.

    ``best``: cheapest accepted so far, this one included, or None.
    """

    mantissas: Mantissas
    bops: int
    loss: float
    accepted: bool
    best: Mantissas | None


@dataclass(kw_only=True)
class Outcome:
    """Trace of a search over tuples whose positions cost ``macs`` multiplications per token.

    ``tolerance`` is the largest loss accepted; ``report``, if any, is called with every step;
    ``known`` evaluations of an earlier search led to this one.
    """

    macs: Sequence[int]
    tolerance: float
    report: Callable[[Step], None] | None = None
    trace: list[Step] = field(default_factory=list)
    known: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < float("inf"):
            raise ValueError(f"tolerance must be a number from 0, not {self.tolerance}.")

    @property
    def best(self) -> Mantissas | None:
        """The cheapest tuple accepted, the first of equals; None if none was."""
        return self.trace[-1].best if self.trace else None

    @property
    def evaluations(self) -> int:
        """How often the model was evaluated."""
        return self.known + len(self.trace)

    @property
    def saving(self) -> float | None:
        """Bit operations of FP16 activations over those of ``best``."""
        return None if self.best is None else bops_saving(self.macs, self.best)

    def cost(self, mantissas: Mantissas | None) -> float:
        """Bit operations per token; infinite for None."""
        return float("inf") if mantissas is None else bops(self.macs, mantissas)

    def step(self, mantissas: Mantissas, loss: float) -> bool:
        """Note an evaluation; return whether it passed. A loss of NaN does not."""
        accepted = loss <= self.tolerance
        better = accepted and self.cost(mantissas) < self.cost(self.best)
        step = Step(
            mantissas=mantissas,
            bops=bops(self.macs, mantissas),
            loss=loss,
            accepted=accepted,
            best=mantissas if better else self.best,
        )
        self.trace.append(step)
        if self.report:
            self.report(step)
        return accepted
