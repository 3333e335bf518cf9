"""The Anda number format: encoding and decoding."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_sim.golden import _check, ieee

GROUP = 64
# Elements worked on at a time: the few uint16 arrays of this size stay in a core's own cache.
_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Anda:
    """Groups that share an exponent.

    Element i of a group has the value ``(-1)^sign * mantissa * 2^(exponent - bias - M + 1)`` with
    M = ``mantissa_bits`` and the bias of ``fmt``; if the exponent is all ones, it is NaN.

    Members: ``sign`` uint8 [.., groups, group], 0 or 1, kept where the mantissa is 0;
    ``exponent`` uint8 [.., groups], biased, from 1; ``mantissa`` uint16 [.., groups, group] below
    2^M; ``mantissa_bits`` 1 to 16; ``fmt`` "fp16" or "bf16", the format encoded from.

    Raises:
        TypeError: a member is of another dtype.
        ValueError: shapes that do not fit each other, an exponent 0, or a value out of range.
    """

    sign: np.ndarray
    exponent: np.ndarray
    mantissa: np.ndarray
    mantissa_bits: int
    fmt: str = "fp16"

    def __post_init__(self) -> None:
        bits = _check.integer("mantissa_bits", self.mantissa_bits, 1, 16)
        form = ieee.format_of(self.fmt)
        _check.array("mantissa", self.mantissa, np.uint16)
        _check.array("sign", self.sign, np.uint8)
        _check.array("exponent", self.exponent, np.uint8)
        if self.mantissa.ndim < 2:
            raise ValueError(f"mantissa must have 2 dimensions or more, not {self.mantissa.ndim}.")
        _check.shape("sign", self.sign, self.mantissa.shape)
        _check.shape("exponent", self.exponent, self.mantissa.shape[:-1])
        _check.integer("the smallest exponent", int(self.exponent.min()), 1)
        for name, value, high in (
            ("exponent", self.exponent, form.special_exponent),
            ("sign", self.sign, 1),
            ("mantissa", self.mantissa, (1 << bits) - 1),
        ):
            _check.integer(f"the largest {name}", int(value.max()), 0, high)

    @property
    def form(self) -> ieee.Format:
        """The format encoded from."""
        return ieee.format_of(self.fmt)

    @property
    def nan(self) -> np.ndarray:
        """Which groups held an Inf or NaN: bool [.., groups]."""
        return self.exponent == self.form.special_exponent

    @property
    def integers(self) -> np.ndarray:
        """The signed mantissas (-1)^sign * mantissa: int32 [.., groups, group]."""
        mantissa = self.mantissa.astype(np.int32)
        return np.where(self.sign == 1, -mantissa, mantissa)

    @property
    def unit_exponent(self) -> np.ndarray:
        """The power of two that a mantissa counts, E - bias - M + 1: int32 [.., groups]."""
        return self.exponent.astype(np.int32) - (self.form.bias + self.mantissa_bits - 1)


def encode(
    x: Any, mantissa_bits: int, group: int = GROUP, rounding: str = "truncate", fmt: str = "fp16"
) -> Anda:
    """Encodes ``x`` [.., n] in groups along its last axis, n padded with +0 to whole groups.

    ``x`` is float16, or uint16 bit patterns with ``fmt="bf16"``. A group's exponent is the largest
    of its elements'; a mantissa is the significand shifted right by what its exponent is below
    that, cut to ``mantissa_bits``. Rounding: "truncate" drops the bits shifted out (the paper),
    "nearest" rounds the magnitude half to even and stops at all ones.

    Raises:
        TypeError: ``x`` of another dtype, or a parameter that is no integer.
        ValueError: ``x`` empty or without an axis, or a parameter out of range.
    """
    mantissa_bits = _check.integer("mantissa_bits", mantissa_bits, 1, 16)
    group = _check.integer("group", group, 1)
    _check.choice("rounding", rounding, _check.ROUNDINGS)
    form = ieee.format_of(fmt)
    bits = ieee.patterns("x", x, form)
    if bits.ndim == 0:
        raise ValueError("x must have at least one dimension, not 0.")
    short = -bits.shape[-1] % group
    if short:
        bits = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, short)])
    rows = bits.reshape(-1, group)
    sign = np.empty(rows.shape, np.uint8)
    mantissa = np.empty(rows.shape, np.uint16)
    exponent = np.empty(len(rows), np.uint8)
    step = max(1, _CHUNK // group)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        top, significand, below = _align(rows[part], form)
        exponent[part] = top[:, 0]
        np.right_shift(rows[part], 15, out=sign[part], casting="unsafe")
        _cut(significand, below, form.precision, mantissa_bits, rounding, mantissa[part])
    shape = (*bits.shape[:-1], -1, group)
    return Anda(
        sign=sign.reshape(shape),
        exponent=exponent.reshape(shape[:-1]),
        mantissa=mantissa.reshape(shape),
        mantissa_bits=mantissa_bits,
        fmt=fmt,
    )


def encode_results(
    x: Any, mantissa_bits: int, rounding: str = "truncate", fmt: str = "fp16"
) -> Anda:
    """Rounds results ``x``, float32 [.., n], to ``fmt`` and encodes them for the next product.

    Two roundings: to FP16 or BF16 (nearest even, overflow to Inf), then ``rounding`` of ``encode``.
    """
    ieee.format_of(fmt)
    narrow = ieee.fp16_from_fp32 if fmt == "fp16" else ieee.bf16_from_fp32
    return encode(narrow(x), mantissa_bits, rounding=rounding, fmt=fmt)


def _align(rows: np.ndarray, form: ieee.Format) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group exponent [rows, 1], significands, and how far each exponent is below the group's.

    The same steps as ``ieee.unpack``, kept to 16 bits and in place, because encoding is the one
    golden function whose speed users feel.
    """
    significand = np.bitwise_and(rows, 0x7FFF)
    # Patterns sort like their exponents, so the largest pattern has the largest exponent.
    top = np.maximum(significand.max(axis=1, keepdims=True) >> form.fraction_bits, 1)
    exponent = np.right_shift(significand, form.fraction_bits)
    np.maximum(exponent, 1, out=exponent)
    below = top - exponent
    exponent -= 1
    np.left_shift(exponent, form.fraction_bits, out=exponent)
    significand -= exponent
    return top, significand, below


def _cut(
    significand: np.ndarray,
    below: np.ndarray,
    precision: int,
    mantissa_bits: int,
    rounding: str,
    out: np.ndarray,
) -> None:
    """Writes significand * 2^(mantissa_bits - precision - below), rounded, to ``out``."""
    if mantissa_bits > precision:
        significand <<= mantissa_bits - precision
    else:
        below += precision - mantissa_bits
    if rounding == "truncate":
        # NumPy defines a shift by the width or more as 0, as it should be here.
        np.right_shift(significand, below, out=out)
        return
    # Twice the significand, so that half a unit is an integer also where nothing is shifted out.
    # A shift beyond 18 gives 0 as 18 does: twice a significand is below 2^17.
    shift = np.minimum(below, 18).astype(np.uint32) + np.uint32(1)
    twice = significand.astype(np.uint32) << np.uint32(1)
    odd = (twice >> shift) & np.uint32(1)
    half = np.uint32(1) << (shift - np.uint32(1))
    rounded = (twice + (half - np.uint32(1)) + odd) >> shift
    out[...] = np.minimum(rounded, np.uint32((1 << mantissa_bits) - 1))


def decode(a: Anda) -> np.ndarray:
    """The values of ``a`` as float32 [.., groups * group], padding included; exact.

    Every element of a group with the all-ones exponent is the canonical NaN.
    """
    # A mantissa has 16 bits at most and the smallest unit is 2^-141: float32 holds each product.
    unit = np.where(a.nan, 0, a.unit_exponent)
    magnitude = np.ldexp(a.mantissa.astype(np.float32), unit[..., None])
    value = np.where(a.sign == 1, -magnitude, magnitude)
    value[a.nan] = np.nan
    return ieee.canonical(value).reshape(*a.mantissa.shape[:-2], -1)
