"""Bench of `pacq.tensor_stream` on cocotbext-axi's AXI4-Stream ends: products as frames."""

import logging
import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

from lamina.formats import tensor
from tb.pacq.warps_tb import FLOWS, random_warps
from tb.streams import fields, payloads, reset, start

INPUTS = {
    "s_axis_operation": tensor.product_operation_layout(),
    "s_axis_a": tensor.a_tile_layout(),
    "s_axis_b": tensor.b_tile_layout(),
    "s_axis_scales": tensor.word_scales_layout(),
}
ELEMENT = tensor.placed_element_layout()


def pauses(share, rng):
    """Cycles in which an end waits."""
    while True:
        yield rng.random() < share


class Ends:
    """The four sources and the sink of a `dut`, waiting in a share of the cycles."""

    def __init__(self, dut, share=0.0):
        logging.getLogger("cocotb").setLevel("WARNING")
        rng = random.Random(random.getrandbits(32))

        def end(kind, name):
            bus = AxiStreamBus.from_prefix(dut, name, case_insensitive=False)
            assert bus.tdata is getattr(dut, f"{name}_tdata"), "the bus is not connected"
            made = kind(bus, dut.clk, dut.rst)
            made.log.setLevel("WARNING")
            made.set_pause_generator(pauses(share, rng))
            return made

        self.sources = {name: end(AxiStreamSource, name) for name in INPUTS}
        self.sink = end(AxiStreamSink, "m_axis_c")

    async def send(self, warps):
        """Send a product, each stream as one frame."""
        for name, values in warps.stream_inputs().items():
            layout = INPUTS[name]
            beats = payloads(layout, values)
            frame = b"".join(beat.to_bytes(layout.size // 8, "little") for beat in beats)
            await self.sources[name].send(frame)

    async def receive(self, warps):
        """Take a frame and compare the elements in it with golden."""
        frame = await self.sink.recv(compact=True)
        size = ELEMENT.size // 8
        assert len(frame.tdata) == size * warps.elements
        starts = range(0, len(frame.tdata), size)
        bits = (int.from_bytes(frame.tdata[at : at + size], "little") for at in starts)
        elements = fields(ELEMENT, bits)
        assert (elements["there"] == 1).all()
        warps.assert_golden([elements])


@cocotb.test()
@cocotb.parametrize(share=[0.0, 0.5])
async def test_products_one_after_another(dut, share):
    """Sent without a pause between them; each is a frame of its own."""
    ends = Ends(dut, share)
    await start(dut)
    products = [random_warps(flow, None) for flow in FLOWS[:2]]
    for product in products:
        await ends.send(product)
    for product in products:
        await ends.receive(product)
    assert ends.sink.empty()


@cocotb.test()
async def test_reset_in_mid_stream(dut):
    ends = Ends(dut)
    await start(dut)
    await ends.send(random_warps("packed_n", None))
    await RisingEdge(dut.m_axis_c_tvalid)
    await ClockCycles(dut.clk, 20)  # some of the elements have left
    for source in ends.sources.values():
        source.clear()
    await reset(dut)
    ends.sink.clear()
    product = random_warps("packed_k", None)
    await ends.send(product)
    await ends.receive(product)
