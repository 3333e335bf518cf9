"""What the benches of the octet and of the tensor core have in common."""

import random

import cocotb
import numpy as np

from lamina.formats import tensor
from lamina_sim.golden import pacq
from tb.pacq.steps import random_product
from tb.pacq.warps import Warps
from tb.streams import Sink, Source

LAYOUTS = {
    "i": tensor.operation_layout(),
    "i_a": tensor.a_tile_layout(),
    "i_b": tensor.b_tile_layout(),
    "i_scales": tensor.word_scales_layout(),
}


def random_warps(rng, octet, *, k=72, rows=16):
    """A product of one tile either way: some operations in some scale groups."""
    bits, flow = int(rng.choice([4, 2])), str(rng.choice(pacq.FLOWS))
    words = 16 if flow == "packed_n" else bits
    kind = str(rng.choice(["normal", "wide", "special"]))
    product = random_product(
        rng, bits=bits, m=rows, k=k, words=words, scale_group=int(rng.choice([40, 72])), kind=kind
    )
    return Warps(product, flow, octet=octet)


def payloads(warps):
    """Payloads of the input streams, as integers."""
    return {
        stream: [
            LAYOUTS[stream].const(dict(zip(values, beat, strict=True))).as_bits()
            for beat in zip(*(value.tolist() for value in values.values()), strict=True)
        ]
        for stream, values in warps.inputs().items()
    }


def fields(beats, row_bits):
    """Payloads of a write port as arrays by field."""
    layout = tensor.element_layout(row_bits)
    beats = [layout.from_bits(beat) for beat in beats]
    return {name: np.array([beat[name] for beat in beats]) for name in layout.members}


def begin(dut, warps, idle, rng):
    """Send a product; return the sending."""
    return [
        cocotb.start_soon(Source(dut, stream, idle, rng).send(beats))
        for stream, beats in payloads(warps).items()
    ]


async def run(dut, warps, ports, row_bits, idle=0.0, stall=0.0):
    """Send a product and compare what leaves."""
    rng = random.Random(random.getrandbits(32))
    sending = begin(dut, warps, idle, rng)
    receiving = [
        cocotb.start_soon(Sink(dut, f"o_{n}", stall, rng).receive(warps.elements // ports))
        for n in range(ports)
    ]
    received = [fields(await port, row_bits) for port in receiving]
    for each in sending:
        await each
    warps.assert_golden(received)


def stop(dut, sending):
    """Give up sending, before a reset."""
    for each, stream in zip(sending, LAYOUTS, strict=True):
        each.cancel()
        getattr(dut, f"{stream}__valid").value = 0
