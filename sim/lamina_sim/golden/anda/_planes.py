"""Bit-planes of Anda groups, and their bytes in memory."""

from typing import Any

import numpy as np

from lamina_sim.golden import _check, ieee
from lamina_sim.golden.anda._format import GROUP, Anda

_WORD_BYTES = GROUP // 8
_ALIGNMENT = 64


def to_planes(a: Anda) -> tuple[np.ndarray, np.ndarray]:
    """Turns groups of 64 into words: exponent uint8 [.., G] and planes uint64 [.., G, 1 + M].

    Word 0 holds the signs, then come the mantissa planes, most significant first; bit i of a word
    belongs to element i.
    """
    if a.mantissa.shape[-1] != GROUP:
        raise ValueError(f"a group must have {GROUP} elements, not {a.mantissa.shape[-1]}.")
    planes = np.empty((*a.exponent.shape, 1 + a.mantissa_bits), np.uint64)
    planes[..., 0] = _word(a.sign)
    for p in range(a.mantissa_bits):
        planes[..., 1 + p] = _word((a.mantissa >> (a.mantissa_bits - 1 - p)) & np.uint16(1))
    return a.exponent, planes


def from_planes(exponent: Any, planes: Any, fmt: str = "fp16") -> Anda:
    """The inverse of ``to_planes``; the number of planes tells the mantissa length.

    Raises:
        TypeError: ``exponent`` is not uint8 or ``planes`` not uint64.
        ValueError: shapes that do not fit, not 2 to 17 planes, or an exponent 0.
    """
    exponent = _check.array("exponent", exponent, np.uint8)
    planes = _check.array("planes", planes, np.uint64)
    if planes.ndim == 0:
        raise ValueError("planes must have at least one dimension, not 0.")
    _check.shape("exponent", exponent, planes.shape[:-1])
    mantissa_bits = _check.integer("planes.shape[-1] - 1", planes.shape[-1] - 1, 1, 16)
    mantissa = np.zeros((*planes.shape[:-1], GROUP), np.uint16)
    for p in range(mantissa_bits):
        np.left_shift(mantissa, 1, out=mantissa)
        mantissa |= _bits(planes[..., 1 + p])
    return Anda(
        sign=_bits(planes[..., 0]),
        exponent=exponent,
        mantissa=mantissa,
        mantissa_bits=mantissa_bits,
        fmt=fmt,
    )


def to_beats(a: Anda, planes: int) -> tuple[np.ndarray, np.ndarray]:
    """Lays groups [sets, rows, 64] out as an engine takes them, all rows of a set at a time.

    Exponents uint8 [beats, rows] and words uint64 [beats, rows, planes]: a set is
    ceil((1 + M) / planes) beats, each of the next ``planes`` words of ``to_planes``; words of zeros
    fill the last one. Exponents are the same in all beats of a set.
    """
    planes = _check.integer("planes", planes, 1)
    if a.exponent.ndim != 2:
        raise ValueError(f"groups must have 2 dimensions, sets and rows, not {a.exponent.ndim}.")
    exponent, words = to_planes(a)
    sets, rows, count = words.shape
    beats = -(-count // planes)
    filled = np.zeros((sets, rows, beats * planes), np.uint64)
    filled[..., :count] = words
    filled = filled.reshape(sets, rows, beats, planes).swapaxes(1, 2)
    return np.repeat(exponent, beats, axis=0), filled.reshape(-1, rows, planes)


def _word(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, axis=-1, bitorder="little").view("<u8")[..., 0]


def _bits(words: np.ndarray) -> np.ndarray:
    octets = np.ascontiguousarray(words, "<u8")[..., None].view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")


def row_bytes(groups: int, mantissa_bits: int) -> int:
    """Bytes of a row in memory: the exponents padded to 64, then 1 + M words of 8 per group."""
    groups = _check.integer("groups", groups, 1)
    mantissa_bits = _check.integer("mantissa_bits", mantissa_bits, 1, 16)
    return _exponent_bytes(groups) + groups * (1 + mantissa_bits) * _WORD_BYTES


def _exponent_bytes(groups: int) -> int:
    return -(-groups // _ALIGNMENT) * _ALIGNMENT


def pack_rows(a: Anda) -> np.ndarray:
    """Lays each row of groups out as bytes: uint8 [.., row_bytes(groups, mantissa_bits)].

    A row is its exponent bytes, zeros up to a multiple of 64, then per group the sign word and
    the mantissa words of ``to_planes``, each little-endian.
    """
    exponent, planes = to_planes(a)
    groups = exponent.shape[-1]
    rows = np.zeros((*exponent.shape[:-1], row_bytes(groups, a.mantissa_bits)), np.uint8)
    rows[..., :groups] = exponent
    words = planes.astype("<u8").view(np.uint8)
    rows[..., _exponent_bytes(groups) :] = words.reshape(*exponent.shape[:-1], -1)
    return rows


def unpack_rows(rows: Any, groups: int, mantissa_bits: int, fmt: str = "fp16") -> Anda:
    """The inverse of ``pack_rows`` for rows uint8 [.., row_bytes(groups, mantissa_bits)]."""
    rows = _check.array("rows", rows, np.uint8)
    ieee.format_of(fmt)
    size = row_bytes(groups, mantissa_bits)
    if rows.ndim == 0 or rows.shape[-1] != size:
        raise ValueError(f"rows must have {size} bytes each, not shape {rows.shape}.")
    words = np.ascontiguousarray(rows[..., _exponent_bytes(groups) :]).view("<u8")
    planes = words.reshape(*rows.shape[:-1], groups, 1 + mantissa_bits).astype(np.uint64)
    return from_planes(np.ascontiguousarray(rows[..., :groups]), planes, fmt)
