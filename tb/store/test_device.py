"""The store's device behind a host with a golden device beside it."""

import os
import random

import pytest

from lamina_gen.bench import store as bench
from lamina_gen.device import litedram, measure
from lamina_gen.device.ends import ByHand, run
from lamina_gen.device.host import DRS, line_at, pack
from lamina_gen.device.traffic import random_traffic
from lamina_sim.golden import store
from tb.bench import bulk_model, parameters, run_bench, seeds
from tb.store import device_scenarios as scenarios

#: Messages of all random runs together; LAMINA_MESSAGES=2000000 for a long night.
MESSAGES = int(os.environ.get("LAMINA_MESSAGES", "100000"))


@pytest.fixture
def device():
    """The module out of reset, to be stepped by hand."""
    with bulk_model("store.device").stepped() as dut:
        dut.reset()
        yield dut


@pytest.fixture
def seeded(request):
    return random.Random(seeds(request.node.nodeid))


def play(device, rng, scenario, *arguments, setup=None, **options):
    """Program a device and let a scenario happen to it."""

    async def all_of_it():
        host = await scenarios.begin(device, ByHand(device), rng, setup, **options)
        return await scenario(host, *arguments)

    return run(all_of_it())


@pytest.mark.parametrize("form", store.FORMATS.values(), ids=store.FORMATS.keys())
def test_every_line(device, seeded, form):
    setup = scenarios.random_setup(seeded, formats=[form], views_each=6)
    counted = play(device, seeded, scenarios.every_line, setup=setup)
    # Lines that are read one behind the other share their block.
    assert counted["fetched_blocks"] - counted["prefetched_blocks"] == 3 * len(setup[0])


def test_an_isolated_read_costs_the_planes_of_its_view(device, seeded):
    costs = play(device, seeded, scenarios.isolated_reads)
    assert all(planes == beats for planes, beats in costs)


@pytest.mark.parametrize("latency", [(1, 1), (1, 60)], ids=str)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_random_traffic(device, seeded, latency, stall):
    counted = play(
        device, seeded, random_traffic, MESSAGES // 4,
        latency=latency, stall=stall, idle=stall,
    )  # fmt: skip
    kinds = ("joined_reads", "partial_writes", "read_errors", "write_errors", "prefetched_blocks")
    for what in kinds:
        assert counted[what]


@pytest.mark.parametrize(
    ("kind", "keep", "more", "least"), [("planes", 4, 0, 5), ("container", 5, 13 + 5, 3)]
)
@pytest.mark.parametrize("latency", [1, 7, 40])
def test_latency(device, seeded, latency, kind, keep, more, least):
    """``more``: formed lines wait for the other planes, and take 11 ranks, a queue and a choice.

    ``least``: planning a read takes as long as a memory of five cycles does, and its beats are
    taken no earlier than one of three would send them.
    """
    cycles, _ = play(
        device, seeded, measure.first_line, setup=measure.plain_setup(kind, keep),
        latency=(latency, latency),
    )  # fmt: skip
    assert cycles == parameters("store.device").latency + more + max(latency, least)


@pytest.mark.parametrize(
    ("kind", "keep", "rate"),
    [
        ("planes", 1, 1),
        ("packed", 1, 1),
        ("planes", 4, 1),
        ("full", 8, 1),
        ("packed", 4, 1),
        ("packed", 3, 1),
        ("packed", 5, 1),
        ("packed", 6, 1),
        ("packed", 7, 1),
    ],
)
def test_rate_of_a_stream_of_lines(device, seeded, kind, keep, rate):
    stream = play(
        device, seeded, measure.streaming, setup=measure.plain_setup(kind, keep, blocks=160),
        latency=(20, 20),
    )  # fmt: skip
    assert stream.beats == 160 * keep
    assert stream.lines_per_cycle == pytest.approx(rate, rel=0.05)


def test_rate_behind_a_slow_memory(device, seeded):
    """Every block of a plane is another order: they go out one a cycle, and hold no slot longer."""
    stream = play(
        device, seeded, measure.streaming, setup=measure.plain_setup("planes", 1, blocks=320),
        latency=(36, 36),
    )  # fmt: skip
    assert stream.lines_per_cycle == pytest.approx(1, rel=0.05)


def test_a_block_that_is_always_waited_for(device, seeded):
    """It stays while all others of the buffer are fetched many times: no count may run over."""
    setup = measure.plain_setup("container", 16, store.BF16)
    counted = play(device, seeded, scenarios.always_waited_for, setup=setup, latency=(30, 30))
    assert counted["fetched_blocks"] == 220


@pytest.mark.slow
def test_more_reads_of_a_block_than_their_queue_has_places(seeded):
    """They wait behind it too: no count of theirs may run over."""
    windows, decoders, data = measure.plain_setup("planes", 8, blocks=512)
    setup = windows, decoders, seeded.randbytes(len(data))
    with bulk_model("store.device", reads=8, blocks=8).stepped() as small:
        small.reset()
        counted = play(small, seeded, scenarios.crowded, setup=setup, latency=(2, 10))
    assert counted["prefetched_blocks"]


@pytest.mark.parametrize(("kind", "keep"), [("planes", 4), ("packed", 3), ("full", 8)])
def test_blocks_ahead_of_a_stream(device, seeded, kind, keep):
    """A host of few reads at a time gets more lines, and none is fetched in vain or twice."""
    found = {}
    for depth in (0, 8):
        device.reset()
        stream, counted = play(
            device, seeded, scenarios.sweep, 96, depth, 16, latency=(60, 60),
            setup=measure.plain_setup(kind, keep, blocks=96),
        )  # fmt: skip
        assert stream.beats == 96 * keep
        assert counted["unread_blocks"] == 0
        assert bool(counted["prefetched_blocks"]) == bool(depth)
        found[depth] = stream.lines_per_cycle
    assert found[8] > 1.8 * found[0]


def test_nothing_is_fetched_ahead_of_single_reads(device, seeded):
    """Two blocks side by side are no stream, nor are three that come in another order."""

    async def scenario(host):
        window = host.windows[1]
        for block in (3, 4, 20, 22, 21, 40, 41, 60, 59, 58):
            host.read(line_at(host, window, block, 0))
            await host.drain()
        return await host.check()

    counted = play(device, seeded, scenario, setup=measure.plain_setup("container", 4))
    assert counted["prefetched_blocks"] == 0
    assert counted["read_beats"] == 40


@pytest.mark.parametrize("latency", [1, 25])
def test_blocks_ahead_and_a_view_that_moves(device, seeded, latency):
    windows, decoders, data = measure.plain_setup("container", 8)
    setup = windows, decoders, data + seeded.randbytes(len(data))
    counted = play(
        device, seeded, scenarios.view_moves, setup=setup, latency=(latency, latency)
    )  # fmt: skip
    assert counted["prefetched_blocks"]


def test_no_read_waits_for_a_write(device, seeded):
    play(device, seeded, scenarios.writes_held)


def test_reset_in_mid_stream(device, seeded):
    """What was under way is forgotten; what comes then is as after power-up."""
    for messages in (50, 333, 600):
        play(device, seeded, random_traffic, messages, False, latency=(1, 30))
        device.reset()
    play(device, seeded, random_traffic, 600, latency=(1, 30))


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_failing_planes(device, seeded, stall):
    counted = play(device, seeded, scenarios.failing_planes, stall=stall)
    assert counted["read_errors"]
    assert counted["write_errors"]


@pytest.mark.parametrize("latency", [(1, 1), (1, 30)], ids=str)
def test_a_write_is_seen_once_it_is_answered(device, seeded, latency):
    setup = scenarios.random_setup(seeded, blocks=6)
    raced = play(device, seeded, scenarios.seen_once_answered, setup=setup, latency=latency)
    assert raced


@pytest.mark.parametrize("kind", ["planes", "container", "packed", "nothing"])
def test_a_view_that_changes_under_a_partial_write(device, seeded, kind):
    other = None if kind == "nothing" else store.View(kind=kind, format=store.INT8, keep=3)
    setup = measure.plain_setup("planes", 3)
    play(
        device, seeded, scenarios.view_changes_under_a_partial_write, other, setup=setup,
        latency=(1, 20),
    )  # fmt: skip


def test_registers(device, seeded):
    play(device, seeded, scenarios.registers)


def test_poison_registers(device, seeded):
    setup = measure.plain_setup("packed", 3)
    entries = parameters("store.device").poison_entries
    play(device, seeded, scenarios.poison_registers, entries, setup=setup)


def test_what_is_wrong_is_counted(device, seeded):
    """The host's own eyes: a byte that memory does not have, a lost answer, one too many."""

    async def scenario(host):
        host.strict = False
        line = host.golden.memory
        line ^= 1
        tag = host.read(line_at(host, host.windows[1], 3, 0))
        await host.drain()
        assert host.wrong == {"corrupted": 1}
        host._data(pack(DRS, {"tag": tag}), 0)
        assert host.wrong == {"corrupted": 1, "duplicated": 1}
        line ^= 1
        host.read(line_at(host, host.windows[1], 4, 0))
        host.req.queue.clear()
        host.req.holding = False
        await host.drain(timeout=100)
        assert host.wrong == {"corrupted": 1, "duplicated": 1, "lost": 1}

    play(device, seeded, lambda host: scenario(host), setup=measure.plain_setup("packed", 3))


def on_litedram(device, rng, scenario, setup, **options):
    """Let a scenario happen to a device on LiteDRAM, which its host has filled."""

    async def all_of_it():
        host = await litedram.begin(device, memory, rng, setup, **options)
        return await scenario(host)

    with litedram.build().stepped() as memory:
        memory.reset()
        return run(all_of_it())


def test_random_traffic_on_litedram(device, seeded):
    """Refresh, turns from reads to writes, and banks that are busy are LiteDRAM's own."""

    async def scenario(host):
        return await random_traffic(host, 1500, failing=0, partial=0.6)

    setup = scenarios.random_setup(seeded, blocks=12, views_each=3)
    counted = on_litedram(device, seeded, scenario, setup, idle=0.2, stall=0.2)
    assert counted["joined_reads"]
    assert counted["partial_writes"]


def test_streams_on_litedram():
    """`lamina bench store`: bytes and rows are k / N, while LiteDRAM refreshes."""
    found = bench.on_litedram(bulk_model("store.device"), (1, 3, 8), blocks=256)
    assert found["bytes_ratio"] == {"1": 1 / 8, "3": 3 / 8, "8": 1}
    assert found["row_activation_ratio"] == found["bytes_ratio"]
    assert any(found["refreshed_rows"].values())
    added = found["read_latency_cycles"]["first_line_added"]
    assert set(added.values()) == {parameters("store.device").latency}


def test_figures():
    """`lamina bench store`, one view of each kind and some messages."""
    found = bench.figures(
        bulk_model("store.device"), {"int8": [3]}, 400, lambda text, part: None, [("planes", 4)]
    )
    exact = {k: {"3": 3 / 8} for k in ("planes", "packed", "container")}
    assert found["bytes_ratio"]["int8"] == exact
    assert found["row_activation_ratio"]["int8"] == exact
    for part in found["energy_ratio"]["int8"].values():
        assert part == pytest.approx({"3": 3 / 8})
    for row in found["few_reads"]:
        assert row["bytes_ratio_ahead_0"] == row["bytes_ratio_ahead_8"] == 4 / 8
        assert row["lines_per_cycle_ahead_8"] > 1.2 * row["lines_per_cycle_ahead_0"]
    assert found["isolated_read_beats"]["int8"]["container"] == {"3": 3}
    assert found["link_lines_per_block"]["int8"]["packed"] == {"3": 3}
    added = found["read_latency_cycles"]["first_line_added"]["int8"]
    assert added["planes"] == {"3": parameters("store.device").latency}
    assert 0.95 < found["bus_utilization"]["int8"]["planes"]["3"] <= 1
    assert found["fuzz_transactions"] >= 400
    assert not any(found[f"fuzz_{kind}"] for kind in ("lost", "duplicated", "corrupted"))


@pytest.mark.slow
def test_bench():
    """On a smaller device than the others: other widths, and buffers that are full at once."""
    small = {"blocks": 8, "reads": 16, "write_blocks": 2, "writes": 8, "poison_entries": 16}
    run_bench("store.device", "tb.store.device_tb", small)
