"""Bench of `pacq.operand_buffer`: idle times, back pressure, reset in mid-stream."""

import random

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles

from tb.bench import bench_parameters
from tb.pacq.operand_steps import inputs, meaningful, random_case, steps
from tb.streams import Sink, Source, reset, start

ROW_BITS = bench_parameters().row_bits


def to_ints(words):
    return [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in words]


def to_words(beats, like):
    octets = b"".join(beat.to_bytes(4 * like.shape[1], "little") for beat in beats)
    return np.frombuffer(octets, "<u4").reshape(-1, like.shape[1])


def send(dut, problem, idle, rng):
    return [
        cocotb.start_soon(Source(dut, name, idle, rng).send(to_ints(words)))
        for name, words in inputs(problem, ROW_BITS).items()
    ]


async def run(dut, problem, idle, stall, rng):
    expected = steps(problem, ROW_BITS)
    sources = send(dut, problem, idle, rng)
    got = await Sink(dut, "o", stall, rng).receive(len(expected))
    for source in sources:
        await source
    want, got = meaningful(expected, ROW_BITS), meaningful(to_words(got, expected), ROW_BITS)
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.5, 0.9], stall=[0.0, 0.5, 0.9])
async def test_idle_and_back_pressure(dut, idle, stall):
    await start(dut)
    rng = random.Random(random.getrandbits(32))
    await run(dut, random_case(np.random.default_rng(rng.getrandbits(32)), 1), idle, stall, rng)


@cocotb.test()
async def test_reset_in_mid_stream(dut):
    await start(dut)
    rng = random.Random(random.getrandbits(32))
    problem = random_case(np.random.default_rng(rng.getrandbits(32)), 1)
    sources = send(dut, problem, 0.2, rng)
    dut.o__ready.value = 1
    await ClockCycles(dut.clk, 25)
    for source in sources:
        source.cancel()
    for name in ("i", "i_tile", "i_scales"):
        getattr(dut, f"{name}__valid").value = 0
    await reset(dut)
    await run(dut, problem, 0.0, 0.0, rng)
