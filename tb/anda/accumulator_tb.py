"""anda.accumulator in cocotb: handshakes and the interlock; numbers are test_accumulator.py's."""

import random

import cocotb
import numpy as np

from lamina.formats.anda import group_sum_layout, output_layout
from tb.anda.test_accumulator import draw, expected
from tb.bench import bench_parameters
from tb.streams import Sink, Source, payloads, reset, start

PARAMETERS = bench_parameters()
SUMS = group_sum_layout(PARAMETERS.columns, PARAMETERS.weight_bits, PARAMETERS.index_bits)
OUTPUT = output_layout(PARAMETERS.output_index_bits)


async def run(source, sink, beats):
    wanted = expected(beats, 15, 31)
    task = cocotb.start_soon(source.send(payloads(SUMS, beats)))
    assert await sink.receive(len(wanted["value"])) == payloads(OUTPUT, wanted)
    await task


def generator():
    return np.random.default_rng(random.getrandbits(32))


@cocotb.test()
@cocotb.parametrize(outputs=[1, 2, 7], idle=[0.0, 0.5], stall=[0.0, 0.7])
async def idle_and_back_pressure(dut, outputs, idle, stall):
    await start(dut)
    source, sink = Source(dut, "i", idle, random), Sink(dut, "o", stall, random)
    await run(source, sink, draw(generator(), outputs, 40 // outputs, PARAMETERS.columns))


@cocotb.test()
async def one_group_outputs(dut):
    """Every beat begins and ends an output: one leaves per column and cycle."""
    await start(dut)
    source, sink = Source(dut, "i", rng=random), Sink(dut, "o", rng=random)
    await run(source, sink, draw(generator(), 32, 1, PARAMETERS.columns))


@cocotb.test()
async def reset_in_mid_stream(dut):
    await start(dut)
    rng = generator()
    source, sink = Source(dut, "i", 0.2, random), Sink(dut, "o", 0.2, random)
    for _ in range(5):
        beats = draw(rng, 8, 4, PARAMETERS.columns)
        task = cocotb.start_soon(source.send(payloads(SUMS, beats)))
        await sink.receive(int(rng.integers(1, 8)))
        task.cancel()
        source.valid.value = 0
        await reset(dut)
        assert not dut.o__valid.value
        await run(source, sink, draw(rng, 3, 4, PARAMETERS.columns))
