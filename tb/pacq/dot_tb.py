"""Bench of `pacq.dot`: matrix products against golden under every stream condition."""

import random

import cocotb
import numpy as np

from lamina.formats.packed import dot_step_layout, scaled_sum_layout
from tb.bench import bench_parameters
from tb.pacq.operands import KINDS
from tb.pacq.steps import random_product
from tb.streams import Sink, Source, fields, payloads, reset, start


def beats_of(product):
    """The product's steps as integers."""
    return payloads(dot_step_layout(bench_parameters().index_bits), product.steps())


async def run(dut, product, idle, stall):
    rng = random.Random(random.getrandbits(32))
    source, sink = Source(dut, "i", idle, rng), Sink(dut, "o", stall, rng)
    sending = cocotb.start_soon(source.send(beats_of(product)))
    groups = len(product.scales)
    received = await sink.receive(product.x.shape[0] * product.codes.shape[1] * groups)
    await sending
    sums = fields(scaled_sum_layout(bench_parameters().index_bits + 3), received)
    got, want = product.accumulate(sums), product.golden()
    np.testing.assert_array_equal(got, want)


def products():
    rng = np.random.default_rng(random.getrandbits(32))
    for kind in KINDS:
        bits, order = int(rng.choice([4, 2])), rng.choice(["depth", "breadth"])
        yield random_product(rng, bits=bits, kind=kind, order=order, k=32, segment=3)


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.5, 0.9], stall=[0.0, 0.5, 0.9])
async def test_idle_and_back_pressure(dut, idle, stall):
    await start(dut)
    for product in products():
        await run(dut, product, idle, stall)


@cocotb.test()
async def test_reset_in_mid_stream(dut):
    await start(dut)
    rng = np.random.default_rng(random.getrandbits(32))
    for cut in (1, 7, 30):
        source, sink = Source(dut, "i"), Sink(dut, "o", 0.2)
        cut_short = random_product(rng, bits=2, m=4, kind="special")
        sending = cocotb.start_soon(source.send(beats_of(cut_short)))
        await sink.receive(cut)
        sending.cancel()
        source.valid.value = 0
        await reset(dut)
        await run(dut, random_product(rng, bits=4), 0.2, 0.2)
