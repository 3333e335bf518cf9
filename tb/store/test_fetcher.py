"""Fetcher against the golden layout: rates, addresses, bursts, errors, bad runs."""

import re

import numpy as np
import pytest

from lamina_sim.golden import store
from lamina_sim.verilated import Memory
from tb.bench import bulk_model, parameters, run_bench
from tb.store.blocks import octets

MIB_BEATS = (1 << 20) // 64
BASE = 1 << 30
SMALL = {"buffer_beats": 64, "blocks_per_row": 8, "planes_max": 8, "address_bits": 32}


def image(rng, blocks, planes, row=128):
    """Random planes uint8 [blocks, N, 64] and how they lie in memory."""
    beats = rng.integers(0, 256, (blocks, planes, 64), dtype=np.uint8)
    return beats, store.to_image(beats, row)


def runs(block, blocks, planes, keep, base=BASE):
    return {"base": base, "block": block, "blocks": blocks, "planes": planes, "keep": keep}


def last_beats(blocks, keep):
    """``last`` and ``end`` of whole runs: of ``blocks`` blocks, of ``keep`` planes each."""
    marks = [np.tile(np.arange(k) == k - 1, b) for b, k in zip(blocks, keep, strict=True)]
    ends = [np.arange(b * k) == b * k - 1 for b, k in zip(blocks, keep, strict=True)]
    return np.concatenate(marks), np.concatenate(ends)


def check_bursts(traffic, row_bytes=128 * 64):
    """No burst leaves its 4 KiB page (the memory model refuses that too), or its row."""
    first = traffic.addresses.astype(np.int64)
    last = first + traffic.lengths * 64 - 1
    assert np.array_equal(first >> 12, last >> 12)
    assert np.array_equal(first // row_bytes, last // row_bytes)


@pytest.mark.parametrize("latency", [1, 100])
@pytest.mark.parametrize("planes", [1, 4, 8, 16])
def test_rate(planes, latency, rng):
    """95 % of the cycles of a run of 1 MiB carry a beat, start and memory latency included."""
    beats, memory = image(rng, MIB_BEATS + 200, planes)
    model, start = bulk_model("store.fetcher"), int(rng.integers(200))
    for keep in range(1, planes + 1):
        count = MIB_BEATS // keep
        result = model.run(
            {"i": runs([start], [count], planes, keep)},
            memory=Memory(data=memory, base=BASE, latency=latency),
        )
        cycles, traffic = result["o"].cycles, result.traffic["m_axi"]
        span = cycles[-1] + 1 - result.accepted["i"][0]
        assert len(cycles) == count * keep
        assert len(cycles) / span >= 0.95, (keep, len(cycles) / span)
        assert traffic.bytes == count * keep * 64
        got = octets(result["o"].values["bits"]).reshape(count, keep, 64)
        assert np.array_equal(got, beats[start : start + count, :keep])
        check_bursts(traffic)


@pytest.mark.parametrize("latency", [1, 40])
@pytest.mark.parametrize(
    "stall", [0.0, 0.3, {"o": 0.7}, {"m_axi.r": 0.7}, {"m_axi.ar": 0.9}], ids=str
)
@pytest.mark.parametrize("settings", [{}, SMALL], ids=["default", "small"])
def test_any_run(settings, stall, latency, rng):
    """Runs of any start, length, N and k, one behind the other."""
    p = parameters("store.fetcher", **settings)
    count, row = 60, p.blocks_per_row
    planes = int(rng.integers(1, p.planes_max + 1))
    beats, memory = image(rng, 5 * row, planes, row)
    block = rng.integers(0, 3 * row, count)
    blocks = rng.integers(1, row, count)
    keep = rng.integers(1, planes + 1, count)
    run = {
        "memory": Memory(data=memory, base=BASE, latency=latency),
        "stall": stall,
        "seed": int(rng.integers(1 << 30)),
        "outputs": {"o": int((blocks * keep).sum())},
    }
    model = bulk_model("store.fetcher", **settings)
    result = model.run({"i": runs(block, blocks, planes, keep)}, **run)
    values, traffic = result["o"].values, result.traffic["m_axi"]
    wanted = [
        beats[b : b + n, :k].reshape(-1, 64) for b, n, k in zip(block, blocks, keep, strict=True)
    ]
    assert np.array_equal(octets(values["bits"]), np.concatenate(wanted))
    last, end = last_beats(blocks, keep)
    assert np.array_equal(values["last"], last)
    assert np.array_equal(values["end"], end)
    assert not values["error"].any()
    assert traffic.bytes == 64 * (blocks * keep).sum()
    check_bursts(traffic, row * 64)
    if latency == 1:
        again = model.run({"i": runs(block, blocks, planes, keep)}, **run, reset_at=333)
        assert np.array_equal(again["o"].words, result["o"].words)


def test_no_gap_between_runs(rng):
    """The next run's planes come while the one before it drains."""
    _, memory = image(rng, 512, 4)
    result = bulk_model("store.fetcher").run(
        {"i": runs(np.arange(20) * 16, [64] * 20, 4, 2)},
        memory=Memory(data=memory, base=BASE, latency=50),
    )
    cycles = result["o"].cycles
    assert len(cycles) == 20 * 64 * 2
    # From the second run on; the first has to wait for the memory.
    assert np.diff(cycles[128:]).max() == 1


@pytest.mark.parametrize("latency", [1, 7, 100])
def test_latency(latency, rng):
    _, memory = image(rng, 128, 4)
    result = bulk_model("store.fetcher").run(
        {"i": runs([5], [1], 4, 1)}, memory=Memory(data=memory, base=BASE, latency=latency)
    )
    expected = parameters("store.fetcher").latency + latency
    assert result["o"].cycles[0] - result.accepted["i"][0] == expected


def test_an_error_marks_exactly_its_beats(rng):
    """SLVERR from some beats, and DECERR from beyond the end of memory."""
    planes, keep, blocks = 4, 3, 300
    beats, memory = image(rng, 384, planes)
    block, plane = rng.integers(0, blocks, 25), rng.integers(0, planes, 25)
    wrong = BASE + store.plane_address(block, plane, planes)
    result = bulk_model("store.fetcher").run(
        {"i": runs([0], [blocks], planes, keep)},
        memory=Memory(
            data=memory[: len(memory) - 8192 * 2],  # the last row's planes 2 and 3 are not there
            base=BASE,
            latency=20,
            errors=[(int(a), int(a) + 64) for a in wrong],
        ),
    )
    expected = np.zeros((blocks, planes), bool)
    expected[block, plane] = True
    expected[256:, 2:] = True
    values = result["o"].values
    assert np.array_equal(values["error"].reshape(blocks, keep), expected[:, :keep])
    good = ~expected[:, :keep]
    got = octets(values["bits"]).reshape(blocks, keep, 64)
    assert np.array_equal(got[good], beats[:blocks, :keep][good])


BAD = {
    "no plane kept": {"keep": 0},
    "more kept than stored": {"keep": 5},
    "more stored than there can be": {"planes": 17},
    "no blocks": {"blocks": 0},
    "crooked base": {"base": BASE + 64},
}


@pytest.mark.parametrize("fault", BAD.values(), ids=BAD.keys())
def test_a_bad_run_is_one_beat(fault, rng):
    """It stands in its turn between good runs, and nothing is read for it."""
    beats, memory = image(rng, 128, 4)
    good = {"base": BASE, "block": 3, "blocks": 5, "planes": 4, "keep": 2}
    order = [good, good | fault, good | fault, good]
    result = bulk_model("store.fetcher").run(
        {"i": {name: np.array([run[name] for run in order]) for name in good}},
        memory=Memory(data=memory, base=BASE, latency=9),
    )
    values = result["o"].values
    one = np.ones(2, bool)
    last, end = last_beats([5], [2])
    none = np.zeros(10, bool)
    assert np.array_equal(values["error"], np.concatenate([none, one, none]))
    assert np.array_equal(values["last"], np.concatenate([last, one, last]))
    assert np.array_equal(values["end"], np.concatenate([end, one, end]))
    assert result.traffic["m_axi"].bytes == 2 * 5 * 2 * 64
    got = octets(values["bits"])
    wanted = beats[3:8, :2].reshape(-1, 64)
    assert np.array_equal(got[:10], wanted)
    assert np.array_equal(got[12:], wanted)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"planes_max": 17}, "planes_max must be between 1 and 16, not 17."),
        ({"blocks_per_row": 96}, "blocks_per_row must be a power of two, not 96."),
        ({"buffer_beats": 32}, "buffer_beats must be at least 4 * planes_max = 64, not 32."),
        ({"address_bits": 13}, "address_bits must be between 14 and 64, not 13."),
    ],
)
def test_parameters_are_checked(settings, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parameters("store.fetcher", **settings)


def test_row_of_one_block(rng):
    """blocks_per_row = 1: the planes of a block lie side by side."""
    settings = {"blocks_per_row": 1, "planes_max": 4, "buffer_beats": 16}
    beats, memory = image(rng, 40, 4, 1)
    result = bulk_model("store.fetcher", **settings).run(
        {"i": runs([3], [30], 4, 3)}, memory=Memory(data=memory, base=BASE, latency=3)
    )
    assert np.array_equal(octets(result["o"].values["bits"]), beats[3:33, :3].reshape(-1, 64))


def test_bench_with_axi_ram():
    run_bench("store.fetcher", "tb.store.fetcher_tb")
