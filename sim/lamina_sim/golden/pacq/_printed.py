"""PacQ as its paper prints it: FP16 all the way, for comparison only.

Both functions show what the printed datapath loses; no other part of Lamina computes this way.
"""

from typing import Any

import numpy as np

from lamina_sim.golden import _check, ieee
from lamina_sim.golden._operands import check_weights
from lamina_sim.golden.pacq._words import check_bits

_LANES = 4


def gemm_as_printed(
    x: Any, codes: Any, scales: Any, *, bits: int = 4, scale_group: int = 128
) -> np.ndarray:
    """The arithmetic of the paper's figures 4 and 5 with every step in FP16: float16 [m, n].

    Operands as in ``gemm``, symmetric weights only, as in the paper. Per scale group, all in FP16
    with subnormals, rounding to nearest even and overflow to Inf: products A * (B + 1032)
    (INT2: 1026); four of them as (p0 + p1) + (p2 + p3), added to a running sum; beside it the
    running sum S of A in ascending k; then (sum - 1032 * S) * scale, and the groups added up.
    k is padded with A = +0 to a multiple of 4.

    Raises:
        TypeError: an operand is no array, or of another dtype.
        ValueError: a wrong shape, a value or parameter out of range, a scale not finite.
    """
    bits = check_bits(bits)
    x = _check.array("x", x, np.float16, 2)
    m, k = x.shape
    weights = check_weights(
        codes, scales, None, k=k, bits=bits, scale_group=scale_group, multiple=_LANES
    )
    offset = np.float32(1024 + (1 << (bits - 1)))
    a = np.pad(x, [(0, 0), (0, -k % _LANES)]).astype(np.float32)
    w = np.pad(weights.codes, [(0, -k % _LANES), (0, 0)]).astype(np.float32) + offset
    total = np.zeros((m, w.shape[1]), np.float32)
    # Only a group that is all of k can be ragged; it takes in the padding.
    step = weights.scale_group + -weights.scale_group % _LANES
    with np.errstate(all="ignore"):
        for start in range(0, k, weights.scale_group):
            part = slice(start, start + step)
            dot = _running_dot(a[:, part], w[part])
            correction = _half(offset * _running_sum(a[:, part]))[:, None]
            scale = weights.scales[start // weights.scale_group]
            total = _half(total + _half(_half(dot - correction) * scale))
    return ieee.canonical(total.astype(np.float16))


def _half(x: np.ndarray) -> np.ndarray:
    """Rounds to FP16 and back to float32.

    One float32 operation on FP16 operands, rounded again to FP16, is the correctly rounded FP16
    operation, because 24 bits are at least 2 * 11 + 2 (and a product is exact anyway).
    """
    return x.astype(np.float16).astype(np.float32)


def _running_dot(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    acc = np.zeros((a.shape[0], w.shape[1]), np.float32)
    for k in range(0, a.shape[1], _LANES):
        p0, p1, p2, p3 = (_half(a[:, k + j, None] * w[k + j]) for j in range(_LANES))
        acc = _half(acc + _half(_half(p0 + p1) + _half(p2 + p3)))
    return acc


def _running_sum(a: np.ndarray) -> np.ndarray:
    acc = np.zeros(a.shape[0], np.float32)
    for k in range(a.shape[1]):
        acc = _half(acc + a[:, k])
    return acc


def hidden_bit_as_printed(significand: Any, offset_codes: Any) -> np.ndarray:
    """M * (1024 + y) as the printed assembly gives it; wrong in 35 % of all INT4 cases.

    ``significand`` M (0 to 2047) and ``offset_codes`` y (0 to 15) are uint32 and broadcast. The
    paper adds the hidden bit's M << 10 to i = M * y with one 6-bit adder, {M[10:6], M[5:0] +
    i[13:10], i[9:0]}, which loses bit 14 of i and the carry out of the adder. The right product
    is ``significand * (1024 + offset_codes)``.
    """
    m = _check.array("significand", significand, np.uint32)
    y = _check.array("offset_codes", offset_codes, np.uint32)
    for name, value, high in (("significand", m, 2047), ("offset_codes", y, 15)):
        _check.integer(name, int(value.max()), 0, high)
    i = m * y
    six = ((m & np.uint32(0x3F)) + ((i >> 10) & np.uint32(0xF))) & np.uint32(0x3F)
    return ((m >> 6) << 16) | (six << 10) | (i & np.uint32(0x3FF))
