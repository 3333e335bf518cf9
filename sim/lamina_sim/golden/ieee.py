"""IEEE 754 on bit patterns: the 16-bit formats taken apart, and FP32 as the engines round it.

Everything rounds to nearest, ties to even; subnormals are kept; every NaN that leaves a function
is the canonical one, so that results are compared as plain bits.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lamina_sim.golden import _check

FP32_NAN = np.uint32(0x7FC0_0000)
FP16_NAN = np.uint16(0x7E00)
BF16_NAN = np.uint16(0x7FC0)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A binary interchange format: 1 sign bit, ``exponent_bits``, ``precision - 1`` fraction bits.

    A finite value is ``(-1)^s * F * 2^(E - bias - precision + 1)`` with the significand F of
    ``precision`` bits and E = max(exponent field, 1), which covers subnormals as well.
    """

    name: str
    precision: int
    bias: int
    exponent_bits: int

    @property
    def bits(self) -> int:
        """Bits of a pattern."""
        return self.exponent_bits + self.precision

    @property
    def fraction_bits(self) -> int:
        """Bits below the exponent field."""
        return self.precision - 1

    @property
    def special_exponent(self) -> int:
        """The all-ones exponent field, which marks Inf and NaN."""
        return (1 << self.exponent_bits) - 1

    @property
    def infinity(self) -> int:
        """The pattern of +Inf; as magnitudes, every larger pattern is a NaN."""
        return self.special_exponent << self.fraction_bits


FP16 = Format(name="fp16", precision=11, bias=15, exponent_bits=5)
BF16 = Format(name="bf16", precision=8, bias=127, exponent_bits=8)
FP32 = Format(name="fp32", precision=24, bias=127, exponent_bits=8)
ACTIVATIONS = {form.name: form for form in (FP16, BF16)}


class Unpacked(NamedTuple):
    """A 16-bit pattern in parts, each of the shape of the patterns.

    ``sign`` uint8; ``exponent`` uint8, max(field, 1); ``significand`` uint16 with the hidden bit
    (also where the exponent is all ones); ``inf`` and ``nan`` bool.
    """

    sign: np.ndarray
    exponent: np.ndarray
    significand: np.ndarray
    inf: np.ndarray
    nan: np.ndarray


def format_of(fmt: str) -> Format:
    """The activation format named ``"fp16"`` or ``"bf16"``."""
    _check.choice("fmt", fmt, ACTIVATIONS)
    return ACTIVATIONS[fmt]


def patterns(name: str, x: Any, form: Format, ndim: int | None = None) -> np.ndarray:
    """Checks ``x`` (float16 for fp16, uint16 bit patterns for bf16) and returns it as uint16."""
    x = _check.array(name, x, np.float16 if form is FP16 else np.uint16, ndim)
    return np.asarray(x, order="C").view(np.uint16)


def unpack(bits: np.ndarray, form: Format) -> Unpacked:
    """Takes uint16 patterns of ``form`` apart."""
    _check.array("bits", bits, np.uint16)
    magnitude = bits & np.uint16(0x7FFF)
    field = magnitude >> form.fraction_bits
    exponent = np.maximum(field, np.uint16(1))
    # Taking one exponent less than the field away leaves the hidden bit where there is one.
    significand = magnitude - ((exponent - np.uint16(1)) << form.fraction_bits)
    return Unpacked(
        sign=(bits >> 15).astype(np.uint8),
        exponent=exponent.astype(np.uint8),
        significand=significand,
        inf=magnitude == form.infinity,
        nan=magnitude > form.infinity,
    )


def canonical(x: np.ndarray) -> np.ndarray:
    """Returns a copy of float32 or float16 ``x`` with every NaN made the canonical one."""
    if x.dtype == np.float16:
        return np.where(np.isnan(x), FP16_NAN, x.view(np.uint16)).view(np.float16)
    _check.array("x", x, np.float32)
    return np.where(np.isnan(x), FP32_NAN, x.view(np.uint32)).view(np.float32)


def fp32_from_int(n: np.ndarray, exponent: Any = 0) -> np.ndarray:
    """Rounds the exact value ``n * 2^exponent`` once to float32.

    ``n`` is int64 of any shape; ``exponent`` any integer array that broadcasts against it.
    A result too small becomes subnormal or zero of the sign of n, one too large Inf; 0 gives +0.
    """
    n = _check.array("n", n, np.int64)
    exponent = np.asarray(exponent)
    if exponent.dtype.kind not in "iu":
        raise TypeError(f"exponent must be of an integer dtype, not {exponent.dtype}.")
    # Beyond 400 either way every n but 0 has long become Inf or zero.
    exponent = np.clip(exponent, -400, 400).astype(np.int32)
    n, exponent = np.broadcast_arrays(n, exponent)
    with np.errstate(over="ignore", under="ignore"):
        # One rounding: the conversion rounds to 24 bits, and the power of two is then exact.
        result = np.ldexp(n.astype(np.float32), exponent)
        tiny = np.abs(np.ldexp(n.astype(np.float64), exponent)) < 2.0**-126
    if tiny.any():
        # A subnormal has fewer than 24 bits and must be rounded at 2^-149 straight from n.
        result[tiny] = _subnormal(n[tiny], -149 - exponent[tiny])
    return result


def _subnormal(n: np.ndarray, drop: np.ndarray) -> np.ndarray:
    """float32 of ``n`` with its low ``drop`` bits rounded away, in units of 2^-149."""
    unsigned = n.view(np.uint64)
    magnitude = np.where(n < 0, ~unsigned + np.uint64(1), unsigned)
    # |n| is at most 2^63, so dropping 64 bits or more leaves at most a tie with 0, which is even.
    # With nothing to drop, n has at most 23 bits here and shifting left loses none.
    shift = np.clip(drop, 1, 63).astype(np.uint64)
    one = np.uint64(1)
    quotient = magnitude >> shift
    rest = magnitude & ((one << shift) - one)
    half = one << (shift - one)
    quotient += (rest > half) | ((rest == half) & ((quotient & one) == one))
    exact = magnitude << np.clip(-drop, 0, 63).astype(np.uint64)
    units = np.where(drop <= 0, exact, np.where(drop >= 64, np.uint64(0), quotient))
    subnormal = np.ldexp(units.astype(np.float32), -149)
    return np.where(n < 0, -subnormal, subnormal)


def fp32_add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """FP32 ``a + b`` on uint32 bit patterns; NaNs come out canonical, and a sum of zero is +0."""
    x, y = _float32("a", a), _float32("b", b)
    with np.errstate(all="ignore"):
        # Adding +0 changes nothing but -0, which only (-0) + (-0) gives.
        return _pattern(x + y + np.float32(0))


def fp32_multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """FP32 ``a * b`` on uint32 bit patterns; NaNs come out canonical."""
    x, y = _float32("a", a), _float32("b", b)
    with np.errstate(all="ignore"):
        return _pattern(x * y)


def fp16_from_fp32(x: np.ndarray) -> np.ndarray:
    """Rounds float32 to float16: nearest even, overflow to Inf, NaN to 0x7E00 (output stage)."""
    _check.array("x", x, np.float32)
    with np.errstate(all="ignore"):
        return canonical(x.astype(np.float16))


def bf16_from_fp32(x: np.ndarray) -> np.ndarray:
    """Rounds float32 to BF16 patterns, uint16, as ``fp16_from_fp32`` does; NaN to 0x7FC0."""
    bits = np.asarray(_check.array("x", x, np.float32), order="C").view(np.uint32)
    odd = (bits >> 16) & np.uint32(1)
    # Half a unit, but one less at an even number; the carry into the exponent is right, up to Inf.
    rounded = (bits + np.uint32(0x7FFF) + odd) >> 16
    return np.where(np.isnan(x), BF16_NAN, rounded.astype(np.uint16))


def _float32(name: str, bits: np.ndarray) -> np.ndarray:
    return np.asarray(_check.array(name, bits, np.uint32), order="C").view(np.float32)


def _pattern(x: np.ndarray) -> np.ndarray:
    return canonical(x).view(np.uint32)
