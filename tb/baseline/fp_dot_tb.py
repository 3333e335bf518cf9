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

grid = cocotb.test()(bench.grid)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
