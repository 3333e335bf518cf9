"""The system with both engines, on cocotbext-axi's RAM: one engine after the other."""

import random

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge
from cocotbext.axi import AxiRamRead, AxiReadBus

from lamina.formats.anda import group_word_layout, output_layout
from lamina.formats.packed import row_group_layout
from lamina.formats.planes import run_layout, tile_scales_layout
from lamina_gen.describe import describe_shape
from lamina_gen.gemm.schedule import Pass, group_words, orders, place, row_groups
from lamina_sim.golden import anda, store
from lamina_sim.verilated import ports
from tb.bench import bench_parameters
from tb.problems import random_problem
from tb.streams import Sink, Source, reset, start

PARAMETERS = bench_parameters()


def to_ints(layout, fields):
    """Pack the fields of all beats into the integers that a bench drives."""
    words = ports.pack(describe_shape(layout), fields)
    return [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in words]


def beats_of(problem, part):
    """Return the payloads of every input stream, by stream."""
    p = PARAMETERS
    common = orders(problem, part)
    if problem.engine == "anda":
        encoded = anda.encode(problem.activations, problem.mantissa_bits)
        layout, fields = group_word_layout(p.row_bits), group_words(*anda.to_planes(encoded))
    else:
        layout, fields = row_group_layout(p.row_bits), row_groups(problem, problem.activations)
    run = run_layout(p.address_bits, p.fetcher.planes_max)
    return {
        "i_run": to_ints(run, common["i_run"]),
        "i_scales": to_ints(tile_scales_layout(p.weight_bits), common["i_scales"]),
        f"i_{problem.engine}": to_ints(layout, fields) * part.width,
    }


class Bench:
    """Memory, drivers and monitors around the system."""

    def __init__(self, dut, idle=0.0, stall=0.0):
        self.dut, self.idle, self.stall = dut, idle, stall
        self.rng = random.Random(cocotb.RANDOM_SEED)
        bus = AxiReadBus.from_prefix(dut, "m_axi", case_insensitive=False)
        assert bus.ar.araddr is not None
        self.ram = AxiRamRead(bus, dut.clk, dut.rst, size=1 << 20)

    async def run(self, problem):
        """Run a problem of one pass and compare with golden."""
        dut, p = self.dut, PARAMETERS
        m, n, _ = problem.shape
        part = Pass(slice(0, m), slice(0, -(-n // 8)))
        self.ram.write(0, store.to_image(store.to_planes(problem.blocks, 4)).tobytes())
        dut.select.value = int(problem.engine == "pacq")
        sources = [
            cocotb.start_soon(Source(dut, name, self.idle, self.rng).send(payloads))
            for name, payloads in beats_of(problem, part).items()
        ]
        outputs = p.accumulator.output_index_bits
        if problem.engine == "pacq":
            outputs = p.scale_accumulate.index_bits
        sink = Sink(dut, f"o_{problem.engine}", self.stall, self.rng)
        got = await sink.receive(part.outputs)
        for source in sources:
            await source
        words = np.array([[w & 0xFFFFFFFF, w >> 32] for w in got], np.uint32)
        output = ports.unpack(describe_shape(output_layout(outputs)), words)
        result = np.zeros((m, part.width * 8), np.float32)
        place(result, part, problem.engine, output["index"], output["value"])
        expected = problem.expected.view(np.uint32)
        assert np.array_equal(result[:, :n].copy().view(np.uint32), expected)
        assert not dut.error.value


def problems(seed, engine):
    """Small products that one pass takes."""
    rng = np.random.default_rng(seed)
    for m, n, k, planes in ((1, 1, 3, 4), (4, 16, 70, 4), (3, 9, 128, 2)):
        yield random_problem(rng, engine, m, n, k, scale_group=k, zeros=True, planes=planes)


async def both_engines(dut, idle, stall):
    await start(dut)
    bench = Bench(dut, idle, stall)
    for engine in ("anda", "pacq", "anda"):
        for problem in problems(cocotb.RANDOM_SEED, engine):
            await bench.run(problem)


@cocotb.test()
async def engines_in_turn(dut):
    await both_engines(dut, 0.0, 0.0)


@cocotb.test()
async def engines_in_turn_with_idle_and_stall(dut):
    await both_engines(dut, 0.4, 0.5)


@cocotb.test()
async def refused_run_is_flagged(dut):
    await start(dut)
    Bench(dut)
    layout = run_layout(PARAMETERS.address_bits, PARAMETERS.fetcher.planes_max)
    fields = {"base": [0], "block": [0], "blocks": [1], "planes": [4], "keep": [5]}
    assert not dut.error.value
    await Source(dut, "i_run").send(to_ints(layout, fields))
    for _ in range(20):
        await RisingEdge(dut.clk)
    assert dut.error.value
    await reset(dut)
    await ReadOnly()
    assert not dut.error.value
