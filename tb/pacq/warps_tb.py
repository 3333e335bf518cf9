"""What the benches of the octet and of the tensor core have in common."""

import random

import cocotb
import numpy as np

from lamina.formats import tensor
from lamina_sim.golden.pacq import FLOWS
from tb.bench import bench_parameters
from tb.pacq.steps import random_product
from tb.pacq.warps import Warps
from tb.streams import Sink, Source, fields, payloads, reset

__all__ = ["FLOWS", "cut_short", "run"]

LAYOUTS = {
    "i": tensor.operation_layout(),
    "i_a": tensor.a_tile_layout(),
    "i_b": tensor.b_tile_layout(),
    "i_scales": tensor.word_scales_layout(),
}


def random_warps(flow, octet):
    """A product of one tile either way: some operations in some scale groups."""
    rng = np.random.default_rng(random.getrandbits(32))
    bits, kind = int(rng.choice([4, 2])), str(rng.choice(["normal", "wide", "special"]))
    words = 16 if flow == "packed_n" else bits  # of columns: 16 along k
    group = int(rng.choice([40, 72]))
    product = random_product(rng, bits=bits, m=16, k=72, words=words, scale_group=group, kind=kind)
    return Warps(product, flow, octet=octet)


def begin(dut, warps, idle, rng):
    """Send a product; return the sending."""
    return [
        cocotb.start_soon(Source(dut, stream, idle, rng).send(payloads(LAYOUTS[stream], values)))
        for stream, values in warps.inputs().items()
    ]


async def run(dut, flow, octet, idle=0.0, stall=0.0):
    """Send a product and compare what leaves."""
    rng, p = random.Random(random.getrandbits(32)), bench_parameters()
    warps = random_warps(flow, octet)
    # With FP16 weights each octet has a write port for them behind the one for words.
    ports = range(int(flow == "fp16"), p.ports, 1 + p.fp16)
    sending = begin(dut, warps, idle, rng)
    receiving = [
        cocotb.start_soon(Sink(dut, f"o_{n}", stall, rng).receive(warps.elements // len(ports)))
        for n in ports
    ]
    element = tensor.element_layout(3 if octet else 4)
    received = [fields(element, await port) for port in receiving]
    for each in sending:
        await each
    warps.assert_golden(received)


async def cut_short(dut, octet, elements):
    """Reset after so many elements of a product."""
    sending = begin(dut, random_warps("packed_n", octet), 0.0, random.Random(1))
    await Sink(dut, "o_0", 0.2).receive(elements)
    for each, stream in zip(sending, LAYOUTS, strict=True):
        each.cancel()
        getattr(dut, f"{stream}__valid").value = 0
    await reset(dut)
