"""Bit fields in rows of 32-bit words, all rows at once.

Words are uint32 [rows, words], least significant first.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NARROW", "Words", "narrow_to_words", "place", "take", "word_count", "words_to_narrow"]

Words = NDArray[np.uint32]

NARROW = (1, 2, 4, 8, 16)
"""Widths whose elements fill words without crossing their borders, and are packed at once."""


def word_count(width: int) -> int:
    """Number of 32-bit words that hold ``width`` bits."""
    return -(-width // 32)


def narrow_to_words(numbers: NDArray[Any], stride: int) -> Words:
    """Elements [rows, length] of 1, 2, 4, 8 or 16 bits without gaps to words, all at once."""
    if stride >= 8:
        signed = numbers.dtype.kind == "i"
        narrow = numbers.astype(f"{'i' if signed else 'u'}{stride // 8}")
        data = np.ascontiguousarray(narrow).view(np.uint8)
    else:
        codes = numbers.astype(np.int8 if numbers.dtype.kind == "i" else np.uint8)
        codes = codes.view(np.uint8) & np.uint8((1 << stride) - 1)
        data = _bytes_of_codes(codes, stride)
    words = np.zeros((len(data), 4 * -(-data.shape[1] // 4)), np.uint8)
    words[:, : data.shape[1]] = data
    return words.view("<u4")


def _bytes_of_codes(codes: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """Join neighbouring codes until they fill bytes."""
    if stride == 1:
        return np.packbits(codes, axis=1, bitorder="little")
    while stride < 8:
        if codes.shape[1] % 2:
            codes = np.pad(codes, ((0, 0), (0, 1)))
        codes = codes[:, 0::2] | (codes[:, 1::2] << np.uint8(stride))
        stride *= 2
    return codes


def place(words: Words, offset: int, part: Words) -> None:
    """OR ``part`` into ``words`` at a bit offset; both are [rows, words]."""
    first, shift = divmod(offset, 32)
    for index in range(part.shape[1]):
        words[:, first + index] |= part[:, index] << np.uint32(shift)
        if shift and first + index + 1 < words.shape[1]:
            words[:, first + index + 1] |= part[:, index] >> np.uint32(32 - shift)


def take(words: Words, offset: int, width: int) -> Words:
    """The inverse of :func:`place`: ``width`` bits at a bit offset, uint32 [rows, words]."""
    first, shift = divmod(offset, 32)
    count = word_count(width)
    part = words[:, first : first + count] >> np.uint32(shift)
    if shift:
        above = words[:, first + 1 : first + count + 1]
        part[:, : above.shape[1]] |= above << np.uint32(32 - shift)
    if width % 32:
        part[:, -1] &= np.uint32((1 << width % 32) - 1)
    return part


def words_to_narrow(words: Words, stride: int, signed: bool) -> NDArray[np.int64]:
    """Inverse of :func:`narrow_to_words`, with as many elements as the words hold."""
    data = np.ascontiguousarray(words).view(np.uint8)
    if stride >= 8:
        return data.view(f"<{'i' if signed else 'u'}{stride // 8}").astype(np.int64)
    return _codes_of_byte(stride, signed)[data].view(np.int64)


@functools.cache
def _codes_of_byte(stride: int, signed: bool) -> NDArray[Any]:
    """The 8 / stride codes of each byte as one item of int64, [256].

    One look-up beats shifts and masks, and copying an item beats copying a row twenty times.
    """
    codes = np.arange(256)[:, None] >> np.arange(0, 8, stride) & ((1 << stride) - 1)
    values = np.where(signed & (codes >> (stride - 1) == 1), codes - (1 << stride), codes)
    return np.ascontiguousarray(values).view(f"V{8 * values.shape[1]}")[:, 0]
