"""A matrix product as a user states it, and what it must give."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lamina_sim.golden import anda, pacq, store

__all__ = ["ENGINES", "Problem"]

#: What computes: bit-serial on Anda's planes, or packed FP-INT products.
ENGINES = ("anda", "pacq")


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """C = A * W on one engine.

    ``activations`` float16 [m, k], ``codes`` int8 [k, n] of ``weight_bits`` bits, ``scales``
    float16 [ceil(k / scale_group), n], ``zero_points`` int8 of the shape of scales or None.
    ``planes``: how many of the weights' bit-planes are fetched, the most significant ones; None is
    all. ``mantissa_bits`` and ``rounding`` are Anda's and mean nothing to PacQ.

    Raises TypeError or ValueError, from the golden model, for arrays that do not fit.
    """

    engine: str
    activations: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray | None = None
    weight_bits: int = 4
    scale_group: int = 128
    planes: int | None = None
    mantissa_bits: int = 8
    rounding: str = "truncate"

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {self.engine!r}.")
        if self.planes is not None and not 1 <= self.planes <= self.weight_bits:
            raise ValueError(f"planes must be between 1 and {self.weight_bits}, not {self.planes}.")
        _ = self.expected  # the golden model checks every array and number

    @property
    def keep(self) -> int:
        """Planes fetched."""
        return self.weight_bits if self.planes is None else self.planes

    @property
    def group(self) -> int:
        """Rows of weights that share a scale: ``scale_group``, or all there are."""
        return min(self.scale_group, len(self.codes))

    @property
    def shape(self) -> tuple[int, int, int]:
        """m, n, k."""
        return (len(self.activations), self.codes.shape[1], self.codes.shape[0])

    @property
    def macs(self) -> int:
        """Multiplications that the product asks for, padding left out."""
        m, n, k = self.shape
        return m * n * k

    @cached_property
    def blocks(self) -> np.ndarray:
        """The weights as blocks int8 [tiles, 512], tiles of the same columns neighbours."""
        return store.tile(self.codes)

    @cached_property
    def expected(self) -> np.ndarray:
        """Float32 [m, n] by the golden model, from the codes that the fetched planes stand for."""
        # All planes first: what the golden model says of a bad array is about the user's own.
        result = self._golden(self.codes)
        if self.keep == self.weight_bits:
            return result
        _, n, k = self.shape
        stored = store.to_planes(self.blocks, self.weight_bits)
        kept = store.from_planes(stored, self.weight_bits, self.keep)
        return self._golden(store.untile(kept, k, n))

    def _golden(self, codes: np.ndarray) -> np.ndarray:
        x, scales, zeros = self.activations, self.scales, self.zero_points
        bits, group = self.weight_bits, self.scale_group
        if self.engine == "pacq":
            return pacq.gemm(x, codes, scales, bits=bits, zero_points=zeros, scale_group=group)
        return anda.gemm(
            x,
            codes,
            scales,
            bits=bits,
            zero_points=zeros,
            scale_group=group,
            mantissa_bits=self.mantissa_bits,
            rounding=self.rounding,
        )

    @cached_property
    def exact(self) -> np.ndarray:
        """Float64 [m, n]: the same product of the same activations and all the weights' planes."""
        group = np.arange(self.shape[2]) // self.group
        weights = self.codes.astype(np.float64)
        if self.zero_points is not None:
            weights -= self.zero_points[group]
        weights *= self.scales[group].astype(np.float64)
        return self.activations.astype(np.float64) @ weights
