"""baseline.fp_lane in cocotb; numbers in bulk are test_fp_lane.py's."""

import cocotb

from lamina_sim.golden import baseline
from tb.baseline.lane_bench import LaneBench
from tb.baseline.steps import two_halves

bench = LaneBench(baseline.fp_fp, two_halves)


@cocotb.test()
async def grid(dut):
    await bench.grid(dut)


@cocotb.test()
async def reset_in_mid_stream(dut):
    await bench.reset_in_mid_stream(dut)
