"""Products with weights that are fetched at the planes a policy picks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.decoder import matmul
from lamina_sim.workload.nested import read_planes
from lamina_sim.workload.quantize import Quantized
from lamina_sim.workload.runtime.placement import GATE, UP, Keep, Placed, Region
from lamina_sim.workload.runtime.policy import Array, Policy, pooled
from lamina_sim.workload.tensors import Float

#: Brings the codes int8 [blocks, 512] of a product, at so many planes of each of its units.
Fetch = Callable[[str, Keep], npt.NDArray[np.int8]]


class Runtime:
    """A `Linear` that fetches weights before it multiplies; counts what it fetched in `bytes`.

    ``step`` tokens that follow each other share what is fetched, by their mean importance.
    ``fetch``: where the codes come from; None takes those of the golden store, many steps at once.
    Weights are read at the midpoint, as `read_planes` says; what is not fetched counts as zero.
    """

    def __init__(
        self, region: Region, policy: Policy, *, step: int = 1, fetch: Fetch | None = None
    ) -> None:
        if step < 1:
            raise ValueError(f"step must be at least 1, not {step}.")
        self.region, self.policy, self.step, self.fetch = region, policy, step, fetch
        #: Blocks that were read, by their number of planes.
        self.blocks = np.zeros(region.form.bits + 1, np.int64)
        self._importance = Importance(region)

    @property
    def bytes(self) -> int:
        """That left the memory; as many went over the link."""
        return 64 * int(self.blocks @ np.arange(len(self.blocks)))

    @property
    def share(self) -> float:
        """Of the bytes that all planes would have been."""
        return self.bytes / (64 * self.region.form.bits * int(self.blocks.sum()))

    def __call__(self, name: str, x: Float, weight: Float) -> Float:
        """y [m, out] of x [m, in]; a product that is not in the region is left as it is."""
        if name not in self.region.placed:
            return matmul(name, x, weight)
        placed = self.region.placed[name]
        keep = self.policy.choose(name, pooled(self._importance.of(name, x), self.step))
        sizes = np.broadcast_to(placed.sizes, keep.shape)
        counted = np.bincount(keep.ravel(), sizes.ravel(), len(self.blocks))
        self.blocks += counted.astype(np.int64)
        x = placed.codes.arranged(x)
        if self.fetch is None:
            y = _product(placed, placed.codes, x, keep.repeat(self.step, axis=0)[: len(x)])
        else:
            parts = np.split(x, range(self.step, len(x), self.step))
            y = np.concatenate(
                [
                    _product(placed, placed.seen(self.fetch(name, planes)), part, planes[None])
                    for part, planes in zip(parts, keep, strict=True)
                ]
            )
        self._importance.note(name, y)
        return y


def _product(placed: Placed, q: Quantized, x: Float, keep: Keep) -> Float:
    """x [m, in] times the weights as they are read at planes [m or 1, units]."""
    planes = placed.of_rows(keep)
    y = np.zeros((len(x), q.codes.shape[1]), np.float32)
    for count in np.unique(planes[planes > 0]).tolist():
        read = planes == count
        weights = replace(read_planes(q, count, "midpoint"), order=None).dequantize()
        y += (x * read) @ weights if placed.by == "inputs" else (x @ weights) * read
    return y


class Importance:
    """Importances of rows: squares of the activations that they meet."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self._gates: dict[str, Array] = {}

    def of(self, name: str, x: Float) -> Array:
        """[m, rows] for activations x [m, in], in the order of the rows of codes.

        An output of `up` counts as the square of what its gate, which has been computed, lets
        through. Of outputs whose gate is not known all count the same.
        """
        placed = self.region.placed[name]
        if placed.by == "inputs":
            return np.square(placed.codes.arranged(x), dtype=np.float64)
        gate = self._gates.pop(name, None)
        return np.ones((len(x), placed.length)) if gate is None else gate

    def note(self, name: str, y: Float) -> None:
        """Take in what a product has given."""
        if name.endswith(GATE):
            with np.errstate(over="ignore"):
                through = np.square(y / (1 + np.exp(-y)), dtype=np.float64)
            self._gates[name.removesuffix(GATE) + UP] = through
