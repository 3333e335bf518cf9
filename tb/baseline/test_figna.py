"""FIGNA in bulk: both structures, extreme and random groups, timing; corners of the parameters."""

import re

import pytest

from lamina_sim.golden import baseline
from tb.baseline import integer_bulk
from tb.baseline.groups import draw, extreme_groups
from tb.bench import bulk_model, parameters, run_bench, seeds

MODULE = "baseline.figna"

#: What the tests of every day build: the plain one with all its ranks, the dense one with one.
PLAIN = {"columns": 2, "mantissa_bits": 4, "weight_bits": 3}
DENSE = {"structure": "dense", "mantissa_bits": 3, "weight_bits": 3, "stages_per_rank": 2}

#: Mantissa lengths that the papers' figures use.
LENGTHS = (4, 6, 8, 11, 13)


def test_bench():
    run_bench(MODULE, "tb.baseline.figna_tb", PLAIN)


@pytest.mark.parametrize("settings", [PLAIN, DENSE], ids=["plain", "dense"])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_groups(rng, settings, stall):
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    for groups, weights in (draw(rng, 10_000, p), extreme_groups(rng, p)):
        result = integer_bulk.run(model, groups, weights, stall=stall, seed=seeds("stall"))
        integer_bulk.check(result, baseline.figna, groups, weights, p)


@pytest.mark.parametrize("settings", [PLAIN, DENSE], ids=["plain", "dense"])
def test_timing(rng, settings):
    """A group a cycle, also with new weights for each."""
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    groups, weights = draw(rng, 200, p, load_share=1.0)
    integer_bulk.check_timing(integer_bulk.run(model, groups, weights), p)
    assert p.macs_per_cycle == 64 * p.columns / p.steps


def test_reset_in_mid_stream(rng):
    model, p = bulk_model(MODULE, **PLAIN), parameters(MODULE, **PLAIN)
    groups, weights = draw(rng, 300, p)
    for cycle in rng.integers(2, 250, 4):
        result = integer_bulk.run(model, groups, weights, reset_at=int(cycle))
        integer_bulk.check(result, baseline.figna, groups, weights, p)


def test_storage():
    """Of the plain one with one rank: operands, one sum, and what goes beside."""
    p = parameters(MODULE, mantissa_bits=8, zero_points=False, stages_per_rank=7)
    beside = 16 + 8 + 6 + 2
    assert p.storage_bits == 64 * (9 + 4) + beside + (8 + 4 + 6) + beside + 2
    dense = parameters(
        MODULE, mantissa_bits=8, zero_points=False, stages_per_rank=2, structure="dense"
    )
    assert dense.storage_bits - p.storage_bits == 32 * 10


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["plain", "dense"])
@pytest.mark.parametrize("mantissa_bits", LENGTHS)
def test_many_groups(rng, structure, mantissa_bits):
    settings = {"structure": structure, "mantissa_bits": mantissa_bits, "zero_points": False}
    integer_bulk.check_many(rng, MODULE, baseline.figna, draw, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("structure", "mantissa_bits", "weight_bits"),
    [
        *(("plain", *widths) for widths in [(1, 2), (16, 8), (5, 3)]),
        # One of both at its longest: together they are four times as much to compile.
        *(("dense", *widths) for widths in [(1, 2), (16, 2), (2, 8)]),
    ],
)
def test_widths(rng, structure, mantissa_bits, weight_bits):
    settings = {"mantissa_bits": mantissa_bits, "weight_bits": weight_bits, "index_bits": 3}
    model = bulk_model(MODULE, structure=structure, **settings)
    p = parameters(MODULE, structure=structure, **settings)
    for groups, weights in (draw(rng, 10_000, p), extreme_groups(rng, p)):
        result = integer_bulk.run(model, groups, weights, stall=0.2)
        integer_bulk.check(result, baseline.figna, groups, weights, p)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"structure": "flat"}, "structure must be one of plain, dense, not 'flat'."),
        ({"mantissa_bits": 17}, "mantissa_bits must be between 1 and 16, not 17."),
        ({"weight_bits": 9}, "weight_bits must be between 2 and 8, not 9."),
    ],
)
def test_refuses(settings, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parameters(MODULE, **settings)
