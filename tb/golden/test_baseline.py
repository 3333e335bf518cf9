import re

import numpy as np
import pytest

from lamina_sim.golden import anda, baseline
from tb.golden import oracle_baseline

#: Zeros, the ends of the subnormal and normal range, neighbours of 1, Inf and NaN, both signs.
CORNERS = [0, 1, 2, 0x3FF, 0x400, 0x401, 0x3BFF, 0x3C00, 0x3C01, 0x7BFF, 0x7C00, 0x7C01, 0x7E00]
CORNERS = np.array([*CORNERS, *(x | 0x8000 for x in CORNERS)], np.uint16)


def near_one(rng, shape):
    """FP16 patterns of any sign with exponents so close that rounding has work to do."""
    return rng.integers(0x2C00, 0x4800, shape).astype(np.uint16) | (
        rng.integers(0, 2, shape).astype(np.uint16) << 15
    )


def halves(patterns):
    return patterns.view(np.float16)


def draw(rng, count, k):
    """Rows of operand pairs: close exponents, any finite pattern, corners among them."""
    finite = rng.integers(0, 0x7C00, (count, k)).astype(np.uint16)
    finite |= rng.integers(0, 2, (count, k)).astype(np.uint16) << 15
    rows = np.concatenate([near_one(rng, (count, k)), finite, near_one(rng, (count, k))])
    special = rng.random(rows.shape) < 0.05
    special[: 2 * count] = False
    return np.where(special, rng.choice(CORNERS, rows.shape), rows)


@pytest.mark.parametrize("bits", range(2, 10))
def test_integer_elements(rng, bits):
    values = rng.integers(-(1 << 16) + 1, 1 << 16, (50, 64))
    b = rng.integers(-(1 << bits - 1), 1 << bits - 1, (50, 64))
    due = [sum(map(int.__mul__, *row)) for row in zip(values.tolist(), b.tolist(), strict=True)]
    assert baseline.figna(values, b).tolist() == due
    assert baseline.ifpu(values, b, bits).tolist() == due


def test_figna_is_anda_taken_at_once(rng):
    a = anda.encode(rng.standard_normal((20, 128)).astype(np.float16), 13)
    b = rng.integers(-8, 8, (20, 2, 64), np.int8)
    assert np.array_equal(baseline.figna(a.integers, b), anda.dot(a, b))


def test_every_weight_has_its_digits():
    for bits in range(2, 10):
        b = np.arange(-(1 << bits - 1), 1 << bits - 1)
        assert np.array_equal(baseline.ifpu(np.ones((1, 1), int), b[:, None], bits), b)


def test_every_pair_of_corners():
    a, b = (axis.ravel() for axis in np.meshgrid(CORNERS, CORNERS))
    due = [oracle_baseline.fp_fp([x], [y]) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    got = baseline.fp_fp(halves(a)[:, None], halves(b)[:, None])
    assert got.view(np.uint32).tolist() == due


def test_lanes(rng):
    a, b = draw(rng, 60, 24), draw(rng, 60, 24)
    weights = rng.integers(-16, 16, a.shape, np.int8)
    due = [oracle_baseline.fp_fp(*row) for row in zip(a.tolist(), b.tolist(), strict=True)]
    assert baseline.fp_fp(halves(a), halves(b)).view(np.uint32).tolist() == due
    due = [oracle_baseline.fp_int(*row) for row in zip(a.tolist(), weights.tolist(), strict=True)]
    assert baseline.fp_int(halves(a), weights).view(np.uint32).tolist() == due


@pytest.mark.parametrize(("lanes", "window_bits"), [(16, 26), (4, 22), (2, 48)])
def test_fused_dot(rng, lanes, window_bits):
    a, b = draw(rng, 40, 32), draw(rng, 40, 32)
    a[:, ::5] &= 0x8000  # zeros beside large factors must not move the window
    b[:, ::5] = 0x7BFF
    got = baseline.fp_dot(halves(a), halves(b), lanes, window_bits)
    due = [
        oracle_baseline.fp_dot(*row, lanes, window_bits)
        for row in zip(a.tolist(), b.tolist(), strict=True)
    ]
    assert got.view(np.uint32).tolist() == due


@pytest.mark.parametrize(("sums", "kind"), [("fp16", np.uint16), ("fp32", np.uint32)])
@pytest.mark.parametrize("lanes", [2, 4, 16])
def test_dot_of_rounding_adders(rng, lanes, sums, kind):
    a, b = draw(rng, 30, 32), draw(rng, 30, 32)
    got = baseline.tree_dot(halves(a), halves(b), lanes, sums)
    due = [
        oracle_baseline.tree_dot(*row, lanes, sums)
        for row in zip(a.tolist(), b.tolist(), strict=True)
    ]
    assert got.view(kind).tolist() == due


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: baseline.tree_dot(x, x, 3), "lanes must be a power of two, not 3."),
        (lambda x: baseline.tree_dot(x, x, 4, "fp8"), "sums must be 'fp16' or 'fp32', not 'fp8'."),
        (lambda x: baseline.tree_dot(x, x[:, :8]), "The last axes of a and b must be one multiple"),
        (lambda x: baseline.fp_fp(x, x[:1]), "b must have shape (2, 16), not (1, 16)."),
        (lambda x: baseline.fp_dot(x, x, 5), "The last axis of a must be a multiple of 5, not "),
        (lambda x: baseline.ifpu(np.ones(4, int), np.full(4, 8), 4), "b must be between -8 and 7"),
    ],
)
def test_refuses(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call(np.ones((2, 16), np.float16))


def test_refuses_other_types():
    with pytest.raises(TypeError, match=r"^values must be a NumPy array"):
        baseline.figna(np.ones(4), np.ones(4, int))
