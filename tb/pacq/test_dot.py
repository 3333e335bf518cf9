import functools

import numpy as np
import pytest

from tb.bench import bulk_model, parameters, run_bench
from tb.pacq.operands import KINDS
from tb.pacq.steps import random_product

SETTINGS = {"trees": 2, "index_bits": 4}
SHAPES = [{"trees": 1}, {"trees": 2}, {"trees": 4, "stages_per_rank": 3}, {"trees": 8}]


@functools.cache
def model(**settings):
    return bulk_model("pacq.dot", **(SETTINGS | settings))


def assert_golden(product, sums):
    assert len(sums["value"]) == product.x.shape[0] * product.codes.shape[1] * len(product.scales)
    values = sums["value"].astype(np.uint32)
    assert set(values[np.isnan(values.view(np.float32))]) <= {0x7FC00000}
    got = product.accumulate(sums)
    got[np.isnan(got)] = np.nan  # NumPy keeps the sign of a NaN, the contract does not
    np.testing.assert_array_equal(got.view(np.uint32), product.golden().view(np.uint32))


def exact_sums(product):
    """Sums of all scale groups by integers, rounded once: float32 [groups, m, n]."""
    units = np.ldexp(product.x.astype(np.float64), 24).astype(np.int64)
    sums = []
    for group, zero in enumerate(product.zero_points.astype(np.int64)):
        k = slice(group * product.scale_group, (group + 1) * product.scale_group)
        sums.append(units[:, k] @ (product.codes[k].astype(np.int64) - zero))
    return np.ldexp(np.array(sums).astype(np.float32), -24)


def test_bench():
    run_bench("pacq.dot", "tb.pacq.dot_tb", SETTINGS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [4, 2])
def test_products(shape, bits, rng):
    for kind in KINDS:
        for order in ("depth", "breadth"):
            product = random_product(rng, bits=bits, kind=kind, order=order, m=4, words=3)
            stall = float(rng.choice([0, 0.4]))
            result = model(**shape).run({"i": product.steps()}, stall=stall)
            assert_golden(product, result["o"].values)


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("scale_group", [4, 8, 1000, 4096])
@pytest.mark.parametrize("segment", [1, 7, 10_000])
def test_groups_and_segments_of_any_length(bits, scale_group, segment, rng):
    for kind in ("normal", "extreme", "special"):
        product = random_product(
            rng, bits=bits, kind=kind, m=1, k=2000, scale_group=scale_group, segment=segment,
            order=str(rng.choice(["depth", "breadth"])),
        )  # fmt: skip
        assert_golden(product, model().run({"i": product.steps()})["o"].values)


def test_longest_group_of_largest_values(rng):
    product = random_product(
        rng, bits=4, kind="extreme", m=1, words=1, k=1 << 18, scale_group=1 << 18, segment=50_000
    )
    assert_golden(product, model().run({"i": product.steps()})["o"].values)


@pytest.mark.parametrize("kind", ["normal", "wide", "subnormal", "extreme"])
def test_each_sum_is_rounded_once(kind, rng):
    product = random_product(rng, bits=4, kind=kind, m=2, words=2, k=256, scale_group=64)
    sums = model().run({"i": product.steps()})["o"].values
    want = np.transpose(exact_sums(product).reshape(4, 2, 2, 4), (1, 2, 0, 3)).ravel()
    np.testing.assert_array_equal(sums["value"].astype(np.uint32), want.view(np.uint32))
    # Outputs in order: rows, words, groups and columns.
    index = np.arange(4)[:, None, None] * 8 + np.arange(4)
    np.testing.assert_array_equal(sums["index"], np.broadcast_to(index, (4, 4, 4)).ravel())


@pytest.mark.parametrize("segment", [1, 4])
def test_infinities_column_by_column(segment, rng):
    """Within one group, in the same and in different segments."""
    inf, nan = np.inf, np.nan
    product = random_product(rng, bits=4, m=5, words=1, k=16, scale_group=16, segment=segment)
    product.zero_points[:], product.scales[:] = 1, 1
    product.codes[[1, 13]] = [[2, 0, 1, 3], [2, 2, 2, -1]]  # B: 1, -1, 0, 2 and 1, 1, 1, -2
    product.x[[0, 1, 2, 3], 1] = [inf, -inf, inf, inf]
    product.x[[2, 3, 4], 13] = [-inf, inf, nan]
    want = [
        [inf, -inf, nan, inf],
        [-inf, inf, nan, -inf],
        [nan, -inf, nan, inf],
        [inf, nan, nan, nan],
        [nan, nan, nan, nan],
    ]
    sums = model().run({"i": product.steps()})["o"].values
    np.testing.assert_array_equal(product.accumulate(sums), np.array(want, np.float32))


def test_a_sum_that_cancels_is_plus_zero(rng):
    product = random_product(rng, bits=4, m=1, k=8, scale_group=8, words=1)
    product.x[0, 4:] = -product.x[0, :4]
    product.codes[4:] = product.codes[:4]
    sums = model().run({"i": product.steps()})["o"].values
    assert sums["value"].tolist() == [0, 0, 0, 0]


def test_widths_mixed_step_by_step(rng):
    """Segments of an INT4 and an INT2 product in turn, at indices of their own."""
    products = [random_product(rng, bits=bits, kind="wide", segment=2) for bits in (4, 2)]
    steps = [product.steps() for product in products]
    steps[1]["index"] += 8
    # Both have as many segments; sorting by their number, then the product, deals them out.
    number = [np.cumsum(s["first"]) for s in steps]
    assert number[0][-1] == number[1][-1]
    order = np.argsort(np.concatenate(number), kind="stable")
    mixed = {name: np.concatenate([s[name] for s in steps])[order] for name in steps[0]}
    sums = model().run({"i": mixed}, stall=0.2)["o"].values
    for product, first in zip(products, (0, 64), strict=True):
        own = (sums["index"] >= first) & (sums["index"] < first + 64)
        assert_golden(product, {n: v[own] - first * (n == "index") for n, v in sums.items()})


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [4, 2])
def test_timing(shape, bits, rng):
    """No bubble within or between segments, and the promised latency."""
    p = parameters("pacq.dot", **(SETTINGS | shape))
    for length in (1, 2, 8, 32):
        product = random_product(
            rng, bits=bits, m=1, words=1, k=4 * length * 20, scale_group=4 * length, segment=length
        )
        result = model(**shape).run({"i": product.steps()})
        groups = result["o"].cycles[:: 16 // bits]
        assert set(np.diff(groups[5:])) == {p.cycles(length, bits)}
        if length == 1:
            assert result["o"].cycles[0] - result.accepted["i"][0] == p.latency


def test_reset_from_a_random_state(rng):
    """Registers start at random values, and reset comes again in mid-stream."""
    undefined = bulk_model("pacq.dot", random_initial=True, **SETTINGS)
    for kind in ("normal", "special"):
        product = random_product(rng, bits=2, kind=kind, m=4, order="breadth")
        seed = int(rng.integers(1 << 20))
        result = undefined.run({"i": product.steps()}, stall=0.2, seed=seed, reset_at=150)
        assert_golden(product, result["o"].values)


@pytest.mark.parametrize("setting", [{"trees": 3}, {"trees": 16}, {"index_bits": 13}])
def test_parameters_are_checked(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))} must be .*, not .*\\."):
        parameters("pacq.dot", **setting)
