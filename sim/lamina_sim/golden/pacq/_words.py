"""Packed words of weights and the multiplier that takes one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_sim.golden import _check, ieee

WORD_BITS = 16
WIDTHS = (2, 4)


@dataclass(frozen=True, kw_only=True, eq=False)
class Products:
    """What the multiplier puts out for one activation and the weights of one word.

    The product with weight j is ``significand[.., j] * 2^(exponent - 25)``, exact.

    Members: ``significand`` int32 [.., 16/bits], (-1)^s * F * B; ``exponent`` uint8 [..], E of the
    activation, 1 to 31; ``inf`` and ``nan`` bool [..], flags of the activation, beside which the
    significand follows the same formula and means nothing.
    """

    significand: np.ndarray
    exponent: np.ndarray
    inf: np.ndarray
    nan: np.ndarray


def check_bits(bits: Any) -> int:
    """Returns ``bits`` when PacQ packs weights of that width."""
    bits = _check.integer("bits", bits, 2, 4)
    _check.choice("bits", bits, WIDTHS)
    return bits


def pack(codes: Any, bits: int) -> np.ndarray:
    """Packs codes int8 [.., n] along n: uint16 [.., n * bits / 16].

    Code j of a word lies in bits [bits * j, bits * (j + 1)) as code + 2^(bits - 1).

    Raises:
        TypeError: ``codes`` is not int8.
        ValueError: ``bits`` is not 2 or 4, n no multiple of 16 / bits, or a code out of range.
    """
    bits = check_bits(bits)
    per_word = WORD_BITS // bits
    codes = _check.array("codes", codes, np.int8)
    if codes.ndim == 0 or codes.shape[-1] % per_word:
        raise ValueError(
            f"codes must have a multiple of {per_word} columns to pack, not shape {codes.shape}."
        )
    _check.signed_range("codes", codes, bits)
    offset = (codes + np.int8(1 << (bits - 1))).astype(np.uint16)
    fields = offset.reshape(*codes.shape[:-1], -1, per_word)
    words = np.zeros(fields.shape[:-1], np.uint16)
    for j in range(per_word):
        words |= fields[..., j] << np.uint16(bits * j)
    return words


def pack_k(codes: Any, bits: int) -> np.ndarray:
    """Packs codes int8 [k, n] along k: uint16 [k * bits / 16, n]. Otherwise as ``pack``."""
    codes = _check.array("codes", codes, np.int8, 2)
    return pack(codes.T, bits).T


def unpack(words: Any, bits: int) -> np.ndarray:
    """The inverse of ``pack``: uint16 [.., w] to codes int8 [.., w * 16 / bits]."""
    bits = check_bits(bits)
    words = _check.array("words", words, np.uint16)
    if words.ndim == 0:
        raise ValueError("words must have at least one dimension, not 0.")
    return _codes(words, bits).reshape(*words.shape[:-1], -1)


def _codes(words: np.ndarray, bits: int) -> np.ndarray:
    """Codes int8 [.., 16 / bits] of words uint16 [..]."""
    shifts = np.arange(0, WORD_BITS, bits, dtype=np.uint16)
    fields = (words[..., None] >> shifts) & np.uint16((1 << bits) - 1)
    return fields.astype(np.int8) - np.int8(1 << (bits - 1))


def multiply(a: Any, words: Any, bits: int) -> Products:
    """Multiplies float16 ``a`` [..] by every weight of ``words`` uint16 [..] (they broadcast).

    The weights are the codes themselves; a zero point is the business of the dot product.

    Raises:
        TypeError: ``a`` is not float16 or ``words`` not uint16.
        ValueError: ``bits`` is not 2 or 4, or the shapes do not broadcast.
    """
    bits = check_bits(bits)
    a_bits = ieee.patterns("a", a, ieee.FP16)
    words = _check.array("words", words, np.uint16)
    a_bits, words = _check.broadcast("a and words", a_bits, words)
    parts = ieee.unpack(a_bits, ieee.FP16)
    significand = parts.significand.astype(np.int32)
    signed = np.where(parts.sign == 1, -significand, significand)
    return Products(
        significand=signed[..., None] * _codes(words, bits),
        exponent=parts.exponent,
        inf=parts.inf,
        nan=parts.nan,
    )


def multiply_fp16(a: Any, b: Any) -> np.ndarray:
    """Multiplies float16 ``a`` by float16 ``b`` (they broadcast): float32, exact.

    22 bits of significand fit, and no product is subnormal in FP32. Inf and NaN as in IEEE 754.

    Raises:
        TypeError: an operand is not float16.
        ValueError: the shapes do not broadcast.
    """
    a, b = (_check.array(name, x, np.float16) for name, x in (("a", a), ("b", b)))
    a, b = _check.broadcast("a and b", a, b)
    with np.errstate(invalid="ignore"):
        return ieee.canonical(np.asarray(a.astype(np.float32) * b.astype(np.float32)))
