"""Assembler in cocotb: stalls and a reset in mid-stream, against plain Python integers."""

import random

import cocotb
from cocotb.triggers import FallingEdge

from lamina.formats.planes import plane_beat_layout, tile_layout
from tb.bench import bench_parameters
from tb.streams import Source, exchange, reset, start

BLOCKS = 8


def stimulus(bits, planes, rng):
    """Beats and tiles of blocks that store ``planes`` planes, of which some are fetched."""
    given, expected = [], []
    for _ in range(BLOCKS):
        keep = rng.randint(1, planes)
        codes = [rng.getrandbits(keep) for _ in range(512)]
        for p in range(keep):
            plane = sum((code >> (keep - 1 - p) & 1) << i for i, code in enumerate(codes))
            fields = {"bits": plane, "error": 0, "last": p == keep - 1, "end": 0}
            given.append(plane_beat_layout().const(fields).as_value().value)
        signed = [code - (code >> (keep - 1) << keep) for code in codes]
        operands = [(code << (planes - keep)) % (1 << bits) for code in signed]
        tile = tile_layout(bits).const({"codes": operands, "error": 0})
        expected.append(tile.as_value().value)
    return given, expected


@cocotb.test()
async def idle_and_stall_grid(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    bits = bench_parameters().code_bits
    await start(dut)
    for planes in range(2, bits + 1):
        dut.planes.value = planes
        for idle in (0.0, 0.5):
            for stall in (0.0, 0.5):
                given, expected = stimulus(bits, planes, rng)
                await exchange(dut, given, expected, idle, stall, rng)


@cocotb.test()
async def reset_in_mid_stream(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    bits = bench_parameters().code_bits
    dut.planes.value = bits
    await start(dut)
    given, expected = stimulus(bits, bits, rng)
    for cut in range(1, 8):
        sending = cocotb.start_soon(Source(dut, "i").send(given))
        for _ in range(cut):
            await FallingEdge(dut.clk)
        sending.cancel()
        dut.i__valid.value = 0
        await reset(dut)
        await exchange(dut, given, expected, 0.2, 0.2, rng)
