import numpy as np
import pytest

from lamina_sim.golden import anda
from tb.anda.array_groups import ArrayGroups, outputs_of, random_array_groups, received_outputs
from tb.anda.groups import GROUP, random_scales
from tb.bench import bulk_model, parameters, run_bench, seeds

#: Small, but with two blocks, and a sum unit that serves a row less than the other.
SMALL = {"rows": 3, "columns": 4, "block_columns": 2, "slots": 2, "sharing": 2}
CELLS = SMALL | {"stages_per_rank": 5}
#: Of which less is to compile: for cocotb, and for parameters that change every element.
TINY = CELLS | {"rows": 1, "columns": 2, "block_columns": 1}


def run(settings, groups, stall=0.0):
    """Run groups through the array: the result, and its outputs [ends, rows, columns]."""
    result = bulk_model("anda.array", **settings).run(
        {"i": groups.beats(), "i_weights": groups.weights()},
        outputs={"o": outputs_of(groups)},
        stall=stall,
        seed=seeds("stall"),
    )["o"]
    return result, received_outputs(groups.parameters, result.values)


def check(settings, rng, count, stall=0.0, **options):
    groups = random_array_groups(rng, parameters("anda.array", **settings), count, **options)
    result, got = run(settings, groups, stall)
    assert np.array_equal(got, groups.outputs())
    return groups, result


def test_bench():
    run_bench("anda.array", "tb.anda.array_tb", TINY)


@pytest.mark.parametrize("stall", [0.0, 0.4, {"i": 0.0, "i_weights": 0.0, "o": 0.9}])
def test_mixed_lengths(rng, stall):
    check(CELLS, rng, 400, stall)


@pytest.mark.slow
@pytest.mark.parametrize(("planes", "weight_bits"), [(1, 8), (2, 2), (4, 4)])
def test_widths(rng, planes, weight_bits):
    settings = {"planes": planes, "weight_bits": weight_bits, "zero_points": weight_bits != 4}
    check(TINY | settings, rng, 1_000, 0.2)


@pytest.mark.slow
def test_bf16(rng):
    """Sums that overflow, and subnormal ones; each alone in its ring."""
    alone = {"rows": 1, "columns": 2, "block_columns": 1, "sharing": 3, "slots": 1}
    check(CELLS | alone | {"format": "bf16"}, rng, 1_500, 0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        SMALL | {"rows": 1, "columns": 2, "planes": 1, "weight_bits": 8},
        SMALL | {"rows": 1, "columns": 2, "planes": 4, "weight_bits": 2, "zero_points": False},
    ],
    ids=["2 planes", "1 plane", "4 planes"],
)
def test_ranks(rng, settings):
    """With registers after every stage: carry chains, and the sums wait in a memory."""
    check(settings | {"slots": 5, "stages_per_rank": 1}, rng, 3_000, 0.2)


def test_rate(rng):
    """Groups of every length follow each other without a bubble."""
    groups, result = check(CELLS, rng, 300, load_share=0.0, end_share=0.0)
    p = groups.parameters
    drained = outputs_of(groups)
    assert result.cycles[-1] <= groups.cycles.sum() + p.latency + p.blocks + drained + 4


def test_outputs_do_not_stop_the_array(rng):
    """All slots end together, and all their outputs find room."""
    p = parameters("anda.array", **CELLS)
    groups = random_array_groups(rng, p, 40 * p.slots, mantissa_bits=7, load_share=0.0)
    step = np.arange(len(groups)) // p.slots % 10
    groups.begin[:], groups.end[:] = step == 0, step == 9
    result, got = run(CELLS, groups)
    assert np.array_equal(got, groups.outputs())
    last = p.blocks * p.sharing * p.slots
    assert result.cycles[-1] <= groups.cycles.sum() + p.latency + last + 4


def test_matrix_product(rng):
    """golden.gemm, bit by bit: rows in the slots, groups of k one after the other."""
    p = parameters("anda.array", **CELLS)
    k, bits = 5, 6
    x = rng.normal(size=(p.rows * p.slots, GROUP * k)).astype(np.float16)
    x[1, 70] = np.inf
    codes = rng.integers(-8, 8, (GROUP * k, p.columns)).astype(np.int8)
    zeros = rng.integers(-8, 8, (k, p.columns)).astype(np.int8)
    scales = random_scales(rng, (k, p.columns)).astype(np.uint16)
    scales[70 // GROUP, 0] = 0  # Inf times zero
    a = anda.encode(x, bits)

    def turns(array):
        """[slots * rows, k, ...] to [k * slots, rows, ...]: the slots take turns."""
        parts = array.reshape(p.slots, p.rows, k, *array.shape[2:])
        return np.moveaxis(parts, 2, 0).reshape(k * p.slots, p.rows, *array.shape[2:])

    step, slot = np.divmod(np.arange(k * p.slots), p.slots)
    groups = ArrayGroups(
        parameters=p,
        mantissa_bits=np.full(k * p.slots, bits),
        sign=turns(a.sign),
        mantissa=turns(a.mantissa),
        exponents=turns(a.exponent).astype(np.int64),
        load=(slot == 0).astype(np.int64),
        begin=(step == 0).astype(np.int64),
        end=(step == k - 1).astype(np.int64),
        codes=codes.reshape(k, GROUP, -1).transpose(0, 2, 1).astype(np.int64),
        zeros=zeros.astype(np.int64),
        scales=scales,
    )
    wanted = anda.gemm(
        x, codes, scales.view(np.float16), mantissa_bits=bits, zero_points=zeros, scale_group=GROUP
    )
    _, got = run(CELLS, groups)
    assert np.array_equal(got.reshape(wanted.shape), wanted.view(np.uint32))


@pytest.mark.parametrize(
    "setting", [{"planes": 3}, {"columns": 5}, {"slots": 1}, {"format": "fp8"}, {"sharing": 0}]
)
def test_parameters_are_checked(setting):
    with pytest.raises(
        (ValueError, TypeError), match=rf"^{next(iter(setting))} must be .*, not .*\.$"
    ):
        parameters("anda.array", **setting)
