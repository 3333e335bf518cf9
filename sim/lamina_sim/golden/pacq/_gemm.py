"""The exact dot product of PacQ: one rounding per scale group."""

from typing import Any

import numpy as np

from lamina_sim.golden import _check, ieee
from lamina_sim.golden._operands import Weights, check_weights
from lamina_sim.golden.pacq._words import check_bits

# Every finite FP16 value is an integer below 2^40 in units of 2^-24.
_UNIT_EXPONENT = -24
_LARGEST = 1 << 40
# Such an integer is cut here, where even the halves of the longest group sum exactly in float64.
_CUT_BITS = 20
# What the 64-bit accumulator of the hardware holds whatever the data.
_LONGEST_GROUP = 1 << 18
_ROWS, _COLUMNS = 256, 2048


def gemm(
    x: Any,
    codes: Any,
    scales: Any,
    *,
    bits: int = 4,
    zero_points: Any = None,
    scale_group: int = 128,
) -> np.ndarray:
    """Multiplies FP16 activations by INT4 or INT2 weights: float32 [m, n], as the engine does.

    Args:
        x: activations float16 [m, k].
        codes: weight codes int8 [k, n], each a signed integer of ``bits`` bits.
        scales: finite float16 [ceil(k / scale_group), n].
        bits: bits of a weight code, 2 or 4.
        zero_points: int8 of the shape of ``scales`` and the range of the codes, or None for 0.
        scale_group: rows of ``codes`` that share a scale: a multiple of 4, or k itself; at most
            2^18 rows may share one.

    Per scale group, in ascending k: the exact sum of x * (code - zero point), rounded once to
    FP32; acc = FP32(acc + FP32(that * scale)). An exact zero is +0. Inf and NaN follow IEEE's
    rules for the products and their sum: Inf * 0 and Inf - Inf are NaN.

    Raises:
        TypeError: an operand is no array, or of another dtype.
        ValueError: a wrong shape, a value or parameter out of range, a scale not finite.
    """
    bits = check_bits(bits)
    x = _check.array("x", x, np.float16, 2)
    m, k = x.shape
    weights = check_weights(
        codes, scales, zero_points, k=k, bits=bits, scale_group=scale_group, multiple=4
    )
    _check.integer("rows of one scale group", min(weights.scale_group, k), 1, _LONGEST_GROUP)
    n = weights.codes.shape[1]
    result = np.empty((m, n), np.float32)
    for row in range(0, m, _ROWS):
        rows = x[row : row + _ROWS]
        for column in range(0, n, _COLUMNS):
            columns = slice(column, min(column + _COLUMNS, n))
            result[row : row + _ROWS, columns] = _block(rows, weights, columns)
    return ieee.canonical(result)


def _block(x: np.ndarray, weights: Weights, columns: slice) -> np.ndarray:
    """Result of the rows ``x`` and some columns: float32."""
    k = x.shape[1]
    finite = np.isfinite(x)
    units = np.ldexp(np.where(finite, x, 0).astype(np.float64), -_UNIT_EXPONENT)
    acc = np.zeros((len(x), columns.stop - columns.start), np.float32)
    with np.errstate(all="ignore"):
        for start in range(0, k, weights.scale_group):
            part = slice(start, min(start + weights.scale_group, k))
            b = weights.integers(part.start, part.stop, columns, np.float64)
            term = _exact_sum(units[:, part], b, weights.largest)
            # Exact: the smallest unit, 2^-24, is far from subnormal, the largest sum below 2^39.
            term *= np.float32(2.0**_UNIT_EXPONENT)
            special = ~finite[:, part].all(axis=1)
            if special.any():
                # Whatever the finite products sum to, it is lost beside an Inf or NaN.
                term[special] = _special_sum(x[special, part], b)
            # The sign of a zero is lost in the sum: acc starts at +0 and never becomes -0.
            term *= weights.scales[start // weights.scale_group, columns]
            acc += term
    return acc


def _exact_sum(units: np.ndarray, b: np.ndarray, largest: int) -> np.ndarray:
    """float32 of the exact sums ``units @ b`` of integers held in float64, rounded once."""
    if units.shape[1] * largest * _LARGEST <= 1 << 53:
        return (units @ b).astype(np.float32)
    high = np.floor(np.ldexp(units, -_CUT_BITS))
    low = units - np.ldexp(high, _CUT_BITS)
    total = (high @ b).astype(np.int64) << _CUT_BITS
    total += (low @ b).astype(np.int64)
    return total.astype(np.float32)


def _special_sum(x: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sums of IEEE products for rows that hold an Inf or NaN each: +Inf, -Inf or NaN."""
    infinite = np.where(np.isinf(x), np.sign(x), 0).astype(np.float64)
    direction = np.sign(b)
    nan = np.isnan(x).any(axis=1, keepdims=True)
    # Counts of the products of each kind; a row of counts is exact in float64.
    invalid = np.abs(infinite) @ (b == 0).astype(np.float64) > 0
    net = infinite @ direction
    every = np.abs(infinite) @ np.abs(direction)
    opposed = np.abs(net) != every
    return np.where(nan | invalid | opposed, np.nan, np.copysign(np.inf, net)).astype(np.float32)
