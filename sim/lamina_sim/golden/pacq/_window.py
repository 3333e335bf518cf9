"""How often a unit with an alignment window goes over a scale group."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_sim.golden import _check

#: Signed significand of FP16, what a window of no further exponents would have.
_SIGNIFICAND_BITS = 12
_SPECIAL = 31


@dataclass(frozen=True)
class Passes:
    """``steps``: for each tile of rows and, within it, each scale group the steps of each pass."""

    steps: tuple[tuple[int, ...], ...]

    @property
    def fresh(self) -> int:
        """Steps of all first passes."""
        return sum(passes[0] for passes in self.steps)

    @property
    def replayed(self) -> int:
        """Steps of all later passes."""
        return sum(sum(passes[1:]) for passes in self.steps)

    def cycles(self, outputs: int) -> int:
        """Cycles of all passes in steady state; a tile's ``outputs`` leave one a cycle."""
        return sum(max(steps, outputs) for passes in self.steps for steps in passes)

    def overhead(self, outputs: int) -> float:
        """Cycles of later passes over those of the first."""
        return self.cycles(outputs) / sum(max(p[0], outputs) for p in self.steps) - 1


def window_passes(
    x: Any, *, window_bits: int = 30, rows: int = 1, lanes: int = 4, scale_group: int = 128
) -> Passes:
    """Passes of `pacq.window_dot` over activations float16 [m, k].

    Args:
        x: activations; k is padded with +0 to a multiple of ``lanes``, m to one of ``rows``.
        window_bits: of an aligned activation, 16 to 41.
        rows: rows of a tile, whose steps are replayed together.
        lanes: activations of a row in a step.
        scale_group: along k, a multiple of ``lanes`` or k itself.

    A row's first window holds the exponents from the largest of its group down to window_bits - 12
    below it, the next one as many below that. What has a finite value other than zero below the
    window comes again with it. When all windows of a tile have come to the least exponent,
    infinities follow, each pass a step with one of each row; until then their steps come along. A
    NaN needs no pass.

    Raises:
        TypeError: ``x`` is no array, or of another dtype.
        ValueError: a wrong shape or a parameter out of range.
    """
    x = _check.array("x", x, np.float16, 2)
    window_bits = _check.integer("window_bits", window_bits, 16, 41)
    rows = _check.integer("rows", rows, 1)
    lanes = _check.integer("lanes", lanes, 1)
    scale_group = min(_check.integer("scale_group", scale_group, 1), x.shape[1])
    if scale_group % lanes and scale_group != x.shape[1]:
        raise ValueError(f"scale_group must be a multiple of {lanes}, not {scale_group}.")
    x = np.pad(x, [(0, -x.shape[0] % rows), (0, -x.shape[1] % lanes)])
    size = scale_group + -scale_group % lanes
    found = []
    for tile in x.reshape(-1, rows, x.shape[1]):
        for start in range(0, x.shape[1], size):
            group = tile[:, start : start + size]
            found.append(_passes(group.reshape(rows, -1, lanes), window_bits))
    return Passes(tuple(found))


def _passes(group: np.ndarray, window_bits: int) -> tuple[int, ...]:
    """Steps of each pass over a group [rows, steps, lanes]."""
    bits = group.view(np.uint16)
    exponent = np.maximum((bits >> 10) & 31, 1).astype(np.int64)
    finite = exponent != _SPECIAL
    infinite = np.isinf(group)
    held = window_bits - _SIGNIFICAND_BITS + 1  # exponents of a window
    top = np.where(finite, exponent, 1).max(axis=(1, 2), keepdims=True)
    window = np.where(finite & (group != 0), (top - exponent) // held, 0)
    lowest = int(((top - 1) // held).max())
    counts = [group.shape[1]]
    for number in range(1, lowest + 1):
        left = ((window >= number) | infinite).any(axis=(0, 2))
        counts.append(int(left.sum()))
    counts += [1] * int(infinite.sum(axis=2).max(axis=0).sum())
    return tuple(count for count in counts if count)
