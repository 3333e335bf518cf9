"""The device behind a host that knows what must come back, and a memory that takes its time."""

import random

import cocotb

from tb.store.device_host import Host, random_setup
from tb.streams import start


async def begin(dut, rng, setup=None, **options):
    windows, decoders, data = setup or random_setup(rng)
    host = Host(dut, rng, windows, decoders, data, **options)
    await start(dut)
    await host.program()
    return host


@cocotb.test()
async def every_line_of_every_view(dut):
    """All lines of some blocks, in order, through views of all formats."""
    rng = random.Random(cocotb.RANDOM_SEED)
    host = await begin(dut, rng)
    for window in host.windows:
        for line in range(3 * window.view.lines):
            host.read(host.address(window.base + 64 * line))
    await host.drain()
    await host.check()
