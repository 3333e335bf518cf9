"""Packing and unpacking against Python's integers."""

import numpy as np
import pytest

from lamina_sim.verilated import ports
from tb.verilated.designs import array, bits, struct


def draw(rng, shape, axes):
    """Random values of a shape in the form that unpack gives them."""
    if shape["kind"] == "struct":
        return {f["name"]: draw(rng, f["shape"], axes) for f in shape["fields"]}
    if shape["kind"] == "array":
        return draw(rng, shape["element"], (*axes, shape["length"]))
    width = shape["width"]
    if width > 64:
        words = rng.integers(0, 2**32, (*axes, -(-width // 32)), dtype=np.uint32)
        words[..., -1] >>= np.uint32(-width % 32)
        return words
    if shape["signed"]:
        half = 1 << (width - 1)
        return rng.integers(-half, half - 1, axes, dtype=np.int64, endpoint=True)
    kind = np.uint64 if width == 64 else np.int64
    return rng.integers(0, (1 << width) - 1, axes, dtype=kind, endpoint=True)


def number(shape, values, index):
    """The payload of one position as a Python integer: the definition of the layout."""
    if shape["kind"] == "struct":
        parts = [
            (f["offset"], number(f["shape"], values[f["name"]], index)) for f in shape["fields"]
        ]
    elif shape["kind"] == "array":
        parts = [
            (n * shape["stride"], number(shape["element"], values, (*index, n)))
            for n in range(shape["length"])
        ]
    elif shape["width"] > 64:
        return sum(int(word) << 32 * n for n, word in enumerate(values[index]))
    else:
        return int(values[index]) & ((1 << shape["width"]) - 1)
    return sum(part << offset for offset, part in parts)


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return one.dtype == other.dtype and np.array_equal(one, other)


SHAPES = {
    **{f"u{width}": bits(width) for width in (1, 5, 31, 32, 33, 63, 64, 65, 96, 2047, 2048)},
    **{f"s{width}": bits(width, signed=True) for width in (1, 7, 32, 33, 63, 64)},
    "struct": struct(a=bits(1), b=bits(64), c=bits(33, True), d=bits(100), e=bits(0), f=bits(3)),
    "planes": struct(exponent=bits(5), planes=array(bits(64), 17), last=bits(1)),
    "elements": array(struct(code=bits(4, True), tag=bits(3), wide=bits(70)), 9),
    "spaced": array(bits(5, True), 7, stride=8),
    "words": array(bits(32, True), 5),
    "nested": array(array(bits(4, True), 6), 3),
    **{f"{n}x{w}": array(bits(w, w == 4), n) for w in (1, 2, 4, 8, 16, 3) for n in (1, 13, 64)},
}


@pytest.mark.parametrize("name", SHAPES)
def test_layout(rng, name):
    shape = SHAPES[name]
    values = draw(rng, shape, (20,))
    words = ports.pack(shape, values)
    assert words.dtype == np.uint32
    assert words.shape == (20, -(-shape["width"] // 32))
    for n in range(20):
        assert int.from_bytes(words[n].tobytes(), "little") == number(shape, values, (n,))
    assert equal(ports.unpack(shape, words), values)


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_packs_to_nothing(rng, name):
    shape = SHAPES[name]
    values = draw(rng, shape, (0,))
    assert equal(ports.unpack(shape, ports.pack(shape, values)), values)


@pytest.mark.parametrize("width", [1, 4, 8, 12, 32, 40, 64])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_range_is_checked_at_its_ends(width, signed, inside):
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
    shape = array(bits(width, signed), 2) if inside else bits(width, signed)
    for value in (low, high):
        kind = np.uint64 if value >= 1 << 63 else np.int64
        values = np.full((3, 2) if inside else 3, value, kind)
        assert np.array_equal(ports.unpack(shape, ports.pack(shape, values)), values)
    for value in (low - 1, high + 1):
        if not -(1 << 63) <= value < 1 << 64:
            continue
        kind = np.uint64 if value >= 1 << 63 else np.int64
        values = np.full((3, 2) if inside else 3, value, kind)
        with pytest.raises(ValueError, match=f"must be between {low} and {high}, not {value}"):
            ports.pack(shape, values)


def test_small_dtypes_and_scalars():
    shape = struct(a=bits(20, True), b=array(bits(4, True), 2), c=bits(40))
    small = {"a": np.int8([-1, 5]), "b": np.int8([[1, -8], [7, 0]]), "c": True}
    large = {"a": np.array([-1, 5]), "b": np.array([[1, -8], [7, 0]]), "c": np.array([1, 1])}
    assert equal(ports.unpack(shape, ports.pack(shape, small)), large)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.zeros((4, 3), int), ValueError),
        (np.zeros((4, 2), np.float32), TypeError),
        ([["a", "b"]], TypeError),
        (np.zeros((4, 2), np.int8).astype(object), TypeError),
    ],
)
def test_wrong_arrays_are_refused(values, error):
    with pytest.raises(error):
        ports.pack(array(bits(4), 2), values)


@pytest.mark.parametrize("words", [np.zeros((4, 2), np.uint32), np.zeros((4, 1), np.int64)])
def test_wrong_words_are_refused(words):
    with pytest.raises(ValueError, match=r"Words of 29 bits must be uint32 \[n, 1\]"):
        ports.unpack(bits(29), words)
