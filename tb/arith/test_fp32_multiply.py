"""FP32 multiplier: every directed corner, 10^7 random pairs, every FP16 factor, against golden."""

import numpy as np
import pytest

from lamina_sim.golden import ieee
from tb.arith import bulk, vectors
from tb.bench import bulk_model, parameters, run_bench

MODULE = "arith.fp32_multiply"


def check(model, pairs, **options):
    a, b = pairs
    result = bulk.run(model, {"a": a, "b": b}, **options)
    if b.dtype == np.uint16:
        b = b.view(np.float16).astype(np.float32).view(np.uint32)
    wrong = np.flatnonzero(result["value"] != ieee.fp32_multiply(a, b))
    assert len(wrong) == 0, [f"{a[i]:#010x} * {b[i]:#010x}" for i in wrong[:5]]


def random_pairs(rng, count):
    """Uniform pairs, and pairs whose product is around an end of the range, in equal parts."""
    half = count // 2
    return vectors.joined(
        (vectors.random_patterns(rng, half), vectors.random_patterns(rng, half)),
        vectors.range_edge_pairs(rng, half),
    )


@pytest.fixture(scope="module")
def model():
    return bulk_model(MODULE)


@pytest.fixture(scope="module")
def by_fp16():
    return bulk_model(MODULE, b_format="fp16")


@pytest.mark.parametrize("b_format", ["fp32", "fp16"])
def test_bench(b_format):
    run_bench(MODULE, "tb.arith.fp32_multiply_tb", {"tag_bits": 7, "b_format": b_format})


def test_corner_pairs(model):
    check(model, vectors.all_pairs(vectors.corners()))


def test_every_subnormal_depth(model):
    a, b = vectors.product_pairs()
    check(model, (a, b))
    check(model, (b, a))


def test_random_pairs(model, rng):
    check(model, random_pairs(rng, 200_000))


@pytest.mark.slow
def test_ten_million_random_pairs(model, rng):
    for _ in range(10):
        check(model, random_pairs(rng, 1_000_000))


def test_every_fp16_factor(by_fp16, rng):
    every = np.arange(1 << 16, dtype=np.uint16)
    for a in rng.choice(vectors.corners(), 4):
        check(by_fp16, (np.full(len(every), a, np.uint32), every))
    check(by_fp16, (vectors.random_patterns(rng, len(every)), every))


def test_corners_by_fp16(by_fp16, rng):
    halves = rng.integers(0, 1 << 16, 300, dtype=np.uint16)
    halves[:8] = [0, 0x8000, 1, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0x7E01]
    a, b = vectors.grid(vectors.corners(), halves)
    check(by_fp16, (a, b))


@pytest.mark.parametrize(("b_format", "stages"), [("fp32", 8), ("fp16", 7)])
@pytest.mark.parametrize("stages_per_rank", [1, 3])
def test_ranks(rng, b_format, stages, stages_per_rank):
    """Fewer ranks: the same results, sooner."""
    settings = {"stages_per_rank": stages_per_rank, "tag_bits": 20, "b_format": b_format}
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    # With a register after every stage there is one more stage, which joins parts of products.
    assert p.latency == -(-stages // stages_per_rank) + (stages_per_rank == 1)
    a, b = random_pairs(rng, 20_000)
    b = (b >> 16).astype(np.uint16) if b_format == "fp16" else b
    check(model, (a, b), stall=0.3)
    bulk.check_timing(model, {"a": a[:100], "b": b[:100]}, p)


def test_refuses_unknown_format():
    with pytest.raises(ValueError, match=r"b_format must be one of fp32, fp16, not 'bf16'\."):
        parameters(MODULE, b_format="bf16")
