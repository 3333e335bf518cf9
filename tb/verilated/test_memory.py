"""The AXI4 read memory behind a master that passes requests and answers through."""

import numpy as np
import pytest

from lamina_sim.verilated import Memory, ProtocolError, StuckError
from tb.verilated import designs

BEAT = 64
SIZE = 1 << 16


@pytest.fixture
def reader(model):
    return model("reader", designs.READER)


@pytest.fixture
def contents(rng):
    return rng.integers(0, 256, SIZE, dtype=np.uint8)


def requests(addresses, lengths, ids=0):
    """Payloads that ask for bursts of `lengths` beats."""
    return {"i": {"address": addresses, "id": ids, "length": np.asarray(lengths) - 1}}


def random_requests(rng, count):
    """Bursts in random places, none across 4 KiB, and the beats that they read."""
    first = rng.integers(0, SIZE // BEAT, count)
    length = 1 + rng.integers(0, 64 - first % 64)
    beats = np.concatenate([np.arange(f, f + n) for f, n in zip(first, length, strict=True)])
    return first * BEAT, length, beats


@pytest.mark.parametrize("stall", [0.0, 0.3, {"m_axi": 0.5, "o": 0.2}, {"m_axi.r": 0.8}])
@pytest.mark.parametrize("latency", [1, 2, 37])
def test_data_is_right(reader, contents, rng, stall, latency):
    addresses, lengths, beats = random_requests(rng, 100)
    result = reader.run(
        requests(addresses, lengths), memory=contents, memory_latency=latency, stall=stall
    )
    answer = result["o"].values
    assert np.array_equal(answer["data"], contents.reshape(-1, BEAT)[beats])
    assert not answer["response"].any()
    assert np.array_equal(np.flatnonzero(answer["last"]), np.cumsum(lengths) - 1)
    traffic = result.traffic["m_axi"]
    assert (traffic.bursts, traffic.beats, traffic.bytes) == (100, beats.size, beats.size * BEAT)
    assert (traffic.slverr, traffic.decerr) == (0, 0)
    assert np.array_equal(traffic.addresses, addresses)
    assert np.array_equal(traffic.lengths, lengths)
    assert (traffic.first_beat, traffic.last_beat) == tuple(result["o"].cycles[[0, -1]])


@pytest.mark.parametrize("latency", [1, 2, 100])
def test_latency_is_exact_and_pipelined(reader, contents, latency):
    asked = requests(np.arange(200) * BEAT, np.ones(200, int))
    result = reader.run(asked, memory=contents, memory_latency=latency)
    assert np.array_equal(result["o"].cycles, result.accepted["i"] + latency)
    assert result.cycles == 200 + latency


def test_stalls_have_their_probability(reader, contents):
    asked = requests(np.zeros(5000, int), np.ones(5000, int))
    for stall in ({"m_axi.ar": 0.5}, {"m_axi.r": 0.5}):
        cycles = reader.run(asked, memory=contents, stall=stall).cycles
        assert 9300 < cycles < 10700
    both = reader.run(asked, memory=contents, stall={"m_axi.ar": 0.9, "m_axi.r": 0.0})
    assert np.all(both["o"].cycles == both.accepted["i"] + 1)


def test_base_and_ends_of_the_memory(reader, contents):
    memory = Memory(data=contents[: 3 * BEAT], base=0x1000)
    asked = requests(0x1000 + BEAT * np.arange(-1, 4), np.ones(5, int))
    result = reader.run(asked, memory=memory)
    answer = result["o"].values
    assert answer["response"].tolist() == [3, 0, 0, 0, 3]
    assert np.array_equal(answer["data"][1:4].reshape(-1), contents[: 3 * BEAT])
    assert result.traffic["m_axi"].decerr == 2


def test_error_ranges_hit_exactly_their_beats(reader, contents):
    errors = [(3 * BEAT + 63, 3 * BEAT + 64), (5 * BEAT, 7 * BEAT)]
    memory = Memory(data=contents, errors=errors)
    result = reader.run(requests([0], [10]), memory=memory, stall=0.3)
    answer = result["o"].values
    assert np.flatnonzero(answer["response"] == 2).tolist() == [3, 5, 6]
    good = answer["response"] == 0
    assert np.array_equal(answer["data"][good], contents.reshape(-1, BEAT)[:10][good])
    assert not np.array_equal(answer["data"][3], contents.reshape(-1, BEAT)[3])
    assert result.traffic["m_axi"].slverr == 3


@pytest.mark.parametrize("reorder", [0.0, 0.5])
def test_order_holds_within_an_id(reader, contents, rng, reorder):
    addresses, lengths, _ = random_requests(rng, 200)
    ids = rng.integers(0, 4, 200)
    memory = Memory(data=contents, latency=20, reorder=reorder)
    result = reader.run(requests(addresses, lengths, ids), memory=memory, stall=0.2)
    answer = result["o"].values
    for one in range(4):
        beats = [
            np.arange(address // BEAT, address // BEAT + length)
            for address, length in zip(addresses[ids == one], lengths[ids == one], strict=True)
        ]
        data = answer["data"][answer["id"] == one]
        assert np.array_equal(data, contents.reshape(-1, BEAT)[np.concatenate(beats)])
    in_order = np.array_equal(answer["id"], np.repeat(ids, lengths))
    assert in_order == (reorder == 0)


def test_a_burst_across_4_kib_is_an_error(reader, contents):
    fits = requests([4096 - 2 * BEAT], [2])
    assert len(reader.run(fits, memory=contents)["o"]) == 2
    with pytest.raises(ProtocolError, match="m_axi must not cross a 4 KiB boundary with a burst"):
        reader.run(requests([4096 - 2 * BEAT], [3]), memory=contents)


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("arsize = 6", "arsize = 5", "m_axi must read whole beats of 64 bytes"),
        ("arburst = 1", "arburst = 2", "m_axi must use INCR bursts"),
        ("arvalid = i__valid", "arvalid = i__valid & flip", "m_axi must keep arvalid until"),
        ("m_axi_araddr} = i", "m_axi_araddr} = flip + i", "m_axi must hold the address channel"),
    ],
)
def test_broken_axi_rules_are_found(model, contents, right, wrong, sentence):
    verilog, ports = designs.READER
    flip = "reg flip; always @(posedge clk) flip <= rst ? 0 : ~flip; endmodule"
    rude = verilog.replace(right, wrong).replace("endmodule", flip).replace("reader(", "rude(")
    assert rude.count(wrong) == 1
    with pytest.raises(ProtocolError, match=sentence):
        model("rude", (rude, ports)).run(
            requests(np.zeros(50, int), np.ones(50, int)), memory=contents, stall=0.5
        )


def test_unaligned_address_starts_in_its_beat(reader, contents):
    answer = reader.run(requests([BEAT + 8], [2]), memory=contents)["o"].values
    assert np.array_equal(answer["data"], contents.reshape(-1, BEAT)[1:3])


def test_run_after_reset_equals_fresh_run(reader, contents, rng):
    addresses, lengths, _ = random_requests(rng, 50)
    settings = {"memory": contents, "memory_latency": 9, "stall": 0.3, "seed": 8}
    fresh = reader.run(requests(addresses, lengths), **settings)
    again = reader.run(requests(addresses, lengths), reset_at=77, **settings)
    assert np.array_equal(fresh["o"].words, again["o"].words)
    assert np.array_equal(fresh["o"].cycles, again["o"].cycles)
    assert fresh.traffic["m_axi"].bursts == again.traffic["m_axi"].bursts == 50


def test_stuck_memory_port_is_named(reader, contents):
    sentence = r"output o \(0 of 20 beats given\), memory m_axi \(0 of 20 beats taken\)"
    asked = requests([0, 1024], [10, 10])
    with pytest.raises(StuckError, match=sentence) as info:
        reader.run(asked, outputs={"o": 20}, memory=contents, stall={"o": 1.0}, timeout=50)
    assert info.value.transfers == {"i": 2, "o": 0, "m_axi": 2}


@pytest.mark.parametrize(
    ("memory", "error", "sentence"),
    [
        (None, ValueError, "memory must say what port m_axi reads"),
        ({"axi": np.zeros(64, np.uint8)}, ValueError, "A memory port must be one of"),
        (np.zeros(64, np.int8), TypeError, "must be a uint8 array"),
        (np.zeros((2, 64), np.uint8), ValueError, "must be one contiguous axis"),
        (np.zeros(128, np.uint8)[::2], ValueError, "must be one contiguous axis"),
    ],
)
def test_bad_memories_are_named(reader, memory, error, sentence):
    with pytest.raises(error, match=sentence):
        reader.run(requests([0], [1]), memory=memory)


@pytest.mark.parametrize("settings", [{"latency": 0}, {"base": -1}, {"reorder": 2.0}])
def test_bad_settings_are_named(reader, contents, settings):
    name = next(iter(settings))
    with pytest.raises(ValueError, match=f"{name}.* must be "):
        reader.run(requests([0], [1]), memory=Memory(data=contents, **settings))
