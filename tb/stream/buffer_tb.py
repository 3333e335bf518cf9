"""Register slice and queue in cocotb: room, cut paths, stalls, reset in mid-stream."""

import os
import random

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly

from tb.bench import bench_parameters
from tb.streams import Sink, Source, reset, start


def is_queue():
    return os.environ["LAMINA_MODULE"] == "stream.queue"


@cocotb.test()
async def idle_and_stall_grid(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    await start(dut)
    for idle in (0.0, 0.3, 0.8):
        for stall in (0.0, 0.3, 0.8):
            given = [rng.getrandbits(len(dut.i__payload)) for _ in range(200)]
            sending = cocotb.start_soon(Source(dut, "i", idle, rng).send(given))
            assert await Sink(dut, "o", stall, rng).receive(len(given)) == given
            await sending


@cocotb.test()
async def room(dut):
    """With nobody to take them, exactly so many beats go in; then they come out."""
    places = bench_parameters().depth if is_queue() else 2
    await start(dut)
    dut.o__ready.value = 0
    cocotb.start_soon(Source(dut, "i").send(range(1000)))
    for _ in range(3 * places + 5):
        await FallingEdge(dut.clk)
    assert not dut.i__ready.value
    assert int(dut.i__payload.value) == places
    if is_queue():
        assert int(dut.level.value) == places
    assert await Sink(dut, "o").receive(100) == list(range(100))


@cocotb.test()
async def no_path_through(dut):
    """Neither ready nor valid passes in the same cycle, whatever the state."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await start(dut)
    for _ in range(200):
        seen = set()
        for _ in range(2):
            dut.o__ready.value = rng.getrandbits(1)
            dut.i__valid.value = rng.getrandbits(1)
            await ReadOnly()
            seen.add((int(dut.i__ready.value), int(dut.o__valid.value)))
            await cocotb.triggers.Timer(1, "ns")
        assert len(seen) == 1
        await FallingEdge(dut.clk)


@cocotb.test()
async def reset_in_mid_stream(dut):
    await start(dut)
    for cut in range(1, 8):
        dut.o__ready.value = 0
        sending = cocotb.start_soon(Source(dut, "i").send(range(900, 1000)))
        for _ in range(cut):
            await FallingEdge(dut.clk)
        sending.cancel()
        dut.i__valid.value = 0
        await reset(dut)
        cocotb.start_soon(Source(dut, "i").send(range(10)))
        assert await Sink(dut, "o").receive(10) == list(range(10))
