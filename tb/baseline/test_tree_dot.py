"""The DP-N whose adders round, in bulk: both formats of sums, all numbers of lanes, timing."""

import functools
import re

import numpy as np
import pytest

from lamina_sim.golden import baseline
from tb.baseline import lane_bulk
from tb.baseline.steps import CORNERS, two_halves
from tb.bench import bulk_model, parameters, run_bench, seeds

MODULE = "baseline.tree_dot"

#: What the tests of every day build: the paper's DP-4, and FP32 adders on two lanes.
SETTINGS = {"fp16": {"stages_per_rank": 9}, "fp32": {"lanes": 2, "sums": "fp32"}}


def golden(p):
    return functools.partial(baseline.tree_dot, lanes=p.lanes, sums=p.sums)


def check(sums, a, b, **options):
    model, p = bulk_model(MODULE, **SETTINGS[sums]), parameters(MODULE, **SETTINGS[sums])
    used = len(a) - len(a) % p.slots
    lane_bulk.check(model, p, golden(p), a[:used], b[:used], p.lanes, **options)


def near(rng, shape):
    """Values whose sums round in FP16, cancel, and leave its range at either end."""
    a, b = (rng.standard_normal(shape) for _ in "ab")
    size = 2.0 ** rng.integers(-12, 9, (shape[0], 1))
    a, b = (a * size).astype(np.float16), (b * size).astype(np.float16)
    a[:, 1::2] = np.where(rng.random(a[:, 1::2].shape) < 0.3, -a[:, ::2], a[:, 1::2])
    b[:, 1::2] = np.where(rng.random(b[:, 1::2].shape) < 0.3, b[:, ::2], b[:, 1::2])
    return a, b


def test_bench():
    run_bench(MODULE, "tb.baseline.tree_dot_tb", {"lanes": 4, "stages_per_rank": 3})


@pytest.mark.parametrize("sums", SETTINGS)
def test_groups(sums, rng):
    check(sums, *two_halves(rng, (2000, 32)))
    check(sums, *near(rng, (4000, 32)))
    check(sums, *near(rng, (500, 32)), stall=0.4, seed=seeds("stall"))


def test_subnormal_sums(rng):
    """Products and sums about the smallest normal FP16, where rounding happens at a fixed place."""
    a = rng.integers(0, 0x0C00, (4000, 8)).astype(np.uint16)
    a |= rng.integers(0, 2, a.shape).astype(np.uint16) << 15
    b = rng.integers(0x2C00, 0x4000, a.shape).astype(np.uint16)
    check("fp16", a.view(np.float16), b.view(np.float16))


@pytest.mark.parametrize("sums", SETTINGS)
def test_corners(sums, rng):
    """Every pair of turning values beside ordinary products."""
    a, b = (x.ravel().view(np.float16) for x in np.meshgrid(CORNERS, CORNERS))
    a, b = (np.repeat(x[:, None], 4, axis=1) for x in (a, b))
    a[:, 2:] = rng.standard_normal((len(a), 2))
    b[:, 3] = 0
    check(sums, a, b)
    check(sums, a, np.where(np.arange(4) == 1, np.negative(b), b))


@pytest.mark.parametrize("sums", SETTINGS)
def test_timing(sums, rng):
    model, p = bulk_model(MODULE, **SETTINGS[sums]), parameters(MODULE, **SETTINGS[sums])
    a, b = two_halves(rng, (2 * p.slots, 32))
    lane_bulk.check_timing(model, p, golden(p), a, b, p.lanes)
    assert p.macs_per_cycle == p.lanes


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, {"lanes": 8}, {"lanes": 16, "stages_per_rank": 9}, {"sums": "fp32"}]
)
def test_many_groups(rng, settings):
    p = parameters(MODULE, **settings)
    lane_bulk.check_many(rng, MODULE, golden(p), near, **settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"lanes": 12}, "lanes must be a power of two, not 12."),
        ({"lanes": 64}, "lanes must be between 2 and 32, not 64."),
        ({"sums": "bf16"}, "sums must be one of fp16, fp32, not 'bf16'."),
    ],
)
def test_refuses(settings, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parameters(MODULE, **settings)
