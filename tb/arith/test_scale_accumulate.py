"""Scaled accumulation: right in any order of indices, and at full rate in the right one."""

import numpy as np
import pytest

from tb.arith import sums
from tb.bench import bulk_model, parameters, run_bench

MODULE = "arith.scale_accumulate"


def run(model, beats, **options):
    """Run ``beats``, check what leaves, and return the run."""
    due = sums.golden(beats)
    result = model.run({"i": beats}, outputs={"o": len(due["value"])}, **options)
    assert np.array_equal(result["o"].values["index"], due["index"])
    wrong = np.flatnonzero(result["o"].values["value"] != due["value"])
    assert len(wrong) == 0, f"first at output {wrong[0]}"
    return result


@pytest.fixture(scope="module")
def model():
    return bulk_model(MODULE, outputs=64)


def test_bench():
    run_bench(MODULE, "tb.arith.scale_accumulate_tb", {"outputs": 13})


def test_rotating_indices_run_at_full_rate(model, rng):
    p = parameters(MODULE, outputs=64)
    for indices in (p.accumulate_latency, 64):
        beats = sums.beats(rng, np.arange(20_000) % indices)
        result = run(model, beats)
        assert np.all(np.diff(result.accepted["i"]) == 1)
        ends = result.accepted["i"][beats["end"]][: len(result["o"].cycles)]
        assert np.all(result["o"].cycles - ends == p.latency)


def test_one_index_too_few_is_stalled(model, rng):
    p = parameters(MODULE, outputs=64)
    beats = sums.beats(rng, np.arange(5_000) % (p.accumulate_latency - 1))
    beats["end"][-1] = True
    cycles = run(model, beats).cycles
    rounds = 5_000 / (p.accumulate_latency - 1)
    assert cycles == pytest.approx(rounds * p.accumulate_latency, rel=0.01)


def test_one_output_only(model, rng):
    """The same index all the time: a beat every accumulate_latency cycles, and right."""
    p = parameters(MODULE, outputs=64)
    beats = sums.beats(rng, np.full(1000, 17))
    beats["end"][-1] = True
    assert run(model, beats).cycles == pytest.approx(1000 * p.accumulate_latency, rel=0.02)


@pytest.mark.parametrize("span", [2, 7, 64])
@pytest.mark.parametrize("stall", [0.0, {"i": 0.4, "o": 0.9}])
def test_random_indices(model, rng, span, stall):
    """Distances from one beat up, under back-pressure and after a reset in mid-stream."""
    beats = sums.beats(rng, rng.integers(0, span, 5_000))
    run(model, beats, stall=stall)
    run(model, beats, stall=stall, reset_at=777)


@pytest.mark.parametrize(("outputs", "stages_per_rank"), [(1, 1), (2, 16), (1000, 3)])
def test_other_sizes(rng, outputs, stages_per_rank):
    settings = {"outputs": outputs, "stages_per_rank": stages_per_rank}
    model, p = bulk_model(MODULE, **settings), parameters(MODULE, **settings)
    result = run(model, sums.beats(rng, rng.integers(0, outputs, 5_000)))
    assert result["o"].cycles[0] >= p.latency
    beats = sums.beats(rng, np.arange(3_000) % min(outputs, p.accumulate_latency))
    spacing = p.accumulate_latency / min(outputs, p.accumulate_latency)
    assert run(model, beats).cycles <= 3_000 * spacing + p.latency


@pytest.mark.parametrize("outputs", [0, (1 << 20) + 1])
def test_refuses(outputs):
    sentence = rf"^outputs must be between 1 and 1048576, not {outputs}\.$"
    with pytest.raises(ValueError, match=sentence):
        parameters(MODULE, outputs=outputs)
