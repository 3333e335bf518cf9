"""baseline.tree_dot in cocotb; numbers in bulk are test_tree_dot.py's."""

import functools

import cocotb

from lamina_sim.golden import baseline
from tb.baseline.lane_bench import LaneBench
from tb.baseline.steps import two_halves
from tb.bench import bench_parameters

P = bench_parameters()
bench = LaneBench(
    functools.partial(baseline.tree_dot, lanes=P.lanes, sums=P.sums), two_halves, P.lanes
)


@cocotb.test()
async def grid(dut):
    await bench.grid(dut)


@cocotb.test()
async def reset_in_mid_stream(dut):
    await bench.reset_in_mid_stream(dut)
