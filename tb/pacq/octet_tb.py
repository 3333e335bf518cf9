"""Bench of `pacq.octet`: products of both flows under every stream condition."""

import random

import cocotb
import numpy as np

from tb.bench import bench_parameters
from tb.pacq import warps_tb
from tb.streams import Sink, reset, start


def random_warps():
    rng = np.random.default_rng(random.getrandbits(32))
    return warps_tb.random_warps(rng, tuple(rng.integers(0, 2, 2).tolist()))


async def run(dut, *conditions):
    await warps_tb.run(dut, random_warps(), bench_parameters().tails, 3, *conditions)


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.5, 0.9], stall=[0.0, 0.5, 0.9])
async def test_idle_and_back_pressure(dut, idle, stall):
    await start(dut)
    await run(dut, idle, stall)
    await run(dut, idle, stall)


@cocotb.test()
async def test_reset_in_mid_stream(dut):
    await start(dut)
    for cut in (1, 40):
        sending = warps_tb.begin(dut, random_warps(), 0.0, random.Random(1))
        await Sink(dut, "o_0", 0.2).receive(cut)
        warps_tb.stop(dut, sending)
        await reset(dut)
        await run(dut, 0.2, 0.2)
