"""The elements that the papers compare with: FP-FP, FP-INT, iFPU and FIGNA, bit for bit.

``figna`` and ``ifpu`` put out the exact integer P_g of a group, which `anda.accumulate` rounds,
scales and adds up; the floating-point ones accumulate in FP32, in ascending k, from +0.
Source: FIGNA (HPCA 2024) and iFPU (ICLR 2023) as the Anda paper (HPCA 2025) compares with them.
"""

from typing import Any

import numpy as np

from lamina_sim.golden import _check, ieee

# A product of two FP16 significands: so many bits, in units of 2^(Ea + Eb - 50).
_PRODUCT_BITS = 22
_PRODUCT_UNIT = -50


def figna(values: Any, b: Any) -> np.ndarray:
    """P = sum over the last axis of values * b, exactly: int64 [..].

    ``values`` are aligned signed mantissas (``anda.encode(x, M).integers``) and ``b`` weights
    (code - zero point), integer arrays that broadcast against each other.
    """
    values, b = _integers("values", values), _integers("b", b)
    return (values * b).sum(axis=-1)


def ifpu(values: Any, b: Any, bits: int = 4) -> np.ndarray:
    """The same sums out of weight planes, one at a time: int64 [..].

    A weight of ``bits`` bits (2 to 9) is a sum of digits -1 or +1 times 2^(bits - 2), .., 2, 1, and
    one digit -1 or 0: the bits of b + 2^(bits - 1), most significant first, pick them.
    """
    bits = _check.integer("bits", bits, 2, 9)
    values, b = _integers("values", values), _integers("b", b)
    _check.signed_range("b", b, bits)
    code = b + (1 << (bits - 1))
    total = np.zeros(np.broadcast_shapes(values.shape, b.shape)[:-1], np.int64)
    for place in range(bits - 1, 0, -1):
        digit = np.where(code >> place & 1, 1, -1)
        total = 2 * total + (values * digit).sum(axis=-1)
    return total + (values * ((code & 1) - 1)).sum(axis=-1)


def fp_fp(a: Any, b: Any) -> np.ndarray:
    """acc = FP32(acc + a * b) over the last axis of two float16 arrays of one shape: float32 [..].

    Products are exact; each sum is rounded once.
    """
    a, b = _check.array("a", a, np.float16), _check.array("b", b, np.float16)
    _check.shape("b", b, a.shape)
    with np.errstate(all="ignore"):
        # 22 bits from 2^-48 to 2^32: FP32 holds every product.
        return _accumulate(a.astype(np.float32) * b.astype(np.float32))


def multiply(a: Any, b: Any) -> np.ndarray:
    """a * b of two float16 arrays of one shape, rounded once to FP16: float16 of that shape."""
    a, b = _check.array("a", a, np.float16), _check.array("b", b, np.float16)
    _check.shape("b", b, a.shape)
    with np.errstate(all="ignore"):
        # FP32 holds the product: the one rounding is that to FP16.
        return ieee.canonical((a.astype(np.float32) * b.astype(np.float32)).astype(np.float16))


def fp_int(a: Any, b: Any) -> np.ndarray:
    """acc = FP32(acc + a * b) over the last axis of float16 ``a`` and int8 or int16 ``b``.

    ``b`` is code - zero point, at most 9 bits, of the shape of ``a``; returns float32 [..].
    """
    a, b = _check.array("a", a, np.float16), _integers("b", b)
    _check.shape("b", b, a.shape)
    _check.signed_range("b", b, 9)
    with np.errstate(all="ignore"):
        # An infinite activation times weight 0 is NaN, as in IEEE 754.
        return _accumulate(a.astype(np.float32) * b.astype(np.float32))


def fp_dot(a: Any, b: Any, lanes: int = 16, window_bits: int = 26) -> np.ndarray:
    """Fused dot products of ``lanes`` elements, added in FP32: float32 [..] of float16 [.., k].

    k is a multiple of ``lanes``. Of the products that are not 0 the one with the largest
    Ea + Eb = T (E: exponent field, 1 for subnormals) sets the window: ``window_bits`` (22 to 48)
    bits from the top of a product with that T down. Each product is cut to the window, toward zero;
    their sum in it is exact, is rounded once to FP32 and added to acc, which is rounded again.
    """
    lanes = _check.integer("lanes", lanes, 2, 64)
    window_bits = _check.integer("window_bits", window_bits, _PRODUCT_BITS, 48)
    a, b = _check.array("a", a, np.float16), _check.array("b", b, np.float16)
    _check.shape("b", b, a.shape)
    if a.ndim == 0 or a.shape[-1] % lanes:
        raise ValueError(f"The last axis of a must be a multiple of {lanes}, not {a.shape}.")
    chunks = (*a.shape[:-1], -1, lanes)
    a, b = a.reshape(chunks), b.reshape(chunks)
    with np.errstate(all="ignore"):
        special = (a.astype(np.float32) * b.astype(np.float32)).sum(axis=-1)
    x, y = (ieee.unpack(z.view(np.uint16), ieee.FP16) for z in (a, b))
    product = x.significand.astype(np.int64) * y.significand
    exponent = x.exponent.astype(np.int64) + y.exponent
    top = np.where(product == 0, 2, exponent).max(axis=-1, keepdims=True)
    spare = window_bits - _PRODUCT_BITS
    # A product of 0 may have an exponent above the top: it is 0 wherever it is put.
    shift = np.clip(top - exponent, 0, 63)
    cut = (product << spare) >> shift
    total = np.where(x.sign ^ y.sign, -cut, cut).sum(axis=-1)
    rounded = ieee.fp32_from_int(total, top[..., 0] + (_PRODUCT_UNIT - spare))
    # Finite products do not overflow FP32, so any Inf or NaN in their FP32 sum was there before.
    return _accumulate(np.where(np.isfinite(special), rounded, special))


def tree_dot(a: Any, b: Any, lanes: int = 4, sums: str = "fp16") -> np.ndarray:
    """Dot products by a DP-N of multipliers and adders, each of which rounds: float16 or float32.

    Of float16 ``a`` and ``b`` [.., k] (they broadcast), k a multiple of ``lanes``, a power of two:
    products of ``lanes`` elements, added pairwise, ((p0 + p1) + (p2 + p3)), then to acc. With
    ``sums`` "fp16" products and sums are rounded to FP16 each; with "fp32" products are exact and
    sums are rounded to FP32. Source: the FP16 DP-4 of PacQ (DAC 2025, section II).
    """
    lanes = _check.integer("lanes", lanes, 2, 64)
    if lanes & (lanes - 1):
        raise ValueError(f"lanes must be a power of two, not {lanes}.")
    _check.choice("sums", sums, ("fp16", "fp32"))
    a, b = _check.array("a", a, np.float16), _check.array("b", b, np.float16)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-1] or a.shape[-1] % lanes:
        raise ValueError(
            f"The last axes of a and b must be one multiple of {lanes}, not {a.shape}, {b.shape}."
        )
    kind = np.float16 if sums == "fp16" else np.float32
    acc: Any = None
    with np.errstate(all="ignore"):
        for start in range(0, a.shape[-1], lanes):
            part = slice(start, start + lanes)
            # FP32 holds products of FP16 exactly, so that the one rounding is that to `kind`.
            terms = (a[..., part].astype(np.float32) * b[..., part].astype(np.float32)).astype(kind)
            while terms.shape[-1] > 1:
                terms = terms[..., ::2] + terms[..., 1::2]
            acc = terms[..., 0] + (kind(0) if acc is None else acc)
    return ieee.canonical(acc)


def _accumulate(terms: np.ndarray) -> np.ndarray:
    """FP32 sum of float32 ``terms`` over the last axis, one after the other, from +0."""
    acc = np.zeros(terms.shape[:-1], np.float32)
    with np.errstate(all="ignore"):
        for k in range(terms.shape[-1]):
            acc += terms[..., k]
    return ieee.canonical(acc)


def _integers(name: str, value: Any) -> np.ndarray:
    """``value`` as int64 when it is a NumPy array of integers."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu":
        kind = getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"{name} must be a NumPy array of an integer dtype, not {kind}.")
    return value.astype(np.int64)
