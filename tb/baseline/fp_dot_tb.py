"""baseline.fp_dot in cocotb; numbers in bulk are test_fp_dot.py's."""

import functools

import cocotb

from lamina_sim.golden import baseline
from tb.baseline.lane_bench import LaneBench
from tb.baseline.steps import two_halves
from tb.bench import bench_parameters

LANES = bench_parameters().lanes
WINDOW = bench_parameters().window_bits
bench = LaneBench(
    functools.partial(baseline.fp_dot, lanes=LANES, window_bits=WINDOW), two_halves, LANES
)


@cocotb.test()
async def grid(dut):
    await bench.grid(dut)


@cocotb.test()
async def reset_in_mid_stream(dut):
    await bench.reset_in_mid_stream(dut)
