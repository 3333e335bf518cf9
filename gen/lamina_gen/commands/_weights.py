"""Weights of `lamina gemm`: arrays of one's own, or a product of what `lamina pack` wrote."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lamina_sim.workload import words
from lamina_sim.workload.quantize import Quantized

__all__ = ["Weights", "packed_weights"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """Codes, scales and zero points as a user has them, unchecked."""

    codes: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray | None


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedWeights(Weights):
    """The same out of a file, with their width and group, and the order of their rows."""

    product: Quantized

    @property
    def bits(self) -> int:
        """Of a code."""
        return self.product.bits

    @property
    def group(self) -> int:
        """Rows that share a scale."""
        return self.product.group

    def arranged(self, x: np.ndarray) -> np.ndarray:
        """Return activations [m, k] in the order of the rows."""
        k = len(self.codes)
        if x.ndim != 2 or x.shape[1] != k:
            raise ValueError(f"Activations must have shape [m, {k}], not {x.shape}.")
        return np.ascontiguousarray(self.product.arranged(x))


def packed_weights(path: Path, name: str | None) -> PackedWeights:
    """Read the product ``name``, or the only one; ValueError if there is none or more than one."""
    products = words.load(path)
    names = [*products] if name is None else [name]
    if len(names) != 1 or names[0] not in products:
        known = ", ".join([*products][:5]) + (", .." if len(products) > 5 else "")
        raise ValueError(f"--product must name one product of {path}, which has {known}.")
    q = products[names[0]].quantized()
    return PackedWeights(codes=q.codes, scales=q.scales, zero_points=q.zero_points, product=q)
