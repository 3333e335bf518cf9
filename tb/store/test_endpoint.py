"""The device behind CPI: the same host and golden device, its messages on channels with credits."""

import random

import pytest

from lamina_gen.device import measure
from lamina_gen.device.ends import ByHand, run
from lamina_gen.device.traffic import random_traffic
from tb.bench import bulk_model, parameters, run_bench, seeds
from tb.store import device_scenarios as scenarios
from tb.store.cpi_link import CpiLink

#: A small one: its buffers and credits are used up all the time, and it is soon built.
SMALL = {"blocks": 8, "reads": 16, "write_blocks": 2, "writes": 8, "req_credits": 5}


@pytest.fixture(scope="module")
def model():
    return bulk_model("store.endpoint", **SMALL)


@pytest.fixture
def seeded(request):
    return random.Random(seeds(request.node.nodeid))


def play(model, rng, scenario, *arguments, link=None, **options):
    async def all_of_it(dut):
        host = await scenarios.begin(dut, ByHand(dut), rng, link=link or CpiLink(), **options)
        return await scenario(host, *arguments)

    with model.stepped() as dut:
        dut.reset()
        return run(all_of_it(dut))


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_random_traffic(model, seeded, stall):
    counted = play(model, seeded, random_traffic, 1200, stall=stall, idle=stall, latency=(1, 30))
    assert counted["malformed"]


@pytest.mark.parametrize("wrong", [0.0, 0.2])
def test_what_the_link_drops_is_in_the_registers(model, seeded, wrong):
    """Messages with wrong parity between good ones: each is counted, no good one is lost."""
    link = CpiLink(wrong)

    async def scenario(host):
        assert await host.read_register("link") == 0
        await random_traffic(host, 600)
        found = await host.read_register("link")
        return found & 0xFFFF, found >> 31

    found = play(model, seeded, scenario, link=link, idle=0.2, latency=(1, 30))
    assert found == (link.sent_wrong, bool(wrong))


def test_first_line(model, seeded):
    cycles, wait = play(
        model, seeded, measure.first_line, setup=measure.plain_setup("planes", 4), latency=(9, 9)
    )
    assert cycles - wait == parameters("store.endpoint", **SMALL).latency


def test_a_host_that_leaves_and_comes_back(model, seeded):
    """Its credits are void meanwhile; messages that were taken are answered."""

    async def scenario(host):
        for round_ in range(20):
            window = host.windows[round_ % len(host.windows)]
            for block in range(4):
                host.read(host.address(window.base + 64 * block * window.view.lines))
            await host.drain()
            host.dut.f2a_txcon_req.value = 0
            for _ in range(20):
                await host.stepper.step()
            for source in (host.req, host.rwd):
                source.credits = 0
            host.dut.f2a_txcon_req.value = 1
        assert await host.read_register("link") == 0
        return await host.check()

    assert play(model, seeded, scenario)["reads"] == 80


@pytest.mark.slow
def test_bench():
    run_bench("store.endpoint", "tb.store.endpoint_tb", SMALL)
