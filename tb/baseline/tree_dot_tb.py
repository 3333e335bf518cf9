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

grid = cocotb.test()(bench.grid)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
