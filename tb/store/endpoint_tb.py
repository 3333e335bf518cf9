"""The device behind CPI in cocotb: the same host as in the bulk runs."""

import os
import random

import cocotb

from lamina_gen.device.traffic import random_traffic
from tb.store import device_scenarios as scenarios
from tb.store.cpi_link import CpiLink
from tb.streams import Simulator, start


@cocotb.test()
async def traffic_of_all_kinds(dut):
    rng, link = random.Random(cocotb.RANDOM_SEED), CpiLink(wrong=0.05)
    await start(dut)
    host = await scenarios.begin(
        dut, Simulator(dut), rng, link=link, stall=0.2, idle=0.2, latency=(1, 20)
    )
    await random_traffic(host, int(os.environ.get("LAMINA_COCOTB_MESSAGES", "300")))
    assert await host.read_register("link") & 0xFFFF == min(link.sent_wrong, 0xFFFF)
