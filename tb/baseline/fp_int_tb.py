"""baseline.fp_int in cocotb; numbers in bulk are test_fp_int.py's."""

import cocotb

from lamina_sim.golden import baseline
from tb.baseline.lane_bench import LaneBench
from tb.baseline.steps import half_and_weight

bench = LaneBench(baseline.fp_int, half_and_weight)

grid = cocotb.test()(bench.grid)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
