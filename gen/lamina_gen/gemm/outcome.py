"""What the hardware gave for a problem, and whether it is what it should be."""

from dataclasses import dataclass

import numpy as np

from lamina_gen.gemm.problem import Problem

__all__ = ["Outcome"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What the hardware gave for a problem.

    ``result`` float32 [m, n]; ``cycles`` of the system, all passes together; ``bytes_fetched`` from
    the plane store; ``error``: the system's error flag.
    """

    problem: Problem
    result: np.ndarray
    cycles: int
    bytes_fetched: int
    error: bool

    @property
    def exact(self) -> bool:
        """Whether every bit is the golden model's, and no error was flagged."""
        got, expected = self.result.view(np.uint32), self.problem.expected.view(np.uint32)
        return not self.error and bool(np.array_equal(got, expected))

    @property
    def mismatch(self) -> str:
        """One sentence on how the hardware differs from the golden model."""
        got, expected = self.result.view(np.uint32), self.problem.expected.view(np.uint32)
        wrong = np.argwhere(got != expected)
        if not len(wrong):
            return "The system flagged an error of the plane store."
        at = tuple(wrong[0])
        return (
            f"{len(wrong)} of {got.size} results differ from golden, first at "
            f"[{at[0]}, {at[1]}]: {got[at]:#010x} instead of {expected[at]:#010x}."
        )

    @property
    def traffic(self) -> str:
        """What was accessed, in words."""
        return f"{self.bytes_fetched} bytes of weights fetched"

    @property
    def macs_per_cycle(self) -> float:
        """Multiplications of the product per cycle."""
        return self.problem.macs / self.cycles
