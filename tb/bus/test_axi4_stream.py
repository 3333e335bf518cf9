"""AXI4-Stream pins: the names and widths that other people's tools look for."""

import pytest
from amaranth.hdl import Module, Shape
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from cocotbext.axi import AxiStreamBus

from lamina.bus import axi4_stream


class Bridge(wiring.Component):
    """Pins in and pins out, and between them streams and nothing else."""

    def __init__(self):
        pins = axi4_stream.slave_pins("s_axis", 24) | axi4_stream.master_pins("m_axis", 24)
        super().__init__(
            {
                **pins,
                "i": Out(stream.Signature(24)),
                "o": In(stream.Signature(24)),
                "keep": In(3),
                "last": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi4_stream.connect_slave_pins(m, self, "s_axis", wiring.flipped(self.i))
        axi4_stream.connect_master_pins(
            m, self, "m_axis", wiring.flipped(self.o), last=self.last, keep=self.keep
        )
        return m


def test_pins_are_those_that_cocotbext_axi_wants():
    known = {*AxiStreamBus._signals, *AxiStreamBus._optional_signals}
    for pins in (axi4_stream.slave_pins("a", 8), axi4_stream.master_pins("a", 8)):
        names = {name.removeprefix("a_") for name in pins}
        assert set(AxiStreamBus._signals) <= names <= known


def test_widths_and_directions():
    pins = axi4_stream.master_pins("m_axis", 64)
    assert Shape.cast(pins["m_axis_tkeep"].shape).width == 8
    assert {name for name, pin in pins.items() if pin.flow == In} == {"m_axis_tready"}
    pins = axi4_stream.slave_pins("s_axis", 64)
    assert {name for name, pin in pins.items() if pin.flow == Out} == {"s_axis_tready"}


@pytest.mark.parametrize("width", [0, 12])
def test_a_beat_is_whole_bytes(width):
    for pins in (axi4_stream.slave_pins, axi4_stream.master_pins):
        with pytest.raises(ValueError, match=f"x_tdata must have whole bytes, not {width} bits."):
            pins("x", width)


def test_every_signal_reaches_its_pin():
    bridge = Bridge()

    async def bench(ctx):
        for bit in (0, 1):
            values = [
                (bridge.s_axis_tdata, 0x123456 + bit),
                (bridge.s_axis_tvalid, bit),
                (bridge.i.ready, 1 - bit),
                (bridge.o.payload, 0x654321 + bit),
                (bridge.o.valid, bit),
                (bridge.keep, 2 + bit),
                (bridge.last, bit),
                (bridge.m_axis_tready, 1 - bit),
            ]
            for signal, value in values:
                ctx.set(signal, value)
            await ctx.delay(1e-9)
            due = [
                (bridge.i.payload, 0x123456 + bit),
                (bridge.i.valid, bit),
                (bridge.s_axis_tready, 1 - bit),
                (bridge.m_axis_tdata, 0x654321 + bit),
                (bridge.m_axis_tvalid, bit),
                (bridge.m_axis_tkeep, 2 + bit),
                (bridge.m_axis_tlast, bit),
                (bridge.o.ready, 1 - bit),
            ]
            for signal, value in due:
                assert ctx.get(signal) == value

    simulator = Simulator(bridge)
    simulator.add_testbench(bench)
    simulator.run()
