"""Transposer in cocotb: stalls and a reset in mid-stream, against plain Python integers."""

import random

import cocotb
from cocotb.triggers import FallingEdge

from lamina.formats.planes import formatted_beat_layout
from tb.bench import bench_parameters
from tb.streams import Source, exchange, reset, start

LAYOUT = formatted_beat_layout()
BLOCKS = 6


def beat(bits, planes, *, last, end):
    form = {"planes": planes, "keep": planes, "nearest": 0, "bfloat": 0}
    fields = {"bits": bits, "error": 0, "last": last, "end": end}
    return LAYOUT.const({"beat": fields, "format": form}).as_value().value


def block(codes, width, planes, end):
    """The lines and the planes of one block of unsigned codes, by the definition of each."""
    per_line = 512 // width
    sign = [(code >> (planes - 1) & 1) * ((1 << width) - (1 << planes)) for code in codes]
    containers = [code | high for code, high in zip(codes, sign, strict=True)]
    lines = [
        sum(containers[per_line * line + j] << (width * j) for j in range(per_line))
        for line in range(width)
    ]
    bits = [sum((codes[i] >> (planes - 1 - p) & 1) << i for i in range(512)) for p in range(planes)]
    return beats(lines, planes, end), beats(bits, planes, end)


def beats(words, planes, end):
    """Mark the last word of a block."""
    final = len(words) - 1
    return [
        beat(word, planes, last=at == final, end=end and at == final)
        for at, word in enumerate(words)
    ]


def stimulus(parameters, rng):
    """Beats in and out of some blocks, INTn of changing n, or floats."""
    width = parameters.container_bits
    lines, planes = [], []
    for number in range(BLOCKS):
        count = rng.randint(2, 8) if width == 8 else 16
        codes = [rng.getrandbits(count) for _ in range(512)]
        a, b = block(codes, width, count, number == BLOCKS - 1)
        lines += a
        planes += b
    return (lines, planes) if parameters.direction == "to_planes" else (planes, lines)


@cocotb.test()
async def idle_and_stall_grid(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    await start(dut)
    for idle in (0.0, 0.5):
        for stall in (0.0, 0.5):
            given, expected = stimulus(bench_parameters(), rng)
            await exchange(dut, given, expected, idle, stall, rng)


@cocotb.test()
async def reset_in_mid_stream(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    await start(dut)
    given, expected = stimulus(bench_parameters(), rng)
    for cut in (1, 5, 9, 20):
        dut.o__ready.value = 1
        sending = cocotb.start_soon(Source(dut, "i").send(given))
        for _ in range(cut):
            await FallingEdge(dut.clk)
        sending.cancel()
        dut.i__valid.value = 0
        await reset(dut)
        await exchange(dut, given, expected, 0.2, 0.2, rng)
