"""The FP-FP lane in bulk: every pair of turning values, random sums, any order, timing."""

import re

import numpy as np
import pytest

from lamina_sim.golden import baseline
from tb.baseline import lane_bulk
from tb.baseline.steps import CORNERS, two_halves
from tb.bench import bulk_model, parameters, run_bench, seeds

MODULE = "baseline.fp_lane"

#: All its ranks, as an FPGA wants them, and two, as silicon does.
RANKS = (1, 9)


def test_bench():
    run_bench(MODULE, "tb.baseline.fp_lane_tb", {"stages_per_rank": 3})


@pytest.mark.parametrize("stages_per_rank", RANKS)
def test_groups(rng, stages_per_rank):
    settings = {"stages_per_rank": stages_per_rank}
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    a, b = two_halves(rng, (p.slots * (2000 // p.slots), 64))
    lane_bulk.check(model, p, baseline.fp_fp, a, b)
    lane_bulk.check(model, p, baseline.fp_fp, a, b, stall=0.4, seed=seeds("stall"))


def test_every_pair_of_corners(rng):
    """Products alone, and after 1: with every sign, subnormals, Inf and NaN."""
    model, p = bulk_model(MODULE, stages_per_rank=9), parameters(MODULE, stages_per_rank=9)
    a, b = (x.ravel().view(np.float16) for x in np.meshgrid(CORNERS, CORNERS))
    lane_bulk.check(model, p, baseline.fp_fp, a[:, None], b[:, None])
    one = np.ones_like(a)
    lane_bulk.check(model, p, baseline.fp_fp, np.stack([one, a], 1), np.stack([one, b], 1))


@pytest.mark.parametrize("stages_per_rank", RANKS)
def test_timing(rng, stages_per_rank):
    settings = {"stages_per_rank": stages_per_rank}
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    lane_bulk.check_timing(model, p, baseline.fp_fp, *two_halves(rng, (4 * p.slots, 64)))
    assert p.macs_per_cycle == 1


def test_any_order(rng):
    model, p = bulk_model(MODULE, stages_per_rank=1), parameters(MODULE)
    a, b = two_halves(rng, (20 * p.slots, 16))
    lane_bulk.check_any_order(rng, model, p, baseline.fp_fp, a, b)


def test_storage():
    """With two ranks: operands with their place, product with its place, one sum; valid bits."""
    p = parameters(MODULE, stages_per_rank=9)
    assert p.storage_bits == (2 * 16 + 3 + 1) + (32 + 3 + 1) + (32 + 1 + 1)


@pytest.mark.slow
@pytest.mark.parametrize("stages_per_rank", [1, 3, 9])
def test_many_groups(rng, stages_per_rank):
    lane_bulk.check_many(rng, MODULE, baseline.fp_fp, two_halves, stages_per_rank=stages_per_rank)


def test_refuses():
    sentence = "stages_per_rank must be between 1 and 16, not 0."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parameters(MODULE, stages_per_rank=0)
