"""Bench of `pacq.tensor_core`: operands reach the right octets, under stalls and after a reset."""

import cocotb

from tb.pacq import warps_tb
from tb.streams import start


@cocotb.test()
@cocotb.parametrize(conditions=[(0.5, 0.5), (0.0, 0.9)])
async def test_idle_and_back_pressure(dut, conditions):
    await start(dut)
    for flow in ("packed_n", "packed_k"):  # FP16 weights: in the octet's bench
        await warps_tb.run(dut, flow, None, *conditions)


@cocotb.test()
async def test_reset_in_mid_stream(dut):
    await start(dut)
    await warps_tb.cut_short(dut, None, 10)
    await warps_tb.run(dut, "packed_k", None, 0.2, 0.2)
