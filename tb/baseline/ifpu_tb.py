"""baseline.ifpu in cocotb; numbers in bulk are test_ifpu.py's."""

import cocotb

from lamina_sim.golden import baseline
from tb.baseline.integer_bench import IntegerBench

bench = IntegerBench(baseline.figna)  # the exact sum, by another way than planes


@cocotb.test()
async def grid(dut):
    await bench.grid(dut)


@cocotb.test()
async def waits_for_weights(dut):
    await bench.waits_for_weights(dut)


@cocotb.test()
async def reset_in_mid_stream(dut):
    await bench.reset_in_mid_stream(dut)
