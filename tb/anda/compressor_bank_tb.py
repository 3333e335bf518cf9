"""anda.compressor_bank in cocotb: the handshakes; numbers in bulk are test_compressor_bank.py's."""

import random

import cocotb
import numpy as np

from lamina.formats.anda import bank_values_layout
from lamina.formats.engine import plane_words_layout
from tb.anda.test_compressor_bank import beats_in, draw, expected
from tb.bench import bench_parameters
from tb.streams import Sink, Source, payloads, reset, start

PARAMETERS = bench_parameters()
VALUES = bank_values_layout(PARAMETERS.groups)
WORDS = plane_words_layout(PARAMETERS.rows, PARAMETERS.planes)


def generator():
    return np.random.default_rng(random.getrandbits(32))


def drawn(rng, count, mantissa_bits=None):
    """Sets, and their beats as payloads."""
    sets = draw(rng, PARAMETERS, count, mantissa_bits)
    return sets, payloads(VALUES, beats_in(rng, PARAMETERS, sets))


async def run(source, sink, sets, beats):
    wanted = expected(PARAMETERS, sets)
    task = cocotb.start_soon(source.send(beats))
    received = [WORDS.from_bits(beat) for beat in await sink.receive(len(wanted["words"]))]
    for beat, words, exponents in zip(received, wanted["words"], wanted["exponents"], strict=True):
        assert [list(row) for row in beat.words] == words.tolist()
        assert list(beat.exponents) == exponents.tolist()
    await task


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.9], stall=[0.0, 0.9])
async def every_length(dut, idle, stall):
    await start(dut)
    source, sink = Source(dut, "i", idle, random), Sink(dut, "o", stall, random)
    await run(source, sink, *drawn(generator(), 16, np.arange(1, 17)))


@cocotb.test()
async def reset_in_mid_stream(dut):
    await start(dut)
    rng = generator()
    source, sink = Source(dut, "i", 0.2, random), Sink(dut, "o", 0.2, random)
    for _ in range(4):
        task = cocotb.start_soon(source.send(drawn(rng, 20)[1]))
        await sink.receive(int(rng.integers(1, 19)))
        task.cancel()
        source.valid.value = 0
        await reset(dut)
        assert not dut.o__valid.value
        await run(source, sink, *drawn(rng, 4))
