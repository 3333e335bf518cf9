"""anda.compressor in cocotb: what the handshakes do; numbers in bulk are test_compressor.py's."""

import random

import cocotb
import numpy as np
from amaranth.lib import data

from lamina.formats.anda import compressed_plane_layout, group_values_layout
from tb.anda.test_compressor import draw, expected
from tb.bench import bench_parameters
from tb.streams import Sink, Source, payloads, reset, start

FORMAT = bench_parameters().format
VALUES = group_values_layout()
PLANE = compressed_plane_layout()


async def run(source, sink, groups):
    wanted = expected(groups, FORMAT)
    task = cocotb.start_soon(source.send(payloads(VALUES, groups)))
    received = [data.Const(PLANE, beat) for beat in await sink.receive(len(wanted["plane"]))]
    for name, values in wanted.items():
        assert [beat[name] for beat in received] == values.tolist(), name
    await task


def generator():
    return np.random.default_rng(random.getrandbits(32))


@cocotb.test()
async def every_length(dut):
    await start(dut)
    source, sink = Source(dut, "i", rng=random), Sink(dut, "o", rng=random)
    await run(source, sink, draw(generator(), 32, FORMAT, np.tile(np.arange(1, 17), 2)))


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.5, 0.9], stall=[0.0, 0.5, 0.9])
async def idle_and_back_pressure(dut, idle, stall):
    await start(dut)
    source, sink = Source(dut, "i", idle, random), Sink(dut, "o", stall, random)
    await run(source, sink, draw(generator(), 20, FORMAT))


@cocotb.test()
async def reset_in_mid_stream(dut):
    await start(dut)
    rng = generator()
    source, sink = Source(dut, "i", 0.2, random), Sink(dut, "o", 0.2, random)
    for _ in range(6):
        task = cocotb.start_soon(source.send(payloads(VALUES, draw(rng, 20, FORMAT))))
        await sink.receive(int(rng.integers(1, 19)))
        task.cancel()
        source.valid.value = 0
        await reset(dut)
        assert not dut.o__valid.value
        await run(source, sink, draw(rng, 4, FORMAT))
