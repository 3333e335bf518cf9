import os

import numpy as np
import pytest

from lamina_sim.golden import pacq
from tb.bench import bulk_model, parameters, run_bench
from tb.pacq.window_steps import KINDS, random_window_product

TAGS = 2
#: Both widths of weights; windows so short that every kind of activations is replayed, and W = 24.
#: INT4 as for FPGAs, INT2 as for cells.
#: All sizes that are measured: LAMINA_WINDOW=all.
SETTINGS = {
    4: {"rows": 2, "words": 1, "weight_bits": 4, "window_bits": 24, "steps": 16, "index_bits": 1},
    2: {"rows": 1, "words": 1, "weight_bits": 2, "window_bits": 16, "lanes": 8, "steps": 8,
        "index_bits": 1, "stages_per_rank": 2, "carry_limit": 90},
}  # fmt: skip
#: The least to compile: for cocotb and for netlists.
BENCH = SETTINGS[4] | {"rows": 1, "window_bits": 20, "steps": 8}
LARGE = [(bits, window) for bits in (4, 2) for window in (24, 30, 41)]


def model(bits):
    """Of INT2 the registers start at random values, as in silicon."""
    return bulk_model("pacq.window_dot", random_initial=bits == 2, **SETTINGS[bits])


def random_product(rng, bits, **options):
    p = parameters("pacq.window_dot", **SETTINGS[bits])
    group = p.lanes * p.steps
    options = {"scale_group": group, "k": 2 * group, "m": 4 * p.rows, "lanes": p.lanes} | options
    return random_window_product(rng, bits=bits, rows=p.rows, columns=p.columns, **options)


def assert_golden(product, found, tags=TAGS):
    due = product.due(tags)
    np.testing.assert_array_equal(found["index"], due["index"])
    values = found["value"].astype(np.uint32)
    assert set(values[np.isnan(values.view(np.float32))]) <= {0x7FC00000}
    numbers = ~np.isnan(due["value"].view(np.float32))
    np.testing.assert_array_equal(values[numbers], due["value"][numbers])
    assert np.isnan(values[~numbers].view(np.float32)).all()


def run(bits, product, **options):
    outputs = {"o": product.golden().size}
    return model(bits).run(product.streams(TAGS), outputs=outputs, timeout=20_000, **options)


def test_bench():
    run_bench("pacq.window_dot", "tb.pacq.window_dot_tb", BENCH)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [4, 2])
def test_products(bits, kind, rng):
    for stall in (0, 0.4):
        product = random_product(rng, bits, kind=kind, m=16)
        assert_golden(product, run(bits, product, stall=stall)["o"].values)


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("group", [1, 2, 7])
def test_short_groups(bits, group, rng):
    for kind in KINDS:
        k = parameters("pacq.window_dot", **SETTINGS[bits]).lanes * group
        product = random_product(rng, bits, kind=kind, k=5 * k, scale_group=k)
        assert_golden(product, run(bits, product)["o"].values)


@pytest.mark.parametrize("bits", [4, 2])
def test_longest_group_of_largest_values(bits, rng):
    low = -(1 << (bits - 1))
    for x in (65504, -65504, 2.0**-24):
        for codes, zero_points in ((~low, low), (low, ~low)):
            product = random_product(rng, bits, kind="extreme")
            product.x[:], product.codes[:], product.zero_points[:] = x, codes, zero_points
            assert_golden(product, run(bits, product)["o"].values)


@pytest.mark.parametrize("bits", [4, 2])
def test_sums_over_all_exponents_that_cancel(bits, rng):
    """Passes leave +0, or one unit in the last of them."""
    product = random_product(rng, bits, kind="wide")
    half = product.scale_group // 2
    x, codes = product.x.reshape(-1, half), product.codes.reshape(-1, half, product.columns)
    x[1::2], codes[1::2] = -x[::2], codes[::2]
    product.zero_points[:] = 0
    assert not product.golden().any()
    assert_golden(product, run(bits, product)["o"].values)
    x[::4, 5], codes[::2, 5] = 2.0**-24, 1
    assert product.golden().any()
    assert_golden(product, run(bits, product)["o"].values)


def test_infinities_column_by_column(rng):
    """Within one step, in the same row, and beside numbers far below."""
    inf, nan = np.inf, np.nan
    product = random_product(rng, 4, kind="wide", m=8, k=16, scale_group=16)
    product.zero_points[:], product.scales[:] = 1, 1
    product.codes[[1, 2, 13]] = [[2, 0, 1, 3], [2, 2, 0, 1], [2, 2, 2, -1]]
    # B: 1, -1, 0, 2; 1, 1, -1, 0; 1, 1, 1, -2
    product.x[[0, 1, 2, 3, 6], 1] = [inf, -inf, inf, inf, inf]
    product.x[[2, 3, 4], 13] = [-inf, inf, nan]
    product.x[[5, 6], 2] = [-inf, -inf]
    want = [
        [inf, -inf, nan, inf],
        [-inf, inf, nan, -inf],
        [nan, -inf, nan, inf],
        [inf, nan, nan, nan],
        [nan, nan, nan, nan],
        [-inf, -inf, inf, nan],
        [nan, -inf, nan, nan],
    ]
    np.testing.assert_array_equal(product.golden()[:7], np.array(want, np.float32))
    assert_golden(product, run(4, product)["o"].values)


@pytest.mark.parametrize("bits", [4, 2])
def test_passes_take_what_golden_counts(bits, rng):
    """No bubble within or between passes, and the promised latency."""
    p = parameters("pacq.window_dot", **SETTINGS[bits])
    for kind in KINDS:
        product = random_product(rng, bits, kind=kind, m=60 * p.rows, k=p.lanes * p.steps)
        passes = pacq.window_passes(
            product.x,
            window_bits=p.window_bits,
            rows=p.rows,
            lanes=p.lanes,
            scale_group=product.scale_group,
        )
        result = run(bits, product)
        firsts = result["o"].cycles[:: p.outputs]
        # From the first result of the first tile to that of the last one: the first passes of all
        # but the first tile, and later ones of all but the first, end before.
        steps = passes.steps[1:]
        assert firsts[-1] - firsts[0] == sum(max(n, p.outputs) for s in steps for n in s), kind
        assert passes.replayed or kind not in ("wide", "special")


@pytest.mark.parametrize("bits", [4, 2])
def test_latency(bits, rng):
    p = parameters("pacq.window_dot", **SETTINGS[bits])
    product = random_product(rng, bits, kind="extreme", m=p.rows, k=p.lanes, scale_group=p.lanes)
    # Scales first: only the step is waited for.
    result = run(bits, product)
    late = max(result.accepted["i_scales"][-1] + 1 - result.accepted["i"][0] - p.latency, 0)
    assert 0 <= result["o"].cycles[0] - result.accepted["i"][0] - p.latency <= late + p.columns


def test_reset_from_a_random_state(rng):
    """Registers start at random values, and reset comes again in mid-stream."""
    for kind in ("normal", "special"):
        product = random_product(rng, 2, kind=kind, m=8)
        result = run(2, product, stall=0.2, seed=int(rng.integers(1 << 20)), reset_at=90)
        assert_golden(product, result["o"].values)


# Units as large as those that are measured take minutes to build.
if os.environ.get("LAMINA_WINDOW") == "all":

    @pytest.mark.parametrize(("bits", "window_bits"), LARGE)
    def test_measured_sizes(bits, window_bits, rng):
        settings = {"rows": 2, "words": bits, "weight_bits": bits, "window_bits": window_bits}
        settings["stages_per_rank"] = 3
        p = parameters("pacq.window_dot", **settings)
        large = bulk_model("pacq.window_dot", **settings)
        for kind in KINDS:
            product = random_window_product(
                rng,
                bits=bits,
                rows=p.rows,
                columns=p.columns,
                m=16,
                n=2 * p.columns,
                k=512,
                kind=kind,
            )
            outputs = {"o": product.golden().size}
            result = large.run(product.streams(4), outputs=outputs, timeout=20_000, stall=0.1)
            assert_golden(product, result["o"].values, 4)


@pytest.mark.parametrize(
    "setting",
    [{"rows": 3}, {"words": 3}, {"weight_bits": 3}, {"window_bits": 42}, {"carry_limit": 1},
     {"steps": 0}, {"index_bits": 13}, {"stages_per_rank": 0}],
)  # fmt: skip
def test_parameters_are_checked(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))} must be .*, not .*\\."):
        parameters("pacq.window_dot", **setting)
