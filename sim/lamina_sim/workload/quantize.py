"""Weight quantization, round to nearest: float weights to the codes that the engines eat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Quantized:
    """Weights as integers; weight = (code - zero_point) * scale.

    Members
        codes        int8 [k, n], in -2**(bits - 1) .. 2**(bits - 1) - 1
        scales       float16 [ceil(k / group), n], finite
        zero_points  int8 of the shape of scales and the range of codes, or None for zero
        bits         2 to 8
        group        elements along k that share a scale; the last group may be short
        order        int64 [k], or None for 0, 1, 2, ..: row i of codes belongs to input order[i],
                     where the groups of a checkpoint are not neighbours in the model's order
    """

    codes: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float16]
    zero_points: npt.NDArray[np.int8] | None
    bits: int
    group: int
    order: npt.NDArray[np.int64] | None = None

    def dequantize(self) -> npt.NDArray[np.float32]:
        """The weights float32 [k, n] that the codes stand for, in the order of the model."""
        rows = np.arange(self.codes.shape[0]) // self.group
        integers = self.codes.astype(np.float32)
        if self.zero_points is not None:
            integers -= self.zero_points[rows]
        weights = integers * self.scales[rows].astype(np.float32)
        return weights if self.order is None else weights[np.argsort(self.order)]

    def arranged(self, x: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Activations [m, k] in the order of the rows of codes."""
        return x if self.order is None else x[:, self.order]


def same(a: Quantized, b: Quantized) -> bool:
    """Whether two stand for the same weights by the same codes, scales and zero points."""

    def alike(x: np.ndarray | None, y: np.ndarray | None) -> bool:
        return x is y if x is None or y is None else np.array_equal(x, y)

    arrays = ("codes", "scales", "zero_points", "order")
    return (a.bits, a.group) == (b.bits, b.group) and all(
        alike(getattr(a, name), getattr(b, name)) for name in arrays
    )


def quantize(
    weights: npt.NDArray[np.floating],
    bits: int = 4,
    *,
    group: int | None = 128,
    columns: int = 1,
    symmetric: bool = True,
) -> Quantized:
    """Quantize weights [k, n] by rounding to the nearest code, half to even.

    A checkpoint holds matrices as [out, in]: pass the transpose, for k runs along `in`.

    Parameters
        weights    float16 or float32 [k, n], finite
        bits       width of a code, 2 to 8
        group      32 to 256 elements along k per scale, or None for one scale per column
        columns    neighbours along n that share a scale, 1 to n; the last may be fewer: group 32
                   and columns 4 are g[32, 4]
        symmetric  True: zero points are zero and the scale is max|w| / (2**(bits - 1) - 1).
                   False: scale and zero point span from min(w, 0) to max(w, 0).

    Numerics
        The scale is rounded to float16 first and codes are taken with the rounded scale. The error
        of a weight is at most half a scale, as long as the scale is no float16 subnormal.

    TypeError on another dtype; ValueError on another shape, on weights that are not finite, or on
    a scale beyond float16.
    """
    check(weights, bits, group)
    k, n = weights.shape
    if not 1 <= columns <= n:
        raise ValueError(f"columns must be between 1 and {n}, not {columns}.")
    length = k if group is None else group
    groups, shared = -(-k // length), -(-n // columns)
    # Padding with zero never widens the range of a group, which always holds zero.
    padded = np.zeros((groups * length, shared * columns))
    padded[:k, :n] = weights
    blocks = padded.reshape(groups, length, shared, columns).swapaxes(2, 3)
    padded = padded[:, :n].reshape(groups, length, n)

    lowest, highest = -(1 << bits - 1), (1 << bits - 1) - 1
    scales, offset = grid(blocks.reshape(groups, length * columns, shared), bits, symmetric)
    scales = np.repeat(scales, columns, axis=1)[:, :n]
    offset = np.repeat(offset, columns, axis=1)[:, :n]
    divisor = np.where(scales == 0, np.inf, scales.astype(np.float64))
    codes = np.clip(np.rint(padded / divisor[:, None]) + offset[:, None], lowest, highest)
    return Quantized(
        codes=codes.reshape(groups * length, n)[:k].astype(np.int8),
        scales=scales,
        zero_points=None if symmetric else offset.astype(np.int8),
        bits=bits,
        group=length,
    )


def grid(
    weights: npt.NDArray[np.float64], bits: int, symmetric: bool
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float64]]:
    """Scale and zero point [.., n] of groups [.., length, n], as `quantize` states them.

    ValueError on a scale beyond float16.
    """
    lowest, highest = -(1 << bits - 1), (1 << bits - 1) - 1
    if symmetric:
        exact = np.abs(weights).max(-2) / highest
    else:
        low, high = np.minimum(weights.min(-2), 0), np.maximum(weights.max(-2), 0)
        exact = (high - low) / (highest - lowest)
    if exact.max(initial=0) >= 65520:
        raise ValueError(f"A scale must fit float16, not {exact.max()}.")
    scales = exact.astype(np.float16)
    if symmetric:
        return scales, np.zeros(scales.shape)
    divisor = np.where(scales == 0, np.inf, scales.astype(np.float64))
    return scales, np.clip(lowest - np.rint(low / divisor), lowest, highest)


def check(weights: npt.NDArray[np.floating], bits: int, group: int | None) -> None:
    """TypeError or ValueError where `quantize` cannot take these."""
    if weights.dtype not in (np.float16, np.float32):
        raise TypeError(f"weights must be float16 or float32, not {weights.dtype}.")
    if weights.ndim != 2 or 0 in weights.shape:
        raise ValueError(
            f"weights must have shape [k, n] with k and n from 1, not {weights.shape}."
        )
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be between 2 and 8, not {bits}.")
    if group is not None and not 32 <= group <= 256:
        raise ValueError(f"group must be between 32 and 256, or None, not {group}.")
    if not np.isfinite(weights).all():
        raise ValueError("weights must be finite, without Inf or NaN.")
