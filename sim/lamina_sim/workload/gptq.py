"""Weight quantization that compensates its errors: GPTQ (Frantar et al., ICLR 2023)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.quantize import Quantized, check, grid

Array = npt.NDArray[np.float64]

#: Rows whose errors are carried on together, by one matrix product.
_BLOCK = 128
#: Added to the diagonal of the Hessian, as a fraction of its mean.
DAMPING = 0.01


def gptq(
    weights: npt.NDArray[np.floating],
    hessian: Array,
    bits: int = 4,
    *,
    group: int | None = 128,
    symmetric: bool = True,
    damping: float = DAMPING,
) -> Quantized:
    """Quantize weights [k, n] row by row, each row's error carried on to the rows after it.

    ``hessian`` float64 [k, k] is sum of x x^T over calibration activations x [k]: what counts is
    the error of the products, not of the weights. A group's scale is taken from its weights as they
    are when its first row is reached. Parameters and errors else as `quantize`.
    """
    check(weights, bits, group)
    k, n = weights.shape
    length = k if group is None else group
    lowest, highest = -(1 << bits - 1), (1 << bits - 1) - 1
    codes = np.zeros((k, n), np.int8)
    scales = np.zeros((-(-k // length), n), np.float16)
    zeros = np.zeros(scales.shape)

    def choose(i: int, rest: Array) -> Array:
        at = i // length
        if i % length == 0:
            scales[at], zeros[at] = grid(rest[:length], bits, symmetric)
        scale = scales[at].astype(np.float64)
        exact = rest[0] / np.where(scale == 0, np.inf, scale) + zeros[at]
        code = np.clip(np.rint(exact), lowest, highest)
        codes[i] = code
        return (code - zeros[at]) * scale

    # A group's first row must see the errors of all rows before it in the whole group.
    compensate(weights.astype(np.float64), hessian, choose, span=length, damping=damping)
    return Quantized(
        codes=codes,
        scales=scales,
        zero_points=None if symmetric else zeros.astype(np.int8),
        bits=bits,
        group=length,
    )


def compensate(
    weights: Array,
    hessian: Array,
    choose: Callable[[int, Array], Array],
    *,
    span: int = 1,
    damping: float = DAMPING,
) -> None:
    """Go through the rows of `weights` [k, n], which are used up, in ascending order.

    ``choose(i, rest)`` returns what row i becomes, [n]; ``rest[0]`` is the row as the errors before
    it left it. At the first of each ``span`` rows the others of the span follow it, as up to date.
    The error is spread over the later rows so that the products of calibration activations change
    least.
    ValueError where the Hessian is not of the shape [k, k] or not finite.
    """
    k = len(weights)
    if hessian.shape != (k, k) or not np.isfinite(hessian).all():
        raise ValueError(f"hessian must be finite of shape {(k, k)}, not {hessian.shape}.")
    factor = _factor(hessian, damping)
    # All of a span is up to date at its first row where that is also a block's, or in one block.
    step = span if _BLOCK < span < k else max(1, _BLOCK // span) * min(span, _BLOCK)
    for start in range(0, k, step):
        stop = min(start + step, k)
        errors = np.zeros((stop - start, weights.shape[1]))
        for i in range(start, stop):
            error = (weights[i] - choose(i, weights[i:])) / factor[i, i]
            weights[i:stop] -= factor[i, i:stop, None] * error
            errors[i - start] = error
        weights[stop:] -= factor[start:stop, stop:].T @ errors


def _factor(hessian: Array, damping: float) -> Array:
    """Upper Cholesky factor of the inverse of the damped Hessian."""
    damped = np.array(hessian, dtype=np.float64)
    diagonal = np.einsum("ii->i", damped)
    # An input that is always zero has any weight it likes.
    diagonal[diagonal == 0] = 1
    diagonal += damping * diagonal.mean()
    # H = R R^T with R upper triangular, so that the inverse of R is the factor wanted. NumPy has
    # the lower factor only: that of the matrix with its order reversed.
    upper = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    return np.triu(np.linalg.inv(upper))
