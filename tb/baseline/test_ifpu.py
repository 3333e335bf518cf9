"""iFPU in bulk: extreme and random groups, timing; corners of the parameters."""

import functools
import re

import pytest

from lamina_sim.golden import baseline
from tb.baseline import integer_bulk
from tb.baseline.groups import draw, extreme_groups
from tb.bench import bulk_model, parameters, run_bench, seeds

MODULE = "baseline.ifpu"

#: What the tests of every day build.
SETTINGS = {"columns": 2, "mantissa_bits": 4, "weight_bits": 3}


def golden(p):
    return functools.partial(baseline.ifpu, bits=p.entry_bits)


def test_bench():
    run_bench(MODULE, "tb.baseline.ifpu_tb", SETTINGS)


@pytest.mark.parametrize("stall", [0.0, 0.4, {"i": 0.0, "i_weights": 0.0, "o": 0.9}])
def test_groups(rng, stall):
    model, p = bulk_model(MODULE, **SETTINGS), parameters(MODULE, **SETTINGS)
    for groups, weights in (draw(rng, 5_000, p), extreme_groups(rng, p)):
        result = integer_bulk.run(model, groups, weights, stall=stall, seed=seeds("stall"))
        integer_bulk.check(result, golden(p), groups, weights, p)


def test_timing(rng):
    """A group every ``steps`` cycles, also with new weights for each."""
    model, p = bulk_model(MODULE, **SETTINGS), parameters(MODULE, **SETTINGS)
    groups, weights = draw(rng, 200, p, load_share=1.0)
    integer_bulk.check_timing(integer_bulk.run(model, groups, weights), p)
    assert p.steps == 4
    assert p.macs_per_cycle == 32


def test_reset_in_mid_stream(rng):
    model, p = bulk_model(MODULE, **SETTINGS), parameters(MODULE, **SETTINGS)
    groups, weights = draw(rng, 300, p)
    for cycle in rng.integers(2, 1_000, 4):
        result = integer_bulk.run(model, groups, weights, reset_at=int(cycle))
        integer_bulk.check(result, golden(p), groups, weights, p)


def test_storage():
    """With one rank: operands, a plane's sum, the running sum, and what goes beside."""
    p = parameters(MODULE, mantissa_bits=8, zero_points=False, stages_per_rank=7)
    beside = 16 + 8 + 6 + 2
    sums = (9 + 6) + (8 + 4 + 6)
    assert p.storage_bits == 64 * (9 + 4) + sums + 3 * beside + 2 + 2 + 4


@pytest.mark.slow
@pytest.mark.parametrize("mantissa_bits", [4, 8, 11, 13])
def test_many_groups(rng, mantissa_bits):
    settings = {"mantissa_bits": mantissa_bits, "zero_points": False}
    p = parameters(MODULE, **settings)
    integer_bulk.check_many(rng, MODULE, golden(p), draw, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(("mantissa_bits", "weight_bits"), [(1, 2), (16, 8), (5, 3)])
@pytest.mark.parametrize("zero_points", [False, True])
def test_widths(rng, mantissa_bits, weight_bits, zero_points):
    settings = {"mantissa_bits": mantissa_bits, "weight_bits": weight_bits, "index_bits": 3}
    settings["zero_points"] = zero_points
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    for groups, weights in (draw(rng, 10_000, p), extreme_groups(rng, p)):
        result = integer_bulk.run(model, groups, weights, stall=0.2)
        integer_bulk.check(result, golden(p), groups, weights, p)


def test_refuses():
    sentence = "mantissa_bits must be between 1 and 16, not 0."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parameters(MODULE, mantissa_bits=0)
