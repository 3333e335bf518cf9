"""Bench of `pacq.octet`: products of all flows under every stream condition."""

import random

import cocotb
import numpy as np

from tb.pacq import warps_tb
from tb.streams import start


def octet():
    return tuple(np.random.default_rng(random.getrandbits(32)).integers(0, 2, 2).tolist())


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.5, 0.9], stall=[0.0, 0.5, 0.9])
async def test_idle_and_back_pressure(dut, idle, stall):
    await start(dut)
    for flow in warps_tb.FLOWS:
        await warps_tb.run(dut, flow, octet(), idle, stall)


@cocotb.test()
async def test_reset_in_mid_stream(dut):
    await start(dut)
    for cut in (1, 40):
        await warps_tb.cut_short(dut, octet(), cut)
        await warps_tb.run(dut, "packed_k", octet(), 0.2, 0.2)
