"""FP32 adder: every directed corner, and 10^7 random pairs, against golden."""

import numpy as np
import pytest

from lamina_sim.golden import ieee
from tb.arith import bulk, vectors
from tb.bench import bulk_model, parameters, run_bench

MODULE = "arith.fp32_add"


def check(model, pairs, **options):
    a, b = pairs
    result = bulk.run(model, {"a": a, "b": b}, **options)
    wrong = np.flatnonzero(result["value"] != ieee.fp32_add(a, b))
    assert len(wrong) == 0, [f"{a[i]:#010x} + {b[i]:#010x}" for i in wrong[:5]]


def random_pairs(rng, count):
    """Uniform, near and cancelling pairs in equal parts."""
    third = count // 3 + 1
    return vectors.joined(
        (vectors.random_patterns(rng, third), vectors.random_patterns(rng, third)),
        vectors.near_pairs(rng, third),
        vectors.cancelling_pairs(rng, third),
    )


@pytest.fixture(scope="module")
def model():
    return bulk_model(MODULE)


def test_bench():
    run_bench(MODULE, "tb.arith.fp32_add_tb", {"tag_bits": 7})


def test_corner_pairs(model):
    check(model, vectors.all_pairs(vectors.corners()))


def test_every_alignment(model):
    a, b = vectors.aligned_pairs()
    check(model, (a, b))
    check(model, (b, a))


def test_random_pairs(model, rng):
    check(model, random_pairs(rng, 200_000))


def test_zeros_are_positive(model):
    zeros = np.array([0, 1 << 31], np.uint32)
    a, b = vectors.all_pairs(zeros)
    assert np.all(bulk.run(model, {"a": a, "b": b})["value"] == 0)


@pytest.mark.slow
def test_ten_million_random_pairs(model, rng):
    for _ in range(10):
        check(model, random_pairs(rng, 1_000_000))


@pytest.mark.parametrize("stages_per_rank", [1, 2, 4, 16])
def test_ranks(rng, stages_per_rank):
    """Fewer ranks: the same results, sooner."""
    settings = {"stages_per_rank": stages_per_rank, "tag_bits": 20}
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    assert p.latency == -(-9 // stages_per_rank)
    a, b = random_pairs(rng, 20_000)
    check(model, (a, b), stall=0.3)
    check(model, (a, b), stall=0.3, reset_at=1000)
    bulk.check_timing(model, {"a": a[:100], "b": b[:100]}, p)
