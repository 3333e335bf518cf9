"""The store's device behind a host with a golden device beside it."""

import functools
import os
import random

import pytest

from lamina_sim import verilated
from lamina_sim.golden import store
from tb.bench import generate, parameters, run_bench, seeds
from tb.store import device_scenarios as scenarios
from tb.store.cycle import ByHand, run
from tb.store.device_traffic import random_traffic

#: Messages of all random runs together; LAMINA_MESSAGES=2000000 for a long night.
MESSAGES = int(os.environ.get("LAMINA_MESSAGES", "100000"))


@functools.cache
def model():
    """Little is gained by optimizing: most of the time is the host's."""
    _, paths = generate("store.device", {})
    return verilated.build(paths["json"], optimize="-O0")


@pytest.fixture
def device():
    """The module out of reset, to be stepped by hand."""
    with model().stepped() as dut:
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
    assert counted["fetched_blocks"] == 3 * len(setup[0])


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
    for what in ("joined_reads", "partial_writes", "read_errors", "write_errors"):
        assert counted[what]


@pytest.mark.parametrize(("kind", "keep", "more"), [("planes", 4, 0), ("container", 5, 6 + 4)])
@pytest.mark.parametrize("latency", [1, 7, 40])
def test_latency(device, seeded, latency, kind, keep, more):
    """``more``: lines that are formed wait for the other planes, and take six ranks."""
    cycles, wait = play(
        device, seeded, scenarios.first_line, setup=scenarios.plain_setup(kind, keep),
        latency=(latency, latency),
    )  # fmt: skip
    assert cycles - wait == parameters("store.device").latency + more


@pytest.mark.parametrize(("kind", "keep"), [("planes", 4), ("packed", 4), ("full", 8)])
def test_a_stream_of_lines_comes_at_one_a_cycle(device, seeded, kind, keep):
    lines, cycles = play(
        device, seeded, scenarios.streaming, setup=scenarios.plain_setup(kind, keep),
        latency=(20, 20),
    )  # fmt: skip
    assert lines / cycles > 0.95


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


def test_registers(device, seeded):
    play(device, seeded, scenarios.registers)


def test_poison_registers(device, seeded):
    setup = scenarios.plain_setup("packed", 3)
    entries = parameters("store.device").poison_entries
    play(device, seeded, scenarios.poison_registers, entries, setup=setup)


@pytest.mark.slow
def test_bench():
    """Building it for cocotb takes minutes."""
    run_bench("store.device", "tb.store.device_tb")
