"""FP16 multiplier: corners against corners and against everything, random pairs, ranks."""

import numpy as np
import pytest

from lamina_sim.golden import baseline
from tb.arith import bulk
from tb.baseline.fp16_multiply_tb import CORNERS
from tb.bench import bulk_model, parameters, run_bench
from tb.golden import oracle

MODULE = "baseline.fp16_multiply"
EVERY = np.arange(1 << 16, dtype=np.uint16)


def products(a, b):
    return baseline.multiply(a.view(np.float16), b.view(np.float16)).view(np.uint16)


def check(model, a, b):
    result = bulk.run(model, {"a": a, "b": b})
    wrong = np.flatnonzero(result["value"] != products(a, b))
    assert len(wrong) == 0, [f"{a[i]:#06x} * {b[i]:#06x}" for i in wrong[:5]]


def test_bench():
    run_bench(MODULE, "tb.baseline.fp16_multiply_tb", {"tag_bits": 7})


@pytest.mark.parametrize("stages_per_rank", [1, 9])
def test_products(stages_per_rank, rng):
    settings = {"stages_per_rank": stages_per_rank, "tag_bits": 20}
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    a, b = (side.ravel() for side in np.meshgrid(CORNERS, EVERY))
    check(model, a, b)
    check(model, rng.permutation(np.tile(EVERY, 4)), rng.permutation(np.tile(EVERY, 4)))
    bulk.check_timing(model, {"a": EVERY[:100], "b": EVERY[100:200]}, p)


def test_golden_is_the_oracle(rng):
    """Against exact fractions, rounded once."""
    pairs = rng.integers(0, 1 << 16, (2, 2000)).astype(np.uint16)
    a, b = np.concatenate([pairs, np.array(np.meshgrid(CORNERS, CORNERS)).reshape(2, -1)], 1)
    for x, y, got in zip(a.tolist(), b.tolist(), products(a, b), strict=True):
        assert int(got) == oracle.multiply(x, y, "fp16"), (hex(x), hex(y))
