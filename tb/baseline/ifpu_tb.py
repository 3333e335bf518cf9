"""baseline.ifpu in cocotb; numbers in bulk are test_ifpu.py's."""

import cocotb

from lamina_sim.golden import baseline
from tb.baseline.integer_bench import IntegerBench

bench = IntegerBench(baseline.figna)  # the exact sum, by another way than planes

grid = cocotb.test()(bench.grid)
waits_for_weights = cocotb.test()(bench.waits_for_weights)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
