"""Adder tree against NumPy's sum."""

import re

import numpy as np
import pytest

from tb.arith import bulk
from tb.bench import bulk_model, parameters, run_bench

MODULE = "arith.adder_tree"


def test_bench():
    run_bench(MODULE, "tb.arith.adder_tree_tb", {"inputs": 5, "width": 12, "tag_bits": 7})


@pytest.mark.parametrize(("inputs", "width"), [(2, 1), (3, 9), (8, 16), (64, 20)])
def test_corners_and_random(rng, inputs, width):
    settings = {"inputs": inputs, "width": width, "tag_bits": 20}
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    assert p.latency == (inputs - 1).bit_length()
    bound = 1 << (width - 1)
    ends = np.full((2, inputs), [[-bound], [bound - 1]])
    alone = np.concatenate([np.eye(inputs, dtype=np.int64) * end for end in (-bound, bound - 1)])
    values = np.concatenate([ends, alone, rng.integers(-bound, bound, (20_000, inputs))])
    result = bulk.run(model, {"values": values}, stall=0.2)
    assert np.array_equal(result["sum"], values.sum(axis=1))
    bulk.check_timing(model, {"values": values[:50]}, p)


def test_ranks(rng):
    model = bulk_model(MODULE, inputs=13, width=8, stages_per_rank=2)
    values = rng.integers(-128, 128, (1000, 13))
    assert np.array_equal(bulk.run(model, {"values": values})["sum"], values.sum(axis=1))
    p = parameters(MODULE, inputs=13, width=8, stages_per_rank=2)
    assert p.latency == 2
    bulk.check_timing(model, {"values": values}, p)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"inputs": 1}, "inputs must be between 2 and 256, not 1."),
        ({"width": 65}, "width must be between 1 and 64, not 65."),
    ],
)
def test_refuses(settings, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parameters(MODULE, **settings)
