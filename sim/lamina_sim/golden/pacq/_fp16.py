"""FP16 times FP16, exact within a scale group: what dequantized weights are multiplied with."""

from typing import Any

import numpy as np

from lamina_sim.golden import _check, ieee

# Every product of finite FP16 values is an integer in units of 2^-48.
_UNIT = 24


def gemm_fp16(x: Any, weights: Any, scales: Any, *, scale_group: int = 128) -> np.ndarray:
    """Multiplies FP16 activations by FP16 weights: float32 [m, n].

    Args:
        x: activations float16 [m, k].
        weights: float16 [k, n], finite or not.
        scales: finite float16 [ceil(k / scale_group), n].
        scale_group: rows of ``weights`` that share a scale.

    Per scale group, in ascending k: the exact sum of products, rounded once to FP32; acc = FP32(acc
    + FP32(that * scale)). An exact zero is +0. Inf and NaN follow IEEE's rules for the products and
    their sum. Meant for small matrices: sums are Python integers.

    Raises:
        TypeError: an operand is no array, or of another dtype.
        ValueError: a wrong shape, or a scale not finite.
    """
    x = _check.array("x", x, np.float16, 2)
    m, k = x.shape
    weights = _check.array("weights", weights, np.float16, 2)
    _check.shape("weights", weights, (k, weights.shape[1]))
    scale_group = min(_check.integer("scale_group", scale_group, 1), k)
    scales = _check.array("scales", scales, np.float16, 2)
    _check.shape("scales", scales, (-(-k // scale_group), weights.shape[1]))
    if not np.isfinite(scales).all():
        raise ValueError("scales must be finite, not Inf or NaN.")
    acc = np.zeros((m, weights.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        for group, start in enumerate(range(0, k, scale_group)):
            part = slice(start, start + scale_group)
            total = _sum(x[:, part], weights[part])
            acc += total * scales[group].astype(np.float32)
    return ieee.canonical(acc)


def _sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float32 of the exact sums ``a @ b``, rounded once; Inf and NaN where IEEE has them."""
    exact = _units(a) @ _units(b)
    rounded = np.vectorize(_round, otypes=[np.float32])(exact)
    # No finite product overflows float64, nor does a sum of them.
    special = a.astype(np.float64) @ b.astype(np.float64)
    return np.where(np.isfinite(special), rounded, special.astype(np.float32))


def _units(x: np.ndarray) -> np.ndarray:
    finite = np.where(np.isfinite(x), x, 0).astype(np.float64)
    return np.ldexp(finite, _UNIT).astype(np.int64).astype(object)


def _round(n: int) -> np.float32:
    """float32 of n * 2^-48, to nearest even: no result is subnormal or overflows."""
    magnitude = abs(n)
    drop = max(magnitude.bit_length() - 24, 0)
    kept, rest = divmod(magnitude, 1 << drop)
    half = (1 << drop) >> 1
    kept += drop > 0 and (rest > half or (rest == half and kept % 2 == 1))
    return np.float32(np.ldexp(np.float64(kept if n > 0 else -kept), drop - 2 * _UNIT))
