"""Payload layouts of MODULE.json, and values to packed words and back.

A payload of w bits is a row of ``ceil(w / 32)`` uint32 words, least significant first; n payloads
are an array ``[n, words]``. A shape is the JSON object that describes the payload: ``bits``,
``struct`` or ``array`` with bit offsets from the least significant end.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lamina_sim.verilated.bits import (
    NARROW,
    Words,
    narrow_to_words,
    place,
    take,
    word_count,
    words_to_narrow,
)

__all__ = ["pack", "unpack", "word_count"]

Shape = Mapping[str, Any]


def pack(shape: Shape, values: Any, name: str = "payload") -> Words:
    """Pack n values into words, uint32 [n, words].

    ``values`` follows the shape:

    - bits to 64: integers or bools [n];
    - wider bits: uint32 words [n, words];
    - struct: a mapping with one entry per field. A field that is the same in all n may be given
      once (a scalar);
    - array: one more axis [n, length, ...]; arrays of structs are mappings of such arrays.

    ``name`` names the values in errors. ValueError: wrong shape, a value out of range, a missing
    or unknown field. TypeError: not integers.
    """
    leaves = _leaf_lengths(shape, values)
    lengths = {length for length in leaves if length is not None}
    if len(lengths) > 1:
        raise ValueError(f"{name} must have fields of one length, not {sorted(lengths)}.")
    return _pack(shape, values, (lengths.pop() if lengths else 1,), name)


def unpack(shape: Shape, words: ArrayLike) -> Any:
    """Inverse of :func:`pack`: uint32 [n, words] to values of the shape.

    Bits to 63, and signed bits to 64, come as int64 (so that they mix with other integers),
    unsigned 64 bits as uint64, wider bits as uint32 words, structs as dicts, arrays with an axis
    after n.
    """
    rows = np.asarray(words)
    expected = word_count(shape["width"])
    if rows.dtype != np.uint32 or rows.ndim != 2 or rows.shape[1] != expected:
        raise ValueError(
            f"Words of {shape['width']} bits must be uint32 [n, {expected}], "
            f"not {rows.dtype} {list(rows.shape)}."
        )
    return _unpack(shape, rows)


def _leaf_lengths(shape: Shape, values: Any) -> list[int | None]:
    """First axis of every leaf below ``values``; None for a scalar, which fits every length."""
    if isinstance(values, Mapping):
        inner = shape["element"] if shape["kind"] == "array" else shape
        fields = {field["name"]: field["shape"] for field in inner.get("fields", ())}
        return [
            length
            for key, value in values.items()
            if key in fields
            for length in _leaf_lengths(fields[key], value)
        ]
    array = np.asarray(values)
    return [len(array) if array.ndim else None]


def _pack(shape: Shape, values: Any, axes: tuple[int, ...], name: str) -> Words:
    """Pack values with the leading axes ``axes`` to uint32 [prod(axes), words]."""
    if shape["kind"] == "struct":
        return _pack_struct(shape, values, axes, name)
    if shape["kind"] == "array":
        return _pack_array(shape, values, axes, name)
    if shape["kind"] != "bits":
        raise ValueError(f"The kind of a shape must be bits, struct or array, not {shape['kind']}.")
    return _pack_bits(shape, values, axes, name)


def _pack_struct(shape: Shape, values: Any, axes: tuple[int, ...], name: str) -> Words:
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} must be a mapping of its fields, not {type(values).__name__}.")
    fields = {field["name"]: field for field in shape["fields"]}
    if set(fields) != set(values):
        raise ValueError(f"{name} must have the fields {list(fields)}, not {list(values)}.")
    words = np.zeros((int(np.prod(axes)), word_count(shape["width"])), np.uint32)
    for key, field in fields.items():
        part = _pack(field["shape"], values[key], axes, f"{name}.{key}")
        place(words, field["offset"], part)
    return words


def _pack_array(shape: Shape, values: Any, axes: tuple[int, ...], name: str) -> Words:
    element, length, stride = shape["element"], shape["length"], shape["stride"]
    rows = int(np.prod(axes))
    if element["kind"] == "bits" and element["width"] == stride and stride in NARROW:
        return narrow_to_words(
            _integers(element, values, (*axes, length), name).reshape(rows, length), stride
        )
    parts = _pack(element, values, (*axes, length), name)
    if stride == 32 * parts.shape[1]:
        return parts.reshape(rows, length * parts.shape[1])
    parts = parts.reshape(rows, length, parts.shape[1])
    words = np.zeros((rows, word_count(shape["width"])), np.uint32)
    for index in range(length):
        place(words, index * stride, parts[:, index])
    return words


def _pack_bits(shape: Shape, values: Any, axes: tuple[int, ...], name: str) -> Words:
    width, rows = shape["width"], int(np.prod(axes))
    if width > 64:
        wide = _shaped(np.asarray(values), (*axes, word_count(width)), name)
        if wide.dtype != np.uint32:
            raise TypeError(f"{name} ({width} bits) must be uint32 words, not {wide.dtype}.")
        wide = wide.reshape(rows, word_count(width))
        check_clean(wide, width, name)
        return np.ascontiguousarray(wide)
    numbers = _integers(shape, values, axes, name).reshape(rows)
    if width <= 32:
        low = numbers.astype(np.int64).astype(np.uint32) & np.uint32((1 << width) - 1)
        return low.reshape(rows, 1)[:, : word_count(width)]
    long = numbers.astype(np.int64) if shape.get("signed") else numbers.astype(np.uint64)
    words = np.ascontiguousarray(long.view(np.uint64) & np.uint64((1 << width) - 1))
    return words.view("<u4").reshape(rows, 2)


def check_clean(words: Words, width: int, name: str) -> None:
    """Raise ValueError if words carry bits above ``width``."""
    if width % 32 and words.size and words[:, -1].max() >> (width % 32):
        raise ValueError(f"{name} must fit in {width} bits, but has bits above them.")


def _shaped(array: NDArray[Any], axes: tuple[int, ...], name: str) -> NDArray[Any]:
    if array.ndim == 0:
        return np.broadcast_to(array, axes)
    if array.shape != axes:
        raise ValueError(f"{name} must have the shape {list(axes)}, not {list(array.shape)}.")
    return array


def _integers(shape: Shape, values: Any, axes: tuple[int, ...], name: str) -> NDArray[Any]:
    """Integers of a leaf, checked against its range."""
    array = np.asarray(values)
    if array.dtype.kind not in "iub":
        raise TypeError(f"{name} must be integers, not {array.dtype}.")
    array = _shaped(array, axes, name)
    width, half = shape["width"], 1 << shape["width"] >> 1
    low, high = (-half, half - 1) if shape.get("signed") else (0, (1 << width) - 1)
    if array.size:
        least, most = int(array.min()), int(array.max())
        if least < low or most > high:
            wrong = least if least < low else most
            raise ValueError(f"{name} must be between {low} and {high}, not {wrong}.")
    return array


def _unpack(shape: Shape, words: Words) -> Any:
    if shape["kind"] == "struct":
        return {
            field["name"]: _unpack(
                field["shape"], take(words, field["offset"], field["shape"]["width"])
            )
            for field in shape["fields"]
        }
    if shape["kind"] == "array":
        return _unpack_array(shape, words)
    return _unpack_bits(shape, words)


def _unpack_array(shape: Shape, words: Words) -> Any:
    element, length, stride = shape["element"], shape["length"], shape["stride"]
    rows, width = len(words), element["width"]
    if element["kind"] == "bits" and width == stride and stride in NARROW:
        return words_to_narrow(words, stride, bool(element.get("signed")))[:, :length]
    if width % 32 == 0 and width == stride:
        parts = words.reshape(rows * length, width // 32)
    else:
        parts = np.empty((rows, length, word_count(width)), np.uint32)
        for index in range(length):
            parts[:, index] = take(words, index * stride, width)
        parts = parts.reshape(rows * length, word_count(width))
    return _split_rows(_unpack(element, parts), rows, length)


def _split_rows(values: Any, rows: int, length: int) -> Any:
    if isinstance(values, dict):
        return {key: _split_rows(value, rows, length) for key, value in values.items()}
    return values.reshape(rows, length, *values.shape[1:])


def _unpack_bits(shape: Shape, words: Words) -> NDArray[Any]:
    width = shape["width"]
    if width > 64:
        return words
    if width <= 32:
        low = words[:, 0] if width else np.zeros(len(words))
        return _sign(low.astype(np.int64), shape)
    long = np.ascontiguousarray(words).view("<u8")[:, 0]
    if width == 64:
        return long.view(np.int64) if shape.get("signed") else long
    return _sign(long.view(np.int64), shape)


def _sign(numbers: NDArray[np.int64], shape: Shape) -> NDArray[np.int64]:
    """Values of bits whose upper bits are zero, with the sign of the shape."""
    if shape.get("signed") and shape["width"]:
        top = np.int64(1 << (shape["width"] - 1))
        return (numbers ^ top) - top
    return numbers
