"""The plane search: on a damage that is known, and what its planes mean for the codes."""

import numpy as np
import pytest

from lamina_sim.workload.nested import read_planes
from lamina_sim.workload.quantize import quantize
from lamina_sim.workload.search import plane_search
from lamina_sim.workload.search.planes import fraction, read_rows

# How much the loss feels an error of each tensor.
FELT = {"a": 1.0, "b": 0.01, "c": 0.3}


@pytest.fixture
def codes():
    # One seed for all runs: a handful of units may by chance have no cheaper allocation.
    rng = np.random.default_rng(11)

    def make(n):
        gains = np.exp(rng.normal(0, 1.5, n))  # some rows matter more than others
        return quantize((rng.normal(size=(128, n)) * gains).astype(np.float32), 8, group=64)

    return {"a": make(24), "b": make(16), "c": make(20)}


def known(codes, rows):
    """A loss that is the sum of squared errors, each tensor felt in its own way."""

    def loss(planes):
        read = read_rows(codes, planes, rows)
        return sum(
            FELT[name] * np.square(read[name].dequantize() - q.dequantize()).sum() * 1e-6
            for name, q in codes.items()
        )

    return loss


def at_four(codes):
    """The loss with four planes everywhere: what a search can undercut with fewer bytes."""
    return known(codes, None)({name: [4] for name in codes})


@pytest.mark.parametrize("rows", [None, 8])
def test_planes_go_where_they_are_felt(rows, codes):
    loss = known(codes, rows)
    bound = at_four(codes)
    outcome = plane_search(loss, codes, bound, rows=rows)
    assert loss(outcome.planes) == outcome.loss <= bound
    assert outcome.fraction == fraction(outcome.planes, codes, rows)
    # Three tensors leave few choices; rows of unequal weight leave many.
    assert outcome.fraction < 0.5 if rows else outcome.fraction <= 0.5
    assert outcome.evaluations <= 1 + len(codes) + 8
    units = {"a": 3, "b": 2, "c": 3} if rows else dict.fromkeys(codes, 1)
    assert {name: len(planes) for name, planes in outcome.planes.items()} == units
    mean = {name: np.mean(planes) for name, planes in outcome.planes.items()}
    assert mean["b"] < mean["a"] if rows else mean["b"] <= mean["a"]
    assert outcome.loss > 0.1 * bound  # the budget is used, not wasted


def test_rows_save_more_than_tensors(codes):
    fractions = {
        rows: plane_search(known(codes, rows), codes, at_four(codes), rows=rows).fraction
        for rows in (None, 8, 1)
    }
    assert fractions[1] < fractions[8] < fractions[None] <= 0.5


def test_powers_tell_which_inputs_count(codes):
    """Half of the inputs are silent, so errors there do no damage."""
    powers = {name: np.repeat([1.0, 0.0], 64) for name in codes}

    def loss(planes):
        read = read_rows(codes, planes, 8)
        return sum(
            np.square((read[name].dequantize() - q.dequantize())[:64]).sum() * 1e-6
            for name, q in codes.items()
        )

    bound = loss({name: [4] * 3 for name in codes})
    outcomes = [plane_search(loss, codes, bound, powers=p, rows=8) for p in (None, powers)]
    assert all(loss(outcome.planes) <= bound for outcome in outcomes)
    assert outcomes[1].fraction <= outcomes[0].fraction + 0.01


def test_all_planes_where_nothing_passes(codes):
    outcome = plane_search(lambda planes: 1.0, codes, 0.01)
    assert outcome.planes == {name: [8] for name in codes}
    assert outcome.evaluations == 1
    assert outcome.fraction == 1


def test_columns_are_read_at_their_own_planes(codes):
    q = codes["c"]
    read = read_rows({"c": q}, {"c": [3, 8, 5]}, 8, "midpoint")["c"]
    for part, keep in ((slice(0, 8), 3), (slice(8, 16), 8), (slice(16, 20), 5)):
        alone = read_planes(q, keep, "midpoint").dequantize()
        np.testing.assert_array_equal(read.dequantize()[:, part], alone[:, part])
