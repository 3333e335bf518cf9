"""anda.engine in cocotb: a host at its registers; GEMMs in bulk are test_engine.py's."""

import random
from copy import copy

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import FallingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from lamina.anda.engine_core import data_ports
from lamina.anda.register_map import COUNTERS, offset
from lamina.formats.engine import Cause
from lamina_gen.describe import describe_shape
from lamina_gen.gemm.engine import Operands, matrix, model_of
from lamina_sim.device import engine_registers as registers
from lamina_sim.perf import anda as perf
from lamina_sim.verilated import ports
from tb.bench import bench_parameters
from tb.problems import random_problem
from tb.streams import Sink, Source, reset, start

PARAMETERS = bench_parameters()
ENGINE = model_of(PARAMETERS)
LAYOUTS = {
    name: port.signature.members["payload"].shape for name, port in data_ports(PARAMETERS).items()
}
INPUTS = ("i_activations", "i_weights")


def payloads(name, fields):
    """Pack a mapping of arrays over the beats into one integer a beat."""
    words = ports.pack(describe_shape(LAYOUTS[name]), fields)
    return [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in words]


def fields_of(received):
    """Unpack beats of results into a mapping of arrays."""
    beats = [data.Const(LAYOUTS["o"], payload) for payload in received]
    grids = {
        name: np.array([[list(row) for row in beat[name]] for beat in beats], np.uint32)
        for name in ("values", "keep")
    }
    return grids | {n: np.array([beat[n] for beat in beats]) for n in ("row", "column", "last")}


class Host:
    """Registers and streams of an engine, driven."""

    def __init__(self, dut, idle=0.0, weights_idle=0.0, stall=0.0):
        bus = AxiLiteBus.from_prefix(dut, "s_axil", case_insensitive=False)
        self.lite = AxiLiteMaster(bus, dut.clk, dut.rst)
        for channel in (self.lite.write_if, self.lite.read_if):
            channel.log.setLevel("WARNING")
        self.rng = np.random.default_rng(random.randrange(1 << 32))
        self.sources = {
            name: Source(dut, name, share, random)
            for name, share in zip(INPUTS, (idle, weights_idle), strict=True)
        }
        self.results = Sink(dut, "o", stall, random)
        self.tasks = []

    def draw(self, m, n, groups, mantissa_bits, tag=1):
        """A product, and its operands."""
        problem = random_problem(
            self.rng, "anda", m, n, 64 * groups, bits=PARAMETERS.weight_bits, scale_group=64,
            mantissa_bits=mantissa_bits,
        )  # fmt: skip
        return problem, Operands.of(problem, ENGINE, tag=tag)

    async def read(self, name):
        return await self.lite.read_dword(offset(name))

    async def write(self, name, value=0):
        await self.lite.write_dword(offset(name), value)

    async def ring(self, gemm, tag):
        """Write a descriptor, and ring."""
        await self.write("m", gemm.m)
        await self.write("n", gemm.n)
        await self.write("k", gemm.groups)
        mode = gemm.mantissa_bits << registers.MODE_MANTISSA_BITS_LOW
        mode |= gemm.row_turns << registers.MODE_ROW_TURNS_LOW
        await self.write("mode", mode | tag << registers.MODE_TAG_LOW)
        await self.write("doorbell")

    def send(self, operands):
        inputs = operands.inputs()
        self.tasks = [
            cocotb.start_soon(source.send(payloads(name, inputs[name])))
            for name, source in self.sources.items()
        ]

    def stop(self):
        """Drop what is being sent."""
        for task in self.tasks:
            task.cancel()
        for source in self.sources.values():
            source.valid.value = 0

    async def run(self, problem, operands):
        """Ring, send, and compare the results, the completion and what was counted."""
        before = await self.read("completed")
        await self.write("counter_clear")
        await self.ring(operands.gemm, operands.tag)
        self.send(operands)
        cost = perf.cost(ENGINE, operands.gemm)
        received = await self.results.receive(cost.result_beats)
        result = matrix(fields_of(received), operands.gemm.m, operands.gemm.n)
        assert np.array_equal(result.view(np.uint32), problem.expected.view(np.uint32))
        assert await self.read("completed") == before + 1
        assert await self.read("last") == operands.tag
        assert await self.read("status") == registers.STATUS_ROOM
        for name in COUNTERS:
            if name in vars(cost) and name != "cycles":
                assert await self.read(f"count_{name}") == getattr(cost, name), name
        return [await self.read(f"count_{name}") for name in COUNTERS]


@cocotb.test()
async def says_what_was_built(dut):
    await start(dut)
    host = Host(dut)
    p = PARAMETERS
    assert await host.read("id") == 0x4C414D41
    array = p.rows | p.columns << 8 | p.block_columns << 20 | p.weight_bits << 28
    assert await host.read("array") == array
    build = p.planes | p.sharing << 4 | p.slots << 12 | p.depth.bit_length() - 1 << 20
    assert await host.read("build") == build
    await host.write("m", 0x12345678)
    assert await host.read("m") == 0x345678
    answer = await host.lite.read(0x38, 4)
    assert answer.resp == 2, "there is no register at 0x38"


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.7], weights_idle=[0.0, 0.8], stall=[0.0, 0.9])
async def idle_and_back_pressure(dut, idle, weights_idle, stall):
    await start(dut)
    host = Host(dut, idle, weights_idle, stall)
    counted = await host.run(*host.draw(5, 6, 2, 5))
    stalls = dict(zip(COUNTERS, counted, strict=True))
    assert (stalls["stall_results"] > 0) == (stall > 0)
    if not idle and not weights_idle and not stall:
        _, operands = host.draw(5, 6, 2, 5)
        assert stalls["cycles"] == perf.cost(ENGINE, operands.gemm).cycles


@cocotb.test()
async def bad_descriptor(dut):
    """It is reported, takes nothing, and the next GEMM is right."""
    await start(dut)
    host = Host(dut)
    for tag, (field, value, cause) in enumerate(
        [("m", 0, Cause.SHAPE), ("mantissa_bits", 17, Cause.MANTISSA),
         ("row_turns", PARAMETERS.slots + 1, Cause.ROW_TURNS), ("groups", 65535, Cause.MEMORY)]
    ):  # fmt: skip
        _, operands = host.draw(3, 3, 1, 4)
        gemm = copy(operands.gemm)
        object.__setattr__(gemm, field, value)
        await host.ring(gemm, tag)
        while await host.read("status") & registers.STATUS_BUSY:
            pass
        reported = tag | cause.value << registers.LAST_CAUSE_LOW
        assert await host.read("last") == reported
        assert await host.read("error") == reported
        await host.run(*host.draw(3, 3, 1, 4))
        assert await host.read("error") == reported
        await host.write("error")
        assert await host.read("error") == 0


@cocotb.test()
async def queue_overflow(dut):
    """What does not fit is lost, and the host is told; the others are done."""
    await start(dut)
    host = Host(dut)
    fit = PARAMETERS.queue + 2  # one is worked on, one is checked
    _, operands = host.draw(3, 3, 1, 4)
    for tag in range(fit + 1):
        await host.ring(operands.gemm, tag)
    error = fit | Cause.QUEUE.value << registers.ERROR_CAUSE_LOW
    assert await host.read("error") == error
    assert await host.read("status") == registers.STATUS_BUSY | PARAMETERS.queue << 8
    for _ in range(fit):
        host.send(operands)
        await host.results.receive(perf.cost(ENGINE, operands.gemm).result_beats)
    for _ in range(10):
        await FallingEdge(dut.clk)
    assert await host.read("completed") == fit
    assert await host.read("last") == fit - 1


@cocotb.test()
async def reset_in_mid_gemm(dut):
    """Whatever was under way is gone; what follows is as after power-up."""
    await start(dut)
    host = Host(dut, idle=0.2, weights_idle=0.2, stall=0.2)
    for _ in range(3):
        _, operands = host.draw(9, 9, 2, 6)
        await host.ring(operands.gemm, 9)
        host.send(operands)
        await host.results.receive(int(host.rng.integers(1, 8)))
        host.stop()
        await reset(dut)
        assert not dut.o__valid.value
        assert await host.read("completed") == 0
        await host.run(*host.draw(4, 5, 2, 3))
