"""The Anda modules one after the other, each from a build of its own, against golden.gemm."""

import numpy as np
import pytest

from lamina_sim.golden import anda
from tb.anda.groups import exact_sums, random_groups, random_scales, random_weights
from tb.bench import bulk_model, parameters

ROUNDINGS = ("truncate", "nearest")
ELEMENT = {"columns": 2}
ACCUMULATOR = {"columns": 2, "index_bits": 5}


def compress(values, mantissa_bits, rounding):
    """Groups of patterns uint16 [G, 64] to exponents [G] and words uint64 [G, 1 + M]."""
    given = {
        "values": values,
        "mantissa_bits": np.full(len(values), mantissa_bits),
        "rounding": np.full(len(values), ROUNDINGS.index(rounding)),
    }
    beats = bulk_model("anda.compressor").run({"i": given}, stall=0.1)["o"].values
    signs, planes, exponents = (
        beats[name].reshape(-1, mantissa_bits) for name in ("signs", "plane", "exponent")
    )
    return exponents[:, 0], np.concatenate([signs[:, :1], planes], axis=1)


def multiply(exponents, words, codes, zeros, scales):
    """Rows [m, groups] times columns [2, k], all groups of a row after each other, to the end."""
    rows, groups, length = words.shape
    place = np.arange(rows * groups * length) % length
    group = np.arange(rows * groups * length) // length
    step, row = np.divmod(group, rows)  # the rows take turns, so that none comes back too soon
    given = {
        "word": words.transpose(1, 0, 2).ravel(),
        "first": (place == 0).astype(np.int64),
        "last": (place == length - 1).astype(np.int64),
        "exponent": exponents.T.ravel()[group],
        "index": row,
        "load": (row == 0).astype(np.int64),
        "begin": (step == 0).astype(np.int64),
        "end": (step == groups - 1).astype(np.int64),
    }
    weights = {"codes": codes, "zeros": zeros, "scales": scales}
    sums = bulk_model("anda.element", **ELEMENT).run({"i": given, "i_weights": weights}, stall=0.1)
    done = bulk_model("anda.accumulator", **ACCUMULATOR).run({"i": sums["o"].values}, stall=0.1)
    order = np.argsort(done["o"].values["index"])
    return done["o"].values["value"][order].astype(np.uint32).reshape(rows, 2)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("mantissa_bits", [1, 6, 16])
def test_matrix_product(rng, mantissa_bits, rounding):
    rows, groups = 9, 6
    x = (rng.normal(size=(rows, 64 * groups)) * 2.0 ** rng.integers(-14, 8, (rows, 1))).astype(
        np.float16
    )
    x[rows - 1, 70] = np.inf
    codes = rng.integers(-8, 8, (64 * groups, 2)).astype(np.int8)
    zeros = rng.integers(-8, 8, (groups, 2)).astype(np.int8)
    scales = random_scales(rng, (groups, 2)).astype(np.uint16)
    scales[70 // 64, 0] = 0  # Inf times zero
    exponents, words = compress(x.view(np.uint16).reshape(-1, 64), mantissa_bits, rounding)
    got = multiply(
        exponents.reshape(rows, groups),
        words.reshape(rows, groups, -1),
        codes.reshape(groups, 64, 2).transpose(0, 2, 1),
        zeros,
        scales,
    )
    wanted = anda.gemm(
        x,
        codes,
        scales.view(np.float16),
        mantissa_bits=mantissa_bits,
        zero_points=zeros,
        scale_group=64,
        rounding=rounding,
    )
    assert np.array_equal(got, wanted.view(np.uint32))


def test_element_waits_for_its_slowest_reader(rng):
    """Sums taken only every accumulate_latency cycles, as one output alone is: all still exact."""
    share = 1 / parameters("anda.accumulator").accumulate_latency
    groups = random_groups(rng, 1_000, mantissa_bits=1)
    weights = random_weights(rng, int(groups.load.sum()), 2, 4)
    model = bulk_model("anda.element", **ELEMENT)
    sent = {"i": groups.words(), "i_weights": weights}
    sums = model.run(sent, outputs={"o": len(groups)}, stall={"o": 1 - share})["o"]
    assert np.array_equal(sums.values["sums"], exact_sums(groups, weights))


@pytest.mark.slow
@pytest.mark.parametrize("module", ["anda.element", "anda.accumulator", "anda.compressor"])
def test_reset_is_enough(rng, module):
    """Registers that start at random make no difference: what has no reset is not looked at."""
    settings = {"index_bits": 4} if module == "anda.accumulator" else {}
    undefined = bulk_model(module, random_initial=True, **settings)
    groups = random_groups(rng, 60, index_bits=4)
    weights = random_weights(rng, int(groups.load.sum()), 1, 4)
    groups.begin[:] = groups.end[:] = 1
    descriptors = ("exponent", "index", "begin", "end")
    sent = {
        "anda.element": {"i": groups.words(), "i_weights": weights},
        "anda.accumulator": {
            "i": {
                "sums": exact_sums(groups, weights),
                "scales": weights["scales"][groups.weight_set],
                **{name: getattr(groups, name) for name in descriptors},
            }
        },
        "anda.compressor": {
            "i": {
                "values": rng.integers(0, 1 << 16, (60, 64)),
                "mantissa_bits": groups.mantissa_bits,
                "rounding": groups.begin,
            }
        },
    }[module]
    wanted = bulk_model(module, **settings).run(sent)["o"].words
    for seed in range(3):
        assert np.array_equal(undefined.run(sent, seed=seed)["o"].words, wanted)


@pytest.mark.parametrize(
    ("module", "setting"),
    [
        ("anda.element", {"columns": 0}),
        ("anda.element", {"weight_bits": 9}),
        ("anda.element", {"index_bits": 25}),
        ("anda.element", {"zero_points": 1}),
        ("anda.accumulator", {"columns": 65}),
        ("anda.accumulator", {"format": "fp8"}),
        ("anda.compressor", {"format": "fp32"}),
    ],
)
def test_parameters_are_checked(module, setting):
    with pytest.raises(
        (ValueError, TypeError), match=rf"^{next(iter(setting))} must be .*, not .*\.$"
    ):
        parameters(module, **setting)
