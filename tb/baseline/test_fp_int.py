"""The FP-INT lane in bulk: every activation times every weight, random sums, timing."""

import re

import numpy as np
import pytest

from lamina_sim.golden import baseline
from tb.baseline import lane_bulk
from tb.baseline.steps import half_and_weight
from tb.bench import bulk_model, parameters, run_bench, seeds

MODULE = "baseline.fp_int"

#: What the tests of every day build: two ranks, as in silicon.
SETTINGS = {"stages_per_rank": 9}


def test_bench():
    run_bench(MODULE, "tb.baseline.fp_int_tb", {"stages_per_rank": 3})


def test_every_activation_times_every_weight():
    model, p = bulk_model(MODULE, **SETTINGS), parameters(MODULE, **SETTINGS)
    a, b = np.meshgrid(np.arange(1 << 16, dtype=np.uint16), np.arange(-8, 8, dtype=np.int16))
    a = a.reshape(-1, 1).view(np.float16)
    lane_bulk.check(model, p, baseline.fp_int, a, b.reshape(-1, 1))


def test_groups(rng):
    model, p = bulk_model(MODULE, **SETTINGS), parameters(MODULE, **SETTINGS)
    a, b = half_and_weight(rng, (2000, 64))
    lane_bulk.check(model, p, baseline.fp_int, a, b, stall=0.4, seed=seeds("stall"))


def test_timing(rng):
    model, p = bulk_model(MODULE, **SETTINGS), parameters(MODULE, **SETTINGS)
    lane_bulk.check_timing(model, p, baseline.fp_int, *half_and_weight(rng, (8, 64)))
    assert p.macs_per_cycle == 1


@pytest.mark.slow
@pytest.mark.parametrize("stages_per_rank", [1, 9])
def test_many_groups(rng, stages_per_rank):
    lane_bulk.check_many(
        rng, MODULE, baseline.fp_int, half_and_weight, stages_per_rank=stages_per_rank
    )


@pytest.mark.slow
@pytest.mark.parametrize("weight_bits", range(2, 10))
def test_widths(rng, weight_bits):
    settings = {"weight_bits": weight_bits}
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    a, b = half_and_weight(rng, (100 * p.slots, 64), weight_bits)
    lane_bulk.check(model, p, baseline.fp_int, a, b)


def test_refuses():
    sentence = "weight_bits must be between 2 and 9, not 10."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parameters(MODULE, weight_bits=10)
