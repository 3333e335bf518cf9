import numpy as np
import pytest

from tb.anda.groups import LONGEST, exact_sums, random_groups, random_weights
from tb.bench import bulk_model, parameters, run_bench, seeds

COLUMNS = 2


def run(model, groups, weights, stall=0.0, **options):
    return model.run(
        {"i": groups.words(), "i_weights": weights},
        outputs={"o": len(groups)},
        stall=stall,
        **options,
    )["o"]


def check(result, groups, weights):
    """Everything that a group's beat says must be right."""
    got = result.values
    assert np.array_equal(got["sums"], exact_sums(groups, weights))
    assert np.array_equal(got["scales"], weights["scales"][groups.weight_set])
    for name in ("exponent", "index", "begin", "end"):
        assert np.array_equal(got[name], getattr(groups, name)), name


def draw(rng, count, columns=COLUMNS, weight_bits=4, zero_points=True, **options):
    groups = random_groups(rng, count, **options)
    sets = int(groups.load.sum())
    return groups, random_weights(rng, sets, columns, weight_bits, zero_points)


def test_bench():
    run_bench("anda.element", "tb.anda.element_tb")


@pytest.mark.parametrize("stall", [0.0, 0.4, {"i": 0.0, "i_weights": 0.0, "o": 0.9}])
def test_mixed_lengths(rng, stall):
    groups, weights = draw(rng, 5_000)
    model = bulk_model("anda.element", columns=COLUMNS)
    check(run(model, groups, weights, stall, seed=seeds("stall")), groups, weights)


@pytest.mark.parametrize(
    "settings",
    [
        {"columns": 1, "weight_bits": 2, "zero_points": False},
        {"columns": 1, "weight_bits": 8, "index_bits": 5},
    ],
)
def test_widths(rng, settings):
    p = parameters("anda.element", **settings)
    groups, weights = draw(
        rng, 2_000, p.columns, p.weight_bits, p.zero_points, index_bits=p.index_bits
    )
    check(run(bulk_model("anda.element", **settings), groups, weights, 0.2), groups, weights)


def test_corners(rng):
    """Extreme weights and zero points under extreme mantissas, of every length and sign."""
    groups = random_groups(rng, LONGEST * 4 * 4 * 3)
    length, high_code, high_zero, kind = np.unravel_index(
        np.arange(len(groups)), (LONGEST, 4, 4, 3)
    )
    groups.mantissa_bits = length + 1
    groups.mantissa = np.repeat(np.where(kind == 2, 1, 2 << length)[:, None] - 1, 64, axis=1)
    groups.mantissa[kind == 2, ::2] = 1
    groups.sign = np.repeat((kind != 0)[:, None].astype(np.int64), 64, axis=1)
    groups.load[:] = 1
    extremes = np.array([-8, 7, -1, 0])
    weights = random_weights(rng, len(groups), COLUMNS, 4)
    weights["codes"][:] = extremes[high_code][:, None, None]
    weights["zeros"][:] = extremes[high_zero][:, None]
    model = bulk_model("anda.element", columns=COLUMNS)
    check(run(model, groups, weights), groups, weights)


def test_cycles_of_every_length(rng):
    """1000 groups of each length, new weights with each, leave cycles(M) apart, within 1 %."""
    p = parameters("anda.element", columns=COLUMNS)
    model = bulk_model("anda.element", columns=COLUMNS)
    for mantissa_bits in range(1, LONGEST + 1):
        groups, weights = draw(rng, 1_000, mantissa_bits=mantissa_bits, load_share=1.0)
        result = run(model, groups, weights)
        check(result, groups, weights)
        spent = int(result.cycles[-1] - result.cycles[0])
        assert p.cycles(mantissa_bits) <= mantissa_bits + 1
        assert spent <= 1.01 * p.cycles(mantissa_bits) * (len(groups) - 1)


def test_cycles_of_mixed_lengths(rng):
    """Once the ring is ahead by its longest group no mix of lengths makes a bubble."""
    groups, weights = draw(rng, 2_000)
    groups.mantissa_bits[0] = LONGEST
    result = run(bulk_model("anda.element", columns=COLUMNS), groups, weights)
    check(result, groups, weights)
    assert np.array_equal(np.diff(result.cycles), groups.mantissa_bits[1:] + 1)


def test_latency(rng):
    p = parameters("anda.element", columns=COLUMNS)
    model = bulk_model("anda.element", columns=COLUMNS)
    for mantissa_bits in range(1, LONGEST + 1):
        groups, weights = draw(rng, 1, mantissa_bits=mantissa_bits)
        words = {"i": groups.words(), "i_weights": weights}
        done = model.run(words, outputs={"o": 1})
        latency = int(done["o"].cycles[0] - done.accepted["i"][0])
        assert latency == p.group_latency(mantissa_bits)
    assert latency == p.latency


@pytest.mark.parametrize("stages_per_rank", [2, 3, 4])
def test_fewer_ranks(rng, stages_per_rank):
    """One rank in the plane sums, and none: the same sums at the same rate, only sooner."""
    settings = {"columns": COLUMNS, "stages_per_rank": stages_per_rank}
    p, model = parameters("anda.element", **settings), bulk_model("anda.element", **settings)
    groups, weights = draw(rng, 2_000)
    groups.mantissa_bits[0] = LONGEST
    check(run(model, groups, weights, 0.3, seed=seeds("stall")), groups, weights)
    words = {"i": groups.words(), "i_weights": weights}
    done = model.run(words, outputs={"o": len(groups)})
    check(done["o"], groups, weights)
    assert np.array_equal(np.diff(done["o"].cycles), groups.mantissa_bits[1:] + 1)
    assert done["o"].cycles[0] - done.accepted["i"][0] == p.latency


def test_reset_in_mid_stream(rng):
    groups, weights = draw(rng, 200)
    model = bulk_model("anda.element", columns=COLUMNS)
    fresh = run(model, groups, weights, 0.3, seed=seeds("reset"))
    for cycle in rng.integers(20, 1_000, 5):
        again = run(model, groups, weights, 0.3, seed=seeds("reset"), reset_at=int(cycle))
        check(again, groups, weights)
        assert np.array_equal(np.diff(again.cycles), np.diff(fresh.cycles))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weight_bits", "zero_points"),
    [*zip(range(2, 9), 7 * [True], strict=True), (4, False), (8, False)],
)
def test_many_groups(rng, weight_bits, zero_points):
    """A million groups of all lengths, together."""
    settings = {"columns": 1, "weight_bits": weight_bits, "zero_points": zero_points}
    groups, weights = draw(rng, 112_000, 1, weight_bits, zero_points)
    check(run(bulk_model("anda.element", **settings), groups, weights, 0.1), groups, weights)
