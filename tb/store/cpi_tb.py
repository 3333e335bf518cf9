"""CPI's channels in cocotb: the same peers as in the bulk runs."""

import random

import cocotb

from tb.store import cpi_peers as peers
from tb.streams import Simulator, start


@cocotb.test()
async def traffic_on_all_channels(dut):
    await start(dut)
    link = peers.Link(dut, Simulator(dut), random.Random(cocotb.RANDOM_SEED), idle=0.3, stall=0.3)
    assert await peers.traffic(link, 100) == (32, 16)
