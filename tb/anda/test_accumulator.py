import numpy as np
import pytest

from lamina_sim.golden import ieee
from tb.anda.groups import random_scales
from tb.bench import bulk_model, check_outputs, parameters, run_bench, seeds

SETTINGS = {"columns": 2, "index_bits": 5}
ROWS = 1 << SETTINGS["index_bits"]


def schedule(rng, outputs, groups):
    """Order in which groups of several outputs come: index, begin, end of each beat."""
    step, index = np.divmod(np.arange(outputs * groups), outputs)
    order = rng.permutation(ROWS)[:outputs]
    return order[index], step == 0, step == groups - 1


def draw(rng, outputs, groups, columns, weight_bits=4, exponents=(1, 31)):
    index, begin, end = schedule(rng, outputs, groups)
    count = len(index)
    mantissa_bits = rng.integers(1, 17, count)
    bound = 64 * ((1 << mantissa_bits[:, None]) - 1) * ((1 << weight_bits) - 1)
    sums = rng.integers(-bound, bound + 1, (count, columns))
    kind = rng.integers(0, 8, (count, 1))
    sums = np.where(kind == 0, 0, np.where(kind == 1, -bound, np.where(kind == 2, bound, sums)))
    return {
        "sums": sums << (16 - mantissa_bits)[:, None],
        "scales": random_scales(rng, (count, columns)),
        "exponent": rng.integers(*exponents, count),
        "index": index,
        "begin": begin.astype(np.int64),
        "end": end.astype(np.int64),
    }


def expected(beats, bias, special):
    """The outputs' bits and indices, in the order in which they are finished."""
    unit = beats["exponent"] - bias - 15
    f = ieee.fp32_from_int(beats["sums"], unit[:, None])
    f = np.where(beats["exponent"][:, None] == special, np.float32(np.nan), f)
    scales = beats["scales"].astype(np.uint16).view(np.float16).astype(np.float32)
    columns = f.shape[1]
    acc = np.zeros((ROWS, columns), np.float32)
    values, indices = [], []
    with np.errstate(all="ignore"):
        for beat, index in enumerate(beats["index"]):
            start = np.float32(0) if beats["begin"][beat] else acc[index]
            acc[index] = start + f[beat] * scales[beat]
            if beats["end"][beat]:
                values.append(ieee.canonical(acc[index]).view(np.uint32))
                indices.append(index * columns + np.arange(columns))
    return {"value": np.concatenate(values), "index": np.concatenate(indices)}


def check(model, beats, bias=15, special=31, **options):
    return check_outputs(model, {"i": beats}, expected(beats, bias, special), **options)


def test_bench():
    run_bench("anda.accumulator", "tb.anda.accumulator_tb", SETTINGS)


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("outputs", [1, 3, ROWS])
def test_interleaved_outputs(rng, outputs, stall):
    """Any number of outputs in turn: fewer than accumulate_latency are stalled, never wrong."""
    model = bulk_model("anda.accumulator", **SETTINGS)
    beats = draw(rng, outputs, 4_000 // outputs, SETTINGS["columns"])
    check(model, beats, stall=stall, seed=seeds("stall"))


def test_special_exponents(rng):
    """A group with the all-ones exponent makes its output NaN, whatever comes after it."""
    model = bulk_model("anda.accumulator", **SETTINGS)
    beats = draw(rng, ROWS, 20, SETTINGS["columns"])
    beats["exponent"][rng.random(len(beats["exponent"])) < 0.03] = 31
    result = check(model, beats)
    nan = result["o"].values["value"] == 0x7FC00000
    assert nan.any()
    assert not nan.all()


def test_bf16_exponents(rng):
    """BF16's exponents reach FP32's limits: subnormal and infinite results."""
    settings = {"columns": 1, "weight_bits": 8, "index_bits": 5, "format": "bf16"}
    beats = draw(rng, ROWS, 100, 1, weight_bits=8, exponents=(1, 255))
    low = rng.random(len(beats["exponent"])) < 0.3
    beats["exponent"][low] = rng.integers(1, 12, low.sum())
    beats["exponent"][rng.random(len(beats["exponent"])) < 0.001] = 255
    result = check(bulk_model("anda.accumulator", **settings), beats, bias=127, special=255)
    assert len(result["o"]) == ROWS


@pytest.mark.parametrize("stages_per_rank", [1, 9])
def test_rate(rng, stages_per_rank):
    """One column a cycle over enough outputs; one output alone every accumulate_latency cycles."""
    settings = SETTINGS | {"stages_per_rank": stages_per_rank}
    p = parameters("anda.accumulator", **settings)
    model = bulk_model("anda.accumulator", **settings)
    enough = -(-p.accumulate_latency // p.columns)
    for outputs, spacing in ((enough, p.columns), (1, p.accumulate_latency)):
        taken = check(model, draw(rng, outputs, 500, p.columns)).accepted["i"]
        spent = int(taken[-1] - taken[20]) / (len(taken) - 21)
        assert spacing <= spent <= 1.01 * spacing


@pytest.mark.parametrize("stages_per_rank", [1, 9])
def test_latency(rng, stages_per_rank):
    settings = SETTINGS | {"stages_per_rank": stages_per_rank}
    p = parameters("anda.accumulator", **settings)
    result = check(bulk_model("anda.accumulator", **settings), draw(rng, 1, 1, p.columns))
    # A beat is accepted with its last column; the first one came in before.
    first = result.accepted["i"][0] - (p.columns - 1)
    assert result["o"].cycles[0] - first == p.latency


def test_reset_in_mid_stream(rng):
    model = bulk_model("anda.accumulator", **SETTINGS)
    beats = draw(rng, 6, 40, SETTINGS["columns"])
    for cycle in rng.integers(5, 300, 5):
        check(model, beats, stall=0.2, reset_at=int(cycle))


@pytest.mark.slow
def test_many_groups(rng):
    settings = {**SETTINGS, "weight_bits": 8}
    beats = draw(rng, ROWS, 3_200, SETTINGS["columns"], weight_bits=8)
    check(bulk_model("anda.accumulator", **settings), beats, stall=0.1)
