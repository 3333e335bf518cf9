"""baseline.fp_lane in cocotb; numbers in bulk are test_fp_lane.py's."""

import cocotb

from lamina_sim.golden import baseline
from tb.baseline.lane_bench import LaneBench
from tb.baseline.steps import two_halves

bench = LaneBench(baseline.fp_fp, two_halves)

grid = cocotb.test()(bench.grid)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
