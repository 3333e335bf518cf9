"""The fused FP dot product in bulk: sums of all kinds, narrow and wide windows, timing."""

import functools
import re

import numpy as np
import pytest

from lamina_sim.golden import baseline
from tb.baseline import lane_bulk
from tb.baseline.steps import CORNERS, two_halves
from tb.bench import bulk_model, parameters, run_bench, seeds

MODULE = "baseline.fp_dot"

#: What the tests of every day build: few lanes, a rank for the term and one for the sum.
SETTINGS = {"lanes": 4, "stages_per_rank": 16}


def golden(p):
    return functools.partial(baseline.fp_dot, lanes=p.lanes, window_bits=p.window_bits)


def check(rng, a, b, **options):
    model, p = bulk_model(MODULE, **SETTINGS), parameters(MODULE, **SETTINGS)
    lane_bulk.check(model, p, golden(p), a, b, p.lanes, **options)


def test_bench():
    run_bench(MODULE, "tb.baseline.fp_dot_tb", {"lanes": 4, "stages_per_rank": 3})


def test_groups(rng):
    a, b = two_halves(rng, (4000, 64))
    check(rng, a, b)
    check(rng, a, b, stall=0.4, seed=seeds("stall"))


def test_zeros_do_not_move_the_window(rng):
    a, b = two_halves(rng, (2000, 16))
    a[:, ::3] = 0
    b[:, ::3] = np.float16(65504)
    check(rng, a, b)


def test_corners(rng):
    """Every pair of turning values beside ordinary products."""
    a, b = (x.ravel().view(np.float16) for x in np.meshgrid(CORNERS, CORNERS))
    a, b = (np.repeat(x[:, None], 4, axis=1) for x in (a, b))
    a[:, 2:] = rng.standard_normal((len(a), 2))
    b[:, 3] = 0
    check(rng, a, b)
    b = np.where(np.arange(4) == 1, np.negative(b), b)
    check(rng, a, b)


def test_timing(rng):
    model, p = bulk_model(MODULE, **SETTINGS), parameters(MODULE, **SETTINGS)
    a, b = two_halves(rng, (8, 64))
    lane_bulk.check_timing(model, p, golden(p), a, b, p.lanes)
    assert p.macs_per_cycle == p.lanes


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"window_bits": 22}, {"window_bits": 48, "lanes": 8}])
def test_many_groups(rng, settings):
    p = parameters(MODULE, **settings)
    lane_bulk.check_many(rng, MODULE, golden(p), two_halves, **settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"window_bits": 21}, "window_bits must be between 22 and 48, not 21."),
        ({"lanes": 12}, "lanes must be a power of two, not 12."),
    ],
)
def test_refuses(settings, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parameters(MODULE, **settings)
