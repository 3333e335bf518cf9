"""CPI's channels: nothing lost or changed, every credit accounted for, what is wrong counted."""

import random

import pytest

from lamina_gen.device.ends import ByHand, run
from tb.bench import bulk_model, parameters, run_bench, seeds
from tb.store import cpi_peers as peers


@pytest.fixture
def seeded(request):
    return random.Random(seeds(request.node.nodeid))


def play(rng, scenario, *arguments, **options):
    with bulk_model("store.cpi").stepped() as dut:
        dut.reset()
        return run(scenario(peers.Link(dut, ByHand(dut), rng, **options), *arguments))


def all_credits():
    p = parameters("store.cpi")
    return p.req_credits, p.data_credits


@pytest.mark.parametrize("idle", [0.0, 0.4])
@pytest.mark.parametrize("stall", [0.0, 0.4, 0.8])
def test_traffic(seeded, idle, stall):
    assert play(seeded, peers.traffic, 600, idle=idle, stall=stall) == all_credits()


def test_rate_and_latency(seeded):
    cycles = play(seeded, peers.full_rate)
    assert set(cycles.values()) == {199}


def test_violations(seeded):
    assert play(seeded, peers.violations) == all_credits()


@pytest.mark.parametrize("stall", [0.0, 0.7])
def test_reconnect(seeded, stall):
    assert play(seeded, peers.reconnect, stall=stall) == all_credits()


def test_reset_in_mid_stream(seeded):
    with bulk_model("store.cpi").stepped() as dut:
        dut.reset()
        link = peers.Link(dut, ByHand(dut), seeded, idle=0.2, stall=0.2)
        link.send(100)
        run(link.steps(60))
        dut.reset()
        link = peers.Link(dut, ByHand(dut), seeded, idle=0.2, stall=0.2)
        assert run(peers.traffic(link, 200)) == all_credits()


def test_bench():
    run_bench("store.cpi", "tb.store.cpi_tb")
