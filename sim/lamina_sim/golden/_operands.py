"""Checks of what both engines take as weights: codes, scales, zero points, scale groups."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_sim.golden import _check


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Checked weights of a GEMM: weight [i, j] = (codes - zero_points) * scales, by scale group.

    Members: ``codes`` int8 [k, n]; ``scales`` float32 [groups, n], exact copies of the float16;
    ``zero_points`` int8 [groups, n] or None for all zero; ``scale_group`` elements along k that
    share a row of scales; ``bits`` of a code.
    """

    codes: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray | None
    scale_group: int
    bits: int

    @property
    def largest(self) -> int:
        """A bound of |code - zero point|."""
        return (1 << self.bits) - 1

    def integers(self, start: int, stop: int, columns: slice, dtype: Any) -> np.ndarray:
        """B = code - zero_point for k in [start, stop), which lies in one scale group."""
        b = self.codes[start:stop, columns].astype(dtype)
        if self.zero_points is not None:
            b -= self.zero_points[start // self.scale_group, columns].astype(dtype)
        return b


def check_weights(
    codes: Any,
    scales: Any,
    zero_points: Any,
    *,
    k: int,
    bits: int,
    scale_group: Any,
    multiple: int,
) -> Weights:
    """Checks the weight operands of a GEMM whose activations have ``k`` columns.

    ``scale_group`` must be a multiple of ``multiple``, or ``k`` itself.

    Raises:
        TypeError: an operand is no array, or of the wrong dtype.
        ValueError: a wrong shape, a code or zero point out of range, a scale not finite.
    """
    codes = _check.array("codes", codes, np.int8, 2)
    if codes.shape[0] != k:
        raise ValueError(
            f"codes must have as many rows as x has columns, {k}, not {codes.shape[0]}."
        )
    _check.signed_range("codes", codes, bits)
    scale_group = _check.integer("scale_group", scale_group, 1)
    if scale_group % multiple and scale_group != k:
        raise ValueError(
            f"scale_group must be a multiple of {multiple} or k itself ({k}), not {scale_group}."
        )
    scale_group = min(scale_group, k)  # one group either way, and a number that NumPy divides by
    shape = (-(-k // scale_group), codes.shape[1])
    scales = _check.array("scales", scales, np.float16, 2)
    _check.shape("scales", scales, shape)
    if not np.isfinite(scales).all():
        raise ValueError("scales must be finite, not Inf or NaN.")
    if zero_points is not None:
        zero_points = _check.array("zero_points", zero_points, np.int8, 2)
        _check.shape("zero_points", zero_points, shape)
        _check.signed_range("zero_points", zero_points, bits)
    return Weights(
        codes=codes,
        scales=scales.astype(np.float32),
        zero_points=zero_points,
        scale_group=scale_group,
        bits=bits,
    )
