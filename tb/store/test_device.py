"""The store's device behind a host with a golden device beside it."""

import functools
import random

import pytest

from lamina_sim import verilated
from lamina_sim.golden import store
from tb.bench import generate, seeds
from tb.store import device_scenarios as scenarios
from tb.store.cycle import ByHand, run


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


@pytest.mark.parametrize("form", store.FORMATS.values(), ids=store.FORMATS.keys())
def test_every_line(device, seeded, form):
    async def scenario():
        setup = scenarios.random_setup(seeded, formats=[form], views_each=6)
        host = await scenarios.begin(device, ByHand(device), seeded, setup)
        await scenarios.every_line(host)

    run(scenario())
