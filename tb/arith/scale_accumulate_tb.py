"""Scaled accumulation in cocotb: every order of indices, on stalling streams."""

import itertools
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from tb.arith import sums
from tb.bench import bench_parameters
from tb.streams import Sink, Source, exchange, payloads, reset, start


def draw(count):
    """Return input and output payloads of ``count`` beats: runs of one index, and mixed ones."""
    p = bench_parameters()
    rng = np.random.default_rng(random.getrandbits(32))
    index = rng.integers(0, p.outputs, count)
    index = np.where(np.arange(count) // 20 % 2 == 0, index, index[0])
    beats = sums.beats(rng, index)
    beats["end"][-1] = True
    due = sums.golden(beats)
    return payloads(p.input_layout, beats), payloads(p.output_layout, due)


async def stream(dut, count, idle=0.0, stall=0.0):
    given, due = draw(count)
    await exchange(dut, given, due, idle, stall, random.Random(random.getrandbits(32)))


@cocotb.test()
async def grid(dut):
    """Every mix of idle input and back-pressure."""
    await start(dut)
    for idle, stall in itertools.product((0.0, 0.3, 0.8), repeat=2):
        await stream(dut, 200, idle, stall)


@cocotb.test()
async def reset_in_mid_stream(dut):
    """What was under way is gone: it neither leaves, nor stalls or changes a sum begun anew."""
    await start(dut)
    for wait in (3, 9, 14, 40):
        given, _ = draw(60)
        Sink(dut, "o")  # holds ready low
        sending = cocotb.start_soon(Source(dut, "i").send(given))
        for _ in range(wait):
            await FallingEdge(dut.clk)
        sending.cancel()
        dut.i__valid.value = 0
        await reset(dut)
        assert not dut.o__valid.value
        await stream(dut, 100)
