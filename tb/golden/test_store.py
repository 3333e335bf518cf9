"""golden.store against digit strings: every code and pattern, every view, writes and layout."""

import dataclasses

import numpy as np
import pytest

from lamina_sim.golden import store
from tb.golden import oracle_store
from tb.golden.patterns import ALL, ROUNDINGS

INTEGERS = [store.FORMATS[f"int{n}"] for n in range(2, 9)]
FLOATS = [store.FP16, store.BF16]
FORMATS = [*INTEGERS, *FLOATS]
BY_NAME = {"ids": lambda form: form.name}


def every_code(form):
    if form.floating:
        return ALL
    return np.arange(-(1 << (form.bits - 1)), 1 << (form.bits - 1)).astype(np.int8)


def keeps(form):
    return range(form.least_planes, form.bits + 1)


def model(form, keep, rounding):
    """The oracle's narrowing of one code."""
    if form.floating:
        return lambda code: oracle_store.narrow_float(code, form.name, keep, rounding)
    return lambda code: oracle_store.narrow_integer(code, form.bits, keep, rounding)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("form", FORMATS, **BY_NAME)
def test_every_code_at_every_precision(form, rounding):
    """All codes of INT2 to INT8 and all 65,536 patterns of FP16 and BF16, through the planes."""
    codes = every_code(form)
    planes = store.to_planes(codes, form.bits)
    fmt = form.name if form.floating else "fp16"
    for keep in keeps(form):
        got = store.from_planes(planes, form.bits, keep, rounding, fmt)
        assert got.dtype == codes.dtype
        narrow = model(form, keep, rounding)
        wanted = np.array([narrow(code) for code in codes.tolist()], codes.dtype)
        np.testing.assert_array_equal(got.reshape(-1)[: codes.size], wanted)
        assert not got.reshape(-1)[codes.size :].any()
        np.testing.assert_array_equal(store.narrow(codes, form, keep, rounding), wanted)


@pytest.mark.parametrize("block", [512, 1024, 4096])
@pytest.mark.parametrize("form", FORMATS, **BY_NAME)
def test_planes(form, block, rng):
    codes = rng.choice(every_code(form), (3, 700))
    planes = store.to_planes(codes, form.bits, block)
    flat = codes.ravel().tolist() + [0] * (-codes.size % block)
    assert planes.shape == (len(flat) // block, form.bits, block // 8)
    for b in range(len(planes)):
        wanted = oracle_store.planes(flat[b * block : (b + 1) * block], form.bits)
        assert [plane.tobytes() for plane in planes[b]] == wanted
    back = store.from_planes(planes, form.bits)
    np.testing.assert_array_equal(back.ravel(), np.array(flat, codes.dtype))


def views(form):
    for rounding in ROUNDINGS:
        yield store.View(kind="full", format=form, rounding=rounding)
        for keep in keeps(form):
            for kind in ("container", "packed", "planes"):
                yield store.View(kind=kind, format=form, keep=keep, rounding=rounding)


@pytest.mark.parametrize("form", FORMATS, **BY_NAME)
def test_read_every_view(form, rng):
    codes = rng.choice(every_code(form), (2, 512))
    planes = store.to_planes(codes, form.bits)
    for view in views(form):
        lines = store.read(planes, view)
        assert lines.shape == (2, view.lines, 64)
        narrow = model(form, view.k, view.rounding)
        for b in range(2):
            wanted = oracle_store.read(codes[b].tolist(), form.bits, narrow, view.kind, view.k)
            assert lines[b].tobytes() == wanted, view


def test_lines_and_planes_of_views():
    def lines(kind, form, keep=None):
        return store.View(kind=kind, format=form, keep=keep).lines

    assert lines("full", store.INT3) == lines("container", store.INT8, 1) == 8
    assert lines("full", store.BF16) == lines("container", store.FP16, 6) == 16
    assert [lines("packed", store.INT8, k) for k in range(1, 9)] == [1, 2, 4, 4, 8, 8, 8, 8]
    assert [lines("planes", store.BF16, k) for k in range(9, 17)] == [16] * 8
    assert lines("planes", store.FP16, 8) == 8
    nearest = store.View(kind="packed", format=store.INT4, keep=3, rounding="nearest")
    assert nearest.planes_read == 4
    assert dataclasses.replace(nearest, keep=4).planes_read == 4
    assert dataclasses.replace(nearest, rounding="truncate").planes_read == 3


def test_known_float_roundings():
    """1.0 - ulp carries into the exponent; the largest value stays; Inf, NaN and signs stay."""

    def narrow(pattern, keep, rounding="nearest"):
        return int(store.narrow(np.array([pattern], np.uint16), store.FP16, keep, rounding)[0])

    assert narrow(0x3BFF, 8) == 0x3C00
    assert narrow(0xBBFF, 8) == 0xBC00
    assert narrow(0x7BFF, 8) == 0x7B00
    assert narrow(0x7BFF, 6) == 0x7800
    assert narrow(0xFC00, 8) == 0xFC00
    assert narrow(0x7C01, 8) == narrow(0x7C01, 8, "truncate") == 0x7E00
    assert narrow(0xFF01, 8) == 0xFF00
    assert narrow(0x0080, 8) == 0x0100
    assert narrow(0x007F, 8) == 0
    assert narrow(0x8001, 8, "truncate") == 0x8000


@pytest.mark.parametrize("form", FORMATS, **BY_NAME)
def test_write_through_the_full_view(form, rng):
    codes = rng.choice(every_code(form), (3, 512))
    planes = store.to_planes(codes, form.bits)
    full = store.View(kind="full", format=form)
    blank = np.zeros_like(planes)
    np.testing.assert_array_equal(store.write(blank, full, store.read(planes, full)), planes)
    assert not blank.any()
    # Byte strobes: every byte comes from the new lines or stays.
    other = store.to_planes(rng.choice(every_code(form), (3, 512)), form.bits)
    strobes = rng.integers(0, 2, (3, full.lines, 64)).astype(bool)
    merged = store.write(planes, full, store.read(other, full), strobes)
    wanted = np.where(strobes, store.read(other, full), store.read(planes, full))
    np.testing.assert_array_equal(store.read(merged, full), wanted)
    nothing = store.write(planes, full, store.read(other, full), np.zeros_like(strobes))
    np.testing.assert_array_equal(nothing, planes)


@pytest.mark.parametrize("form", INTEGERS, **BY_NAME)
def test_write_takes_the_low_bits_of_a_container(form, rng):
    octets = rng.integers(0, 256, (1, 8, 64)).astype(np.uint8)
    full = store.View(kind="full", format=form)
    planes = store.write(np.zeros((1, form.bits, 64), np.uint8), full, octets)
    codes = store.from_planes(planes, form.bits).ravel()
    assert (codes.astype(int) % 2**form.bits == octets.ravel().astype(int) % 2**form.bits).all()


def test_write_through_other_views_is_dropped(rng):
    planes = rng.integers(0, 256, (2, 4, 64)).astype(np.uint8)
    for view in views(store.INT4):
        if view.kind != "full":
            after = store.write(planes, view, np.ones((2, view.lines, 64), np.uint8))
            np.testing.assert_array_equal(after, planes)
            assert after is not planes


def test_plane_address():
    assert store.plane_address(0, 0, 4) == 0
    assert store.plane_address(1, 0, 4) == 64
    assert store.plane_address(0, 1, 4) == 8192
    assert store.plane_address(128, 0, 4) == 4 * 8192
    assert store.plane_address(130, 3, 4, base=8192) == 8192 + (4 + 3) * 8192 + 2 * 64
    assert store.plane_address(5, 2, 8, blocks_per_row=2) == (2 * 8 + 2) * 128 + 64


@pytest.mark.parametrize(("blocks", "stored", "per_row"), [(1, 4, 128), (9, 3, 4), (300, 2, 128)])
def test_addresses_are_a_bijection(blocks, stored, per_row):
    b, p = np.meshgrid(np.arange(blocks), np.arange(stored), indexing="ij")
    address = store.plane_address(b, p, stored, blocks_per_row=per_row, base=per_row * 64 * 7)
    assert len(np.unique(address)) == address.size
    assert (address % 64 == 0).all()
    # Reading k planes of all blocks touches k rows of each row of blocks, and no others.
    rows = {int(a) // (per_row * 64) for a in address[:, :1].ravel()}
    assert len(rows) == -(-blocks // per_row)


@pytest.mark.parametrize(("blocks", "stored", "per_row"), [(1, 4, 128), (9, 3, 4), (130, 16, 128)])
def test_image(blocks, stored, per_row, rng):
    planes = rng.integers(1, 256, (blocks, stored, 64)).astype(np.uint8)
    image = store.to_image(planes, per_row)
    assert image.size == -(-blocks // per_row) * stored * per_row * 64
    for b in range(blocks):
        for p in range(stored):
            at = ((b // per_row) * stored + p) * per_row * 64 + b % per_row * 64
            assert image[at : at + 64].tolist() == planes[b, p].tolist()
    assert np.count_nonzero(image) == planes.size
    np.testing.assert_array_equal(store.from_image(image, blocks, stored, per_row), planes)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (64, 8), (65, 9), (130, 20), (128, 3)])
def test_tiles(k, n, rng):
    codes = rng.integers(-8, 8, (k, n)).astype(np.int8)
    blocks = store.tile(codes)
    down, across = -(-k // 64), -(-n // 8)
    assert blocks.shape == (down * across, 512)
    seen = np.zeros_like(blocks, bool)
    for row in range(k):
        for column in range(n):
            block = column // 8 * down + row // 64
            place = 64 * (column % 8) + row % 64
            assert blocks[block, place] == codes[row, column]
            seen[block, place] = True
    assert not blocks[~seen].any()
    np.testing.assert_array_equal(store.untile(blocks, k, n), codes)
    patterns = codes.view(np.uint8).astype(np.uint16)
    np.testing.assert_array_equal(store.untile(store.tile(patterns), k, n), patterns)


CODES = np.ones(512, np.int8)
PLANES = store.to_planes(CODES, 4)
FULL = store.View(kind="full", format=store.INT4)
LINES = store.read(PLANES, FULL)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: store.to_planes(CODES, 1),
            ValueError,
            "between 2 and 8, or 16, not 1",
        ),
        (
            lambda: store.to_planes(CODES, 9),
            ValueError,
            "between 2 and 8, or 16, not 9",
        ),
        (lambda: store.to_planes(CODES, 16), TypeError, "codes must be uint16, not int8"),
        (
            lambda: store.to_planes(CODES * np.int8(8), 4),
            ValueError,
            "between -8 and 7",
        ),
        (lambda: store.to_planes(CODES[:0], 4), ValueError, "at least one element"),
        (lambda: store.to_planes(CODES, 4, 256), ValueError, "at least 512, not 256"),
        (
            lambda: store.to_planes(CODES, 4, 768),
            ValueError,
            "a power of two, not 768",
        ),
        (lambda: store.from_planes(PLANES, 5), ValueError, "must have 5 planes a block, not 4"),
        (
            lambda: store.from_planes(PLANES, 4, 5),
            ValueError,
            "of int4 must be between 1 and 4",
        ),
        (
            lambda: store.from_planes(PLANES, 4, 0),
            ValueError,
            "of int4 must be between 1 and 4",
        ),
        (
            lambda: store.from_planes(PLANES, 4, 3, "up"),
            ValueError,
            "must be 'truncate' or",
        ),
        (
            lambda: store.from_planes(PLANES, 16, fmt="fp8"),
            ValueError,
            "'fp16' or 'bf16'",
        ),
        (
            lambda: store.narrow(ALL, store.FP16, 5),
            ValueError,
            "keep of fp16 must be between 6 and 16, not 5",
        ),
        (
            lambda: store.narrow(ALL, store.BF16, 8),
            ValueError,
            "keep of bf16 must be between 9 and 16, not 8",
        ),
        (
            lambda: store.narrow(CODES * np.int8(8), store.INT4, 3),
            ValueError,
            "codes must be between -8 and 7 for 4 bits, not 8",
        ),
        (
            lambda: store.View(kind="full", format="int4"),
            TypeError,
            "format must be a Format, not str",
        ),
        (
            lambda: store.View(kind="packed", format=store.INT4, keep=2.5),
            TypeError,
            "keep of int4 must be an integer, not float",
        ),
        (lambda: store.View(kind="half", format=store.INT4), ValueError, "kind must be 'full' or"),
        (
            lambda: store.View(kind="full", format=store.INT4, keep=3),
            ValueError,
            "keep of a full view must be 4, not 3",
        ),
        (
            lambda: store.View(kind="packed", format=store.INT4, keep=3, rounding="up"),
            ValueError,
            "rounding must be 'truncate' or 'nearest', not 'up'",
        ),
        (
            lambda: store.read(store.to_planes(CODES, 4, 1024), FULL),
            ValueError,
            r"planes must have shape \(1, 4, 64\), not \(1, 4, 128\)",
        ),
        (
            lambda: store.write(PLANES, FULL, LINES.astype(int)),
            TypeError,
            "lines must be uint8",
        ),
        (lambda: store.write(PLANES, FULL, LINES[:, :4]), ValueError, r"shape \(1, 8, 64\), not"),
        (
            lambda: store.write(PLANES, FULL, LINES, LINES),
            TypeError,
            "strobes must be bool, not uint8",
        ),
        (lambda: store.plane_address(0, 4, 4), ValueError, "plane must be below 4, not 4"),
        (lambda: store.plane_address(-1, 0, 4), ValueError, "block must be at least 0, not -1"),
        (lambda: store.plane_address(0.0, 0, 4), TypeError, "block must be of an integer dtype"),
        (
            lambda: store.plane_address(0, 0, 4, base=64),
            ValueError,
            "base must be a multiple of 8192, not 64",
        ),
        (lambda: store.tile(CODES), ValueError, "codes must have 2 dimensions, not 1"),
        (lambda: store.tile(np.ones((2, 2))), TypeError, "codes must be int8, not float64"),
        (
            lambda: store.untile(store.tile(CODES.reshape(64, 8)), 65, 8),
            ValueError,
            r"blocks must have shape \(2, 512\), not \(1, 512\)",
        ),
        (
            lambda: store.from_image(np.zeros(8192, np.uint8), 1, 2),
            ValueError,
            "image must have 8256 bytes or more, not 8192",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
