"""anda.engine in cocotb: what hosts do to it, as in test_engine.py by hand."""

import random

import cocotb
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from lamina.anda.register_map import ID, offset
from tb.anda import engine_host as scenarios
from tb.bench import bench_parameters
from tb.streams import Simulator, reset, start

PARAMETERS = bench_parameters()


def host_of(dut, **options):
    rng = random.Random(cocotb.RANDOM_SEED)
    return scenarios.Host(dut, Simulator(dut), PARAMETERS, rng, **options)


@cocotb.test()
async def registers_by_another_master(dut):
    bus = AxiLiteBus.from_prefix(dut, "s_axil", case_insensitive=False)
    assert bus.write.aw.awaddr is dut.s_axil_awaddr, "the bus is not connected"
    lite = AxiLiteMaster(bus, dut.clk, dut.rst)
    await start(dut)
    assert await lite.read_dword(offset("id")) == ID
    await lite.write_dword(offset("k"), 77)
    assert await lite.read_dword(offset("k")) == 77


@cocotb.test()
@cocotb.parametrize(idle=[(0.0, 0.0), (0.7, 0.9)], stall=[0.0, 0.9])
async def idle_and_back_pressure(dut, idle, stall):
    host = host_of(dut, idle=idle, stall=stall)
    await start(dut)
    await scenarios.counts(host, idle, stall)


@cocotb.test()
async def bad_operands(dut):
    host = host_of(dut, idle=(0.3, 0.3), stall=0.3)
    await start(dut)
    await scenarios.bad_operands(host)


@cocotb.test()
async def reset_in_mid_gemm(dut):
    host = host_of(dut, idle=(0.2, 0.2), stall=0.2)
    await start(dut)
    await scenarios.cut_short(host, 5)
    await reset(dut)
    await scenarios.as_after_power_up(host_of(dut))
