"""Block memory in cocotb, against a list."""

import random

import cocotb
from cocotb.triggers import FallingEdge

from tb.bench import bench_parameters
from tb.streams import start


@cocotb.test()
async def random_traffic(dut):
    """Reads and writes at random, often of the same row: the old row is read, and kept."""
    rng, p = random.Random(cocotb.RANDOM_SEED), bench_parameters()
    rows, shown, collisions = [0] * p.depth, None, 0
    await start(dut)
    for _ in range(5000):
        write, read = rng.random() < 0.5, rng.random() < 0.5
        where, value = rng.randrange(p.depth), rng.getrandbits(p.width)
        source = where if rng.random() < 0.3 else rng.randrange(p.depth)
        dut.write_enable.value, dut.write_address.value = write, where
        dut.write_data.value = value
        dut.read_enable.value, dut.read_address.value = read, source
        await FallingEdge(dut.clk)
        if read:
            shown = rows[source]
            collisions += write and source == where
        if write:
            rows[where] = value
        if shown is not None:
            assert int(dut.read_data.value) == shown
    assert collisions > 100
