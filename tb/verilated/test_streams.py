"""Data, cycles, stalls, resets and errors of streams through the bulk driver."""

import threading

import numpy as np
import pytest

from lamina_sim.verilated import ProtocolError, StuckError, ports
from tb.verilated import designs

GRID = [0.0, 0.1, 0.5, 0.9]


@pytest.fixture
def pairs(rng):
    return {"a": rng.integers(-(2**15), 2**15, 3000), "b": rng.integers(0, 2**13, 3000)}


def same(one, other):
    """All that two runs report, data and cycles, is the same."""
    return (
        one.cycles == other.cycles
        and one.signals == other.signals
        and all(np.array_equal(one[n].words, other[n].words) for n in one.outputs)
        and all(np.array_equal(one[n].cycles, other[n].cycles) for n in one.outputs)
        and all(np.array_equal(one.accepted[n], other.accepted[n]) for n in one.accepted)
    )


@pytest.mark.parametrize("idle", GRID)
@pytest.mark.parametrize("back", GRID)
def test_stalls_change_no_data(model, pairs, idle, back):
    adder = model("adder", designs.ADDER)
    result = adder.run({"i": pairs}, outputs={"o": 3000}, stall={"i": idle, "o": back}, seed=3)
    assert np.array_equal(result["o"].values, pairs["a"] + pairs["b"])
    assert result.signals["count"] == 3000
    assert result.cycles == result["o"].cycles[-1] + 1
    fastest, slowest = max(1 / (1 - idle), 1 / (1 - back)), 1 / (1 - idle) + 1 / (1 - back)
    assert 0.85 * fastest < result.cycles / 3000 < 1.15 * slowest


def test_cycles_of_transfers(model, pairs):
    result = model("adder", designs.ADDER).run({"i": pairs}, outputs={"o": 3000})
    assert np.array_equal(result.accepted["i"], np.arange(3000))
    assert np.array_equal(result["o"].cycles, np.arange(3000) + 1)


def test_stall_has_its_probability(model):
    # Nothing holds the input back, so the gaps are the driver's alone: 20,000 draws, 10 sigma.
    sums = model("sum", designs.SUM, take="i__valid & i__ready", reset="rst")
    words = np.zeros(20_000, np.uint32)
    for stall in (0.25, 0.75):
        cycles = sums.run({"i": words}, outputs={"o": 20_000}, stall={"i": stall}).cycles
        sigma = np.sqrt(stall * (1 - stall) / cycles)
        assert abs(1 - 20_000 / cycles - stall) < 10 * sigma
        cycles = sums.run({"i": words}, outputs={"o": 20_000}, stall={"o": stall}).cycles
        assert abs(1 - 20_000 / cycles - stall) < 10 * sigma


def test_seed_replays(model, pairs):
    adder = model("adder", designs.ADDER)
    runs = [adder.run({"i": pairs}, stall=0.4, seed=seed) for seed in (11, 11, 12)]
    assert same(runs[0], runs[1])
    assert not np.array_equal(runs[0].accepted["i"], runs[2].accepted["i"])
    assert np.array_equal(runs[0]["o"].words, runs[2]["o"].words)


def test_constant_reaches_the_design(model, pairs):
    adder = model("adder", designs.ADDER)
    result = adder.run({"i": pairs}, constants={"bias": -5000})
    assert np.array_equal(result["o"].values, pairs["a"] + pairs["b"] - 5000)


def test_2048_bits(model, rng):
    data = rng.integers(0, 2**32, (500, 64), dtype=np.uint32)
    result = model("wide", designs.WIDE).run({"i": data}, outputs={"o": 500}, stall=0.3)
    for given, got in zip(data, result["o"].words, strict=True):
        number = int.from_bytes(given.tobytes(), "little")
        turned = (number << 40 | number >> 2008) & (1 << 2048) - 1
        assert int.from_bytes(got.tobytes(), "little") == turned ^ (1 << 2048) - 1


def test_beats_without_payload(model):
    halve = model("halve", designs.HALVE)
    result = halve.run({"i": 101}, stall=0.2, drain=50)
    assert len(result.accepted["i"]) == 101
    assert len(result["o"]) == 50
    assert result["o"].words.shape == (50, 0)


def test_uncounted_output_takes_all_and_extra_beats_show(model, pairs):
    adder = model("adder", designs.ADDER)
    assert len(adder.run({"i": pairs})["o"]) == 3000
    assert len(adder.run({"i": pairs}, outputs={"o": None})["o"]) == 3000
    assert len(adder.run({"i": pairs}, outputs={"o": 7})["o"]) == 7
    assert len(adder.run({})["o"]) == 0


@pytest.mark.parametrize("reset_at", [0, 1, 2, 3, 50, 777, 100_000])
def test_run_after_reset_equals_fresh_run(model, pairs, reset_at):
    adder = model("adder", designs.ADDER)
    settings = {"outputs": {"o": 3000}, "stall": {"i": 0.3, "o": 0.4}, "seed": 5}
    fresh = adder.run({"i": pairs}, **settings)
    assert same(fresh, adder.run({"i": pairs}, reset_at=reset_at, **settings))


def test_missing_reset_is_found(model):
    """A register that only its initial value clears: a fresh run alone does not show it."""
    good = model("sum", designs.SUM, take="i__valid & i__ready", reset="rst")
    bad = model("keeps", designs.SUM, take="i__valid & i__ready", reset="1'b0")
    words = np.arange(1, 101, dtype=np.uint32)
    fresh = good.run({"i": words})
    assert same(fresh, bad.run({"i": words}))
    assert same(fresh, good.run({"i": words}, reset_at=50))
    assert not same(fresh, bad.run({"i": words}, reset_at=50))


def test_random_initial_values_find_a_missing_reset(model):
    parts = {"take": "i__valid & i__ready", "random_initial": True}
    good = model("sum", designs.SUM, reset="rst", **parts)
    bad = model("keeps", designs.SUM, reset="1'b0", **parts)
    words = np.arange(1, 101, dtype=np.uint32)
    sums = np.cumsum(words) - words
    firsts = set()
    for seed in range(5):
        assert np.array_equal(good.run({"i": words}, seed=seed)["o"].values, sums)
        firsts.add(int(bad.run({"i": words}, seed=seed)["o"].values[0]))
    assert len(firsts) > 1


def test_idle_payload_is_garbage(model):
    """A design that takes payloads without valid gives wrong sums once the input idles."""
    good = model("sum", designs.SUM, take="i__valid & i__ready", reset="rst")
    bad = model("blind", designs.SUM, take="i__ready", reset="rst")
    words = np.ones(100, np.uint32)
    assert same(good.run({"i": words}), bad.run({"i": words}))
    stalled = [design.run({"i": words}, stall={"i": 0.3}) for design in (good, bad)]
    assert np.array_equal(stalled[0]["o"].values, np.arange(100))
    assert not np.array_equal(stalled[1]["o"].values, np.arange(100))


def test_stuck_port_is_named(model):
    stuck = model("stuck", designs.STUCK)
    words = np.arange(10, dtype=np.uint32)
    with pytest.raises(StuckError, match=r"input i_data \(5 of 10 .*output o \(5 of 9 ") as info:
        stuck.run({"i_data": words}, outputs={"o": 9}, timeout=100)
    assert info.value.transfers == {"i_data": 5, "o": 5}
    with pytest.raises(StuckError, match=r"transfer: output o \(0 of 1 beats given\)"):
        stuck.run({}, outputs={"o": 1}, timeout=100)
    assert np.array_equal(stuck.run({"i_data": words[:5]})["o"].values, np.arange(5))


def test_endless_run_ends_at_max_cycles(model):
    free = model("free", designs.RUDE, payload="0", valid="1")
    with pytest.raises(StuckError, match=r"Stuck in cycle 5000, 0 cycles after .* limit of cycles"):
        free.run(max_cycles=5000)


def test_broken_contract_is_found(model):
    moving = model("moving", designs.RUDE, payload="count", valid="1")
    assert np.array_equal(moving.run(outputs={"o": 100})["o"].values, np.arange(100))
    with pytest.raises(ProtocolError, match=r"^o must hold its payload while it is stalled"):
        moving.run(outputs={"o": 100}, stall=0.5)
    fleeting = model("fleeting", designs.RUDE, payload="0", valid="count[0]")
    with pytest.raises(ProtocolError, match=r"^o must stay valid until it is taken"):
        fleeting.run(outputs={"o": 100}, stall=0.5)


def test_two_models_and_two_threads_do_not_mix(model, pairs):
    adder = model("adder", designs.ADDER)
    wide = model("wide", designs.WIDE)
    results = {}

    def work(seed):
        results[seed] = adder.run({"i": pairs}, stall=0.2, seed=seed)
        wide.run({"i": np.zeros((100, 64), np.uint32)}, outputs={"o": 100})

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert same(results[seed], adder.run({"i": pairs}, stall=0.2, seed=seed))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"inputs": {"j": [1]}}, r"An input stream must be one of \['i'\], not 'j'\."),
        ({"inputs": {"o": [1]}}, r"An input stream must be one of \['i'\], not 'o'\."),
        ({"outputs": {"i": 1}}, r"An output stream must be one of \['o'\], not 'i'\."),
        ({"constants": {"bais": 1}}, r"A plain input must be one of \['bias'\], not 'bais'\."),
        ({"constants": {"bias": 1 << 17}}, r"bias must be between -131072 and 131071, not 131072"),
        ({"stall": {"x": 0.5}}, r"A port with stall must be one of \['i', 'o'\], not 'x'\."),
        ({"stall": {"o": 1.5}}, r"stall of o must be a probability from 0 to 1, not 1\.5\."),
        ({"inputs": {"i": np.zeros((3, 2), np.uint32)}}, r"uint32 \[n, 1\], not \[3, 2\]\."),
        ({"inputs": {"i": np.full((3, 1), 1 << 29, np.uint32)}}, "i must fit in 29 bits"),
        ({"inputs": {"i": {"a": [1]}}}, r"i must have the fields \['a', 'b'\], not \['a'\]\."),
        ({"inputs": {"i": {"a": [1], "b": [8192]}}}, r"i\.b must be between 0 and 8191, not 8192"),
        ({"inputs": {"i": {"a": [1, 2], "b": [1]}}}, r"fields of one length, not \[1, 2\]\."),
        ({"outputs": {"o": -1}}, r"transfers of o must be at least 0, not -1\."),
        ({"outputs": {"o": 1 << 70}}, r"transfers of o must be at most \d+, not \d+\."),
        ({"seed": -1}, r"seed must be at least 0, not -1\."),
        ({"timeout": 0}, r"timeout must be at least 1, not 0\."),
        ({"memory": np.zeros(64, np.uint8)}, r"memory must name one of the ports \[\]\."),
    ],
)
def test_bad_arguments_are_named(model, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        model("adder", designs.ADDER).run(**arguments)


def test_wrong_types_are_named(model):
    adder = model("adder", designs.ADDER)
    with pytest.raises(TypeError, match=r"i\.a must be integers, not float64\."):
        adder.run({"i": {"a": [0.5], "b": [1]}})
    with pytest.raises(TypeError, match=r"seed must be an integer, not float\."):
        adder.run(seed=1.0)


def test_words_and_values_are_the_same_input(model, pairs):
    adder = model("adder", designs.ADDER)
    words = ports.pack(designs.PAIR, pairs)
    assert same(adder.run({"i": pairs}), adder.run({"i": words}))
