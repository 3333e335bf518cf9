"""Integer to FP32: small widths in full, wide ones at their corners and at random."""

import re

import numpy as np
import pytest

from lamina_sim.golden import ieee
from tb.arith import bulk, vectors
from tb.bench import bulk_model, parameters, run_bench

MODULE = "arith.int_to_fp32"

#: Anda's group sums; exponents past both ends of FP32, wide sums too; PacQ's sums; the narrowest.
CONFIGURATIONS = [(27, 6), (27, 9), (64, 10), (64, 6), (2, 2)]


def check(model, value, exponent, **options):
    result = bulk.run(model, {"value": value, "exponent": exponent, "nan": 0}, **options)
    due = ieee.fp32_from_int(value, exponent).view(np.uint32)
    wrong = np.flatnonzero(result["value"] != due)
    assert len(wrong) == 0, [f"{value[i]} * 2^{exponent[i]}" for i in wrong[:5]]


def test_bench():
    settings = {"width": 30, "exponent_bits": 9, "tag_bits": 7}
    run_bench(MODULE, "tb.arith.int_to_fp32_tb", settings)


@pytest.mark.parametrize(("width", "exponent_bits"), CONFIGURATIONS)
def test_corners_and_random(rng, width, exponent_bits):
    settings = {"width": width, "exponent_bits": exponent_bits, "tag_bits": 20}
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    value, exponent = vectors.integers(rng, width, exponent_bits, 200_000)
    check(model, value, exponent)
    operands = {"value": value[:100], "exponent": exponent[:100], "nan": 0}
    bulk.check_timing(model, operands, p)


def test_every_value():
    """All integers of 9 bits times all powers of two from 2^-256 to 2^255."""
    model = bulk_model(MODULE, width=9, exponent_bits=9)
    check(model, *vectors.grid(np.arange(-256, 256), np.arange(-256, 256)))


def test_nan():
    model = bulk_model(MODULE, width=9, exponent_bits=9)
    value, exponent = vectors.grid(np.arange(-256, 256, 5), np.arange(-256, 256, 5))
    result = bulk.run(model, {"value": value, "exponent": exponent, "nan": 1})
    assert np.all(result["value"] == ieee.FP32_NAN)


def test_the_stage_of_subnormals_is_left_out_where_there_are_none():
    assert parameters(MODULE, exponent_bits=7).latency == 4
    assert parameters(MODULE, exponent_bits=8).latency == 5


def test_wide_integers_are_shifted_in_two_stages():
    assert parameters(MODULE, exponent_bits=6, width=48).latency == 4
    assert parameters(MODULE, exponent_bits=6, width=49).latency == 5


@pytest.mark.parametrize("stages_per_rank", [2, 5])
def test_ranks(rng, stages_per_rank):
    """Fewer ranks: the same results, sooner."""
    settings = {"stages_per_rank": stages_per_rank, "width": 27, "exponent_bits": 9}
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    assert p.latency == -(-5 // stages_per_rank)
    value, exponent = vectors.integers(rng, 27, 9, 1000)
    check(model, value, exponent, stall=0.3)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"width": 1}, "width must be between 2 and 128, not 1."),
        ({"width": 129}, "width must be between 2 and 128, not 129."),
        ({"exponent_bits": 17}, "exponent_bits must be between 2 and 16, not 17."),
        ({"tag_bits": -1}, "tag_bits must be between 0 and 1024, not -1."),
        ({"stages_per_rank": 0}, "stages_per_rank must be between 1 and 16, not 0."),
    ],
)
def test_refuses(settings, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parameters(MODULE, **settings)
