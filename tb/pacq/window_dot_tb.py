"""Bench of `pacq.window_dot`: matrix products against golden under every stream condition."""

import random

import cocotb
import numpy as np

from lamina.formats.window import window_scale_layout, window_step_layout, window_words_layout
from tb.bench import bench_parameters
from tb.pacq.window_steps import KINDS, random_window_product
from tb.streams import Sink, Source, fields, payloads, reset, start


def beats_of(product):
    """The three input streams as integers, by port."""
    p = bench_parameters()
    layouts = {
        "i": window_step_layout(p.rows, p.index_bits, p.lanes),
        "i_words": window_words_layout(p.words, p.lanes),
        "i_scales": window_scale_layout(),
    }
    streams = product.streams(1 << p.index_bits)
    return {port: payloads(layouts[port], values) for port, values in streams.items()}


def drive(dut, product, idle, rng):
    return [
        cocotb.start_soon(Source(dut, port, idle, random.Random(rng.getrandbits(32))).send(beats))
        for port, beats in beats_of(product).items()
    ]


async def run(dut, product, idle, stall):
    p = bench_parameters()
    rng = random.Random(random.getrandbits(32))
    sending = drive(dut, product, idle, rng)
    due = product.due(1 << p.index_bits)
    received = await Sink(dut, "o", stall, rng).receive(len(due["index"]))
    for task in sending:
        await task
    found = fields(p.accumulate.output_layout, received)
    np.testing.assert_array_equal(found["index"], due["index"])
    values = found["value"].astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(values, due["value"].view(np.float32))


def products():
    rng = np.random.default_rng(random.getrandbits(32))
    p = bench_parameters()
    for kind in KINDS:
        yield random_window_product(
            rng, bits=p.weight_bits, rows=p.rows, columns=p.columns, lanes=p.lanes, m=2 * p.rows,
            k=64, scale_group=32, kind=kind,
        )  # fmt: skip


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.5, 0.9], stall=[0.0, 0.5, 0.9])
async def test_idle_and_back_pressure(dut, idle, stall):
    await start(dut)
    for product in products():
        await run(dut, product, idle, stall)


@cocotb.test()
async def test_reset_in_mid_stream(dut):
    await start(dut)
    rng = random.Random(random.getrandbits(32))
    for cut_short in products():
        sending = drive(dut, cut_short, 0.0, rng)
        await Sink(dut, "o", 0.2).receive(3)
        for task in sending:
            task.cancel()
        for port in ("i", "i_words", "i_scales"):
            getattr(dut, f"{port}__valid").value = 0
        await reset(dut)
        await run(dut, cut_short, 0.2, 0.2)
