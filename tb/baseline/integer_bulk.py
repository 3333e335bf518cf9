"""Bulk runs that FIGNA and iFPU share."""

import os

import numpy as np

from tb.baseline.groups import BESIDE, expected, weight_set
from tb.bench import bulk_model, parameters

#: Groups of the long runs: LAMINA_BASELINE_GROUPS=1000000 is a million for each configuration.
GROUPS = int(os.environ.get("LAMINA_BASELINE_GROUPS", "100000"))

#: Groups made at a time, to bound the memory.
CHUNK = 100_000


def run(model, groups, weights, **options):
    return model.run(
        {"i": groups, "i_weights": weights}, outputs={"o": len(groups["load"])}, **options
    )


def check(result, golden, groups, weights, p):
    """Everything that a group's beat says must be right."""
    got = result["o"].values
    assert np.array_equal(got["sums"], expected(golden, groups, weights) << 16 - p.mantissa_bits)
    assert np.array_equal(got["scales"], weights["scales"][weight_set(groups)])
    for name in BESIDE:
        assert np.array_equal(got[name], groups[name]), name


def check_timing(result, p):
    """Check that groups leave ``p.steps`` cycles apart, the first after ``p.latency`` cycles."""
    assert result["o"].cycles[0] - result.accepted["i"][0] == p.latency
    assert np.all(np.diff(result["o"].cycles) == p.steps)


def check_many(rng, module, golden, draw, **settings):
    """Run GROUPS groups through ``module``."""
    model, p = bulk_model(module, **settings), parameters(module, **settings)
    for start in range(0, GROUPS, CHUNK):
        groups, weights = draw(rng, min(CHUNK, GROUPS - start), p, load_share=0.05)
        check(run(model, groups, weights, stall=0.05), golden, groups, weights, p)
