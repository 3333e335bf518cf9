"""Bench of `pacq.tensor_core`: operands reach the right octets, under stalls and after a reset."""

import random

import cocotb
import numpy as np

from tb.bench import bench_parameters
from tb.pacq import warps_tb
from tb.streams import Sink, reset, start


def random_warps():
    return warps_tb.random_warps(np.random.default_rng(random.getrandbits(32)), None)


@cocotb.test()
@cocotb.parametrize(conditions=[(0.0, 0.0), (0.5, 0.5), (0.9, 0.0), (0.0, 0.9)])
async def test_idle_and_back_pressure(dut, conditions):
    await start(dut)
    await warps_tb.run(dut, random_warps(), bench_parameters().ports, 4, *conditions)


@cocotb.test()
async def test_reset_in_mid_stream(dut):
    await start(dut)
    sending = warps_tb.begin(dut, random_warps(), 0.0, random.Random(1))
    await Sink(dut, "o_0", 0.2).receive(10)
    warps_tb.stop(dut, sending)
    await reset(dut)
    await warps_tb.run(dut, random_warps(), bench_parameters().ports, 4, 0.2, 0.2)
