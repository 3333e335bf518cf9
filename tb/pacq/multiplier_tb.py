"""Bench of `pacq.multiplier`: handshake, order and values under idle and back-pressure."""

import random

import cocotb
import numpy as np

from lamina.formats.packed import multiplicand_layout, products_layout
from lamina_sim.golden import pacq
from tb.bench import bench_parameters
from tb.streams import Sink, Source, reset, start

CORNERS = (0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00)
WORDS = (0x0000, 0xFFFF, 0x8888, 0x7777, 0xAAAA, 0x1234)


def fp16():
    return bench_parameters().fp16


def vectors(count):
    corners = [(a, word, int2) for a in CORNERS for word in WORDS for int2 in (0, 1)]
    bits = random.getrandbits
    return corners + [(bits(16), bits(16), bits(1)) for _ in range(count)]


def golden(a, word, int2):
    """The payload that must come out, as an integer."""
    pattern = np.array(a, np.uint16).view(np.float16)
    products = pacq.multiply(pattern, np.array(word, np.uint16), 2 if int2 else 4)
    significand = [int(value) for value in products.significand]
    value = {}
    if fp16():
        exact = pacq.multiply_fp16(pattern, np.array(word, np.uint16).view(np.float16))
        value["value"] = int(exact.view(np.uint32))
    return (
        products_layout(fp16=fp16())
        .const({
            "products": significand + [0] * (8 - len(significand)),
            "exponent": int(products.exponent),
            "inf": int(products.inf),
            "nan": int(products.nan),
            **value,
        })
        .as_bits()
    )  # fmt: skip


def packed(vector):
    return multiplicand_layout().const(dict(zip(("a", "word", "int2"), vector, strict=True)))


async def run(dut, sent, idle, stall):
    rng = random.Random(random.getrandbits(32))
    source, sink = Source(dut, "i", idle, rng), Sink(dut, "o", stall, rng)
    sending = cocotb.start_soon(source.send([packed(vector).as_bits() for vector in sent]))
    received = await sink.receive(len(sent))
    await sending
    assert received == [golden(*vector) for vector in sent]


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.5, 0.9], stall=[0.0, 0.5, 0.9])
async def test_idle_and_back_pressure(dut, idle, stall):
    await start(dut)
    await run(dut, vectors(100), idle, stall)


@cocotb.test()
async def test_reset_in_mid_stream(dut):
    await start(dut)
    source, sink = Source(dut, "i"), Sink(dut, "o", 0.5)
    sending = cocotb.start_soon(source.send([packed(v).as_bits() for v in vectors(100)]))
    await sink.receive(20)
    sending.cancel()
    source.valid.value = 0
    await reset(dut)
    await run(dut, vectors(100), 0.3, 0.3)
