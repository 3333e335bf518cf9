"""Codes to bit-planes and back, at full or reduced precision."""

from typing import Any

import numpy as np

from lamina_sim.golden import _check
from lamina_sim.golden.store._formats import BLOCK, Format, check_keep, format_of


def to_planes(codes: Any, bits: int, block: int = BLOCK) -> np.ndarray:
    """Cuts codes into blocks and blocks into planes: uint8 [blocks, bits, block / 8].

    ``codes`` of any shape are taken in C order and padded with code 0 to whole blocks: int8
    within ``bits`` = 2 to 8 bits, or uint16 patterns of floats with ``bits`` = 16. Plane 0 is the
    most significant bit; bit i mod 8 of byte i div 8 of a plane belongs to code i of the block.

    Raises:
        TypeError: ``codes`` of another dtype.
        ValueError: a code out of range, or ``bits`` or ``block`` (a power of two from 512) wrong.
    """
    form = format_of(bits, "fp16")
    codes = _check.array("codes", codes, form.dtype)
    block = _check.integer("block", block, BLOCK)
    if block & (block - 1):
        raise ValueError(f"block must be a power of two, not {block}.")
    if not form.floating:
        _check.signed_range("codes", codes, form.bits)
    flat = codes.reshape(-1)
    return split(np.pad(flat, (0, -flat.size % block)).reshape(-1, block), form.bits)


def split(blocks: np.ndarray, bits: int) -> np.ndarray:
    """The low ``bits`` bits of codes [blocks, block] as planes, the most significant first."""
    planes = np.empty((len(blocks), bits, blocks.shape[1] // 8), np.uint8)
    for p in range(bits):
        plane = (blocks >> (bits - 1 - p)) & blocks.dtype.type(1)
        planes[:, p] = np.packbits(plane.astype(bool), axis=1, bitorder="little")
    return planes


def from_planes(
    planes: Any, bits: int, keep: int | None = None, rounding: str = "truncate", fmt: str = "fp16"
) -> np.ndarray:
    """Puts planes uint8 [blocks, bits, block / 8] together: codes [blocks, block], ``narrow``ed.

    The codes are int8, or uint16 patterns of the float format ``fmt`` for ``bits`` = 16. Read at
    ``keep`` < bits planes they keep their scale: the low bits are zero.

    Raises:
        TypeError: ``planes`` is not uint8.
        ValueError: another shape, or a ``keep`` that the format cannot give.
    """
    form = format_of(bits, fmt)
    planes = _check.array("planes", planes, np.uint8, 3)
    if planes.shape[1] != form.bits:
        raise ValueError(f"planes must have {form.bits} planes a block, not {planes.shape[1]}.")
    return narrow(join(planes, form), form, keep, rounding)


def join(planes: np.ndarray, form: Format) -> np.ndarray:
    """The inverse of ``split``, sign-extended: codes [blocks, block] of ``form.dtype``."""
    codes = np.zeros((len(planes), planes.shape[2] * 8), np.uint16)
    for p in range(form.bits):
        codes <<= 1
        codes |= np.unpackbits(planes[:, p], axis=1, bitorder="little")
    return codes if form.floating else sign_extend(codes.astype(np.uint8), form.bits)


def sign_extend(codes: np.ndarray, bits: int) -> np.ndarray:
    """The low ``bits`` bits of uint8 ``codes`` as int8 two's complement."""
    unused = 8 - bits
    return (codes << unused).view(np.int8) >> unused


def narrow(codes: Any, form: Format, keep: int | None = None, rounding: str = "truncate") -> Any:
    """What a read of ``keep`` planes gives, at the scale of the whole code (low bits zero).

    Integers: "truncate" is the arithmetic shift, "nearest" rounds half up by one guard plane and
    stops at the largest code. Floats: on the magnitude, "truncate" towards zero, "nearest" half
    away from zero; a carry into the exponent stands, the largest finite value is not passed, Inf
    stays. A NaN is cut, and gets its top mantissa bit where no set bit would be kept.

    Raises:
        TypeError: ``codes`` is not of ``form.dtype``.
        ValueError: a code out of range, a ``keep`` that the format cannot give, or an unknown
            rounding.
    """
    keep = check_keep(keep, form)
    _check.choice("rounding", rounding, _check.ROUNDINGS)
    codes = _check.array("codes", codes, form.dtype)
    if not form.floating:
        _check.signed_range("codes", codes, form.bits)
    drop = form.bits - keep
    if drop == 0:
        return codes.copy()
    if form.floating is None:
        return _narrow_integer(codes, keep, drop, rounding)
    magnitude, infinity = codes & np.uint16(0x7FFF), form.floating.infinity
    cut = magnitude >> drop << drop
    hidden_nan = (magnitude > infinity) & (cut == infinity)
    quiet = np.uint16(1 << (form.floating.fraction_bits - 1))
    narrowed = np.where(hidden_nan, cut | quiet, cut)
    if rounding == "nearest":
        nearest = (magnitude + np.uint16(1 << (drop - 1))) >> drop << drop
        largest = np.uint16(infinity - (1 << drop))
        narrowed = np.where(magnitude < infinity, np.minimum(nearest, largest), narrowed)
    return narrowed | (codes & np.uint16(0x8000))


def _narrow_integer(codes: np.ndarray, keep: int, drop: int, rounding: str) -> np.ndarray:
    if rounding == "truncate":
        return codes >> drop << drop
    guarded = codes.astype(np.int16) >> (drop - 1)
    kept = np.minimum((guarded + 1) >> 1, (1 << (keep - 1)) - 1)
    return (kept << drop).astype(np.int8)
