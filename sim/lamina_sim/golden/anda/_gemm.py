"""Products of Anda groups with integer weights, as the engine computes them."""

from typing import Any

import numpy as np

from lamina_sim.golden import _check, ieee
from lamina_sim.golden._operands import Weights, check_weights
from lamina_sim.golden.anda._format import GROUP, Anda, encode

# Rows and columns of the result worked on at a time, to bound the memory of the temporaries.
_ROWS, _COLUMNS = 256, 2048


def dot(a: Anda, b: Any) -> np.ndarray:
    """P = sum over a group of (-1)^sign * mantissa * b, the exact integer that an element puts out.

    ``b`` is an integer array (code - zero point, so below 2^9 in magnitude) that broadcasts
    against ``a.mantissa`` [.., groups, group]; returns int64 [.., groups]. A group with the
    all-ones exponent gives the sum of what is stored; ``accumulate`` makes it NaN.
    """
    b = np.asarray(b)
    if b.dtype.kind not in "iu":
        raise TypeError(f"b must be of an integer dtype, not {b.dtype}.")
    return (a.integers.astype(np.int64) * b.astype(np.int64)).sum(axis=-1)


def accumulate(
    acc: Any, dots: Any, exponents: Any, scales: Any, *, mantissa_bits: int, fmt: str = "fp16"
) -> np.ndarray:
    """One step of the accumulator: FP32(acc + FP32(FP32(P * 2^(E - bias - M + 1)) * scale)).

    ``acc`` float32, ``dots`` int64, ``exponents`` uint8 and ``scales`` finite float16 broadcast
    against each other; returns float32 with canonical NaNs.
    """
    mantissa_bits = _check.integer("mantissa_bits", mantissa_bits, 1, 16)
    form = ieee.format_of(fmt)
    acc = _check.array("acc", acc, np.float32)
    exponents = _check.array("exponents", exponents, np.uint8)
    scales = _check.array("scales", scales, np.float16)
    if not np.isfinite(scales).all():
        raise ValueError("scales must be finite, not Inf or NaN.")
    unit = exponents.astype(np.int32) - (form.bias + mantissa_bits - 1)
    value = ieee.fp32_from_int(dots, unit)
    value = np.where(exponents == form.special_exponent, np.float32(np.nan), value)
    with np.errstate(all="ignore"):
        return ieee.canonical(acc + value * scales.astype(np.float32))


def gemm(
    x: Any,
    codes: Any,
    scales: Any,
    *,
    mantissa_bits: int,
    bits: int = 4,
    zero_points: Any = None,
    scale_group: int = 128,
    rounding: str = "truncate",
    fmt: str = "fp16",
) -> np.ndarray:
    """Encodes ``x`` to Anda and multiplies: float32 [m, n], bit for bit what the engine gives.

    Args:
        x: activations [m, k], float16 (``fmt="bf16"``: uint16 patterns), encoded along k.
        codes: weight codes int8 [k, n], each a signed integer of ``bits`` bits.
        scales: finite float16 [ceil(k / scale_group), n].
        mantissa_bits: M, 1 to 16.
        bits: bits of a weight code, 2 to 8.
        zero_points: int8 of the shape of ``scales`` and the range of the codes, or None for 0.
        scale_group: rows of ``codes`` that share a scale: a multiple of 64, or k itself.
        rounding: of the encoding, "truncate" or "nearest".
        fmt: format of ``x``.

    Per group of 64 along k, in ascending order: the exact sum P of signed mantissas times
    (code - zero point); f = FP32(P * 2^(E - bias - M + 1)); acc = FP32(acc + FP32(f * scale)).
    A group with an Inf or NaN makes its row of results NaN.

    Raises:
        TypeError: an operand is no array, or of another dtype.
        ValueError: a wrong shape, a value or parameter out of range, a scale not finite.
    """
    bits = _check.integer("bits", bits, 2, 8)
    ieee.patterns("x", x, ieee.format_of(fmt), 2)
    m, k = x.shape
    weights = check_weights(
        codes, scales, zero_points, k=k, bits=bits, scale_group=scale_group, multiple=GROUP
    )
    n = weights.codes.shape[1]
    result = np.empty((m, n), np.float32)
    for row in range(0, m, _ROWS):
        a = encode(x[row : row + _ROWS], mantissa_bits, rounding=rounding, fmt=fmt)
        for column in range(0, n, _COLUMNS):
            columns = slice(column, min(column + _COLUMNS, n))
            result[row : row + _ROWS, columns] = _block(a, weights, columns)
    return ieee.canonical(result)


def _block(a: Anda, weights: Weights, columns: slice) -> np.ndarray:
    """Result of all rows of ``a`` and some columns: float32."""
    rows, groups, _ = a.mantissa.shape
    k = weights.codes.shape[0]
    # Sums of integers are exact in any order as long as none passes the significand of the type.
    bound = GROUP * ((1 << a.mantissa_bits) - 1) * weights.largest
    dtype = np.float32 if bound <= 1 << 24 else np.float64
    mantissa = a.integers.astype(dtype)
    # The unit is 2^-141 at least, so it never rounds, nor does a product too small to be normal.
    unit = np.ldexp(np.float32(1), np.where(a.nan, 0, a.unit_exponent))
    unit[a.nan] = np.nan
    acc = np.zeros((rows, columns.stop - columns.start), np.float32)
    with np.errstate(all="ignore"):
        for g in range(groups):
            start, stop = g * GROUP, min((g + 1) * GROUP, k)
            b = weights.integers(start, stop, columns, dtype)
            term = (mantissa[:, g, : stop - start] @ b).astype(np.float32, copy=False)
            # The sign of a zero is lost in the sum: acc starts at +0 and never becomes -0.
            term *= unit[:, g, None]
            term *= weights.scales[start // weights.scale_group, columns]
            acc += term
    return acc
