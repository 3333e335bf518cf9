"""AXI4 pins: the names and widths that other people's tools look for."""

import pytest
from amaranth.hdl import Module, Shape
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from cocotbext.axi.axi_channels import AxiARBus, AxiRBus

from lamina.bus import axi4


class Bridge(wiring.Component):
    """Streams to flat pins and nothing else."""

    def __init__(self, p: axi4.Axi4Parameters):
        super().__init__(
            {
                "ar": In(stream.Signature(axi4.address_layout(p))),
                "r": Out(stream.Signature(axi4.read_data_layout(p))),
                **axi4.read_pins("m_axi", p),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi4.connect_read_pins(m, self, "m_axi", self.ar, self.r)
        return m


def test_pins_are_those_that_cocotbext_axi_wants():
    pins = axi4.read_pins("m_axi", axi4.Axi4Parameters())
    wanted = {f"m_axi_{name}" for name in (*AxiARBus._signals, *AxiRBus._signals)}
    assert wanted <= set(pins)


def test_widths_and_directions():
    pins = axi4.read_pins("m_axi", axi4.Axi4Parameters(address_bits=40, data_bits=64, id_bits=3))
    widths = {name: Shape.cast(member.shape).width for name, member in pins.items()}
    assert widths["m_axi_araddr"] == 40
    assert widths["m_axi_arid"] == widths["m_axi_rid"] == 3
    assert widths["m_axi_rdata"] == 64
    outwards = {name for name, member in pins.items() if member.flow == Out}
    assert outwards == {
        f"m_axi_{name}"
        for name in ("arid", "araddr", "arlen", "arsize", "arburst", "arvalid", "rready")
    }


def test_every_field_reaches_its_pin():
    p = axi4.Axi4Parameters(address_bits=32, data_bits=64, id_bits=4)
    bridge = Bridge(p)

    async def bench(ctx):
        address = {"id": 9, "addr": 0xDEADBEE8, "len": 200, "size": p.size, "burst": 1}
        answer = {"id": 6, "data": 0x0123456789ABCDEF, "resp": 2, "last": 1}
        for bit in (0, 1):
            ctx.set(bridge.ar.payload, address)
            ctx.set(bridge.ar.valid, bit)
            ctx.set(bridge.m_axi_arready, bit)
            ctx.set(bridge.r.ready, bit)
            ctx.set(bridge.m_axi_rvalid, bit)
            for name, value in answer.items():
                ctx.set(getattr(bridge, f"m_axi_r{name}"), value)
            await ctx.delay(1e-9)
            for name, value in address.items():
                assert ctx.get(getattr(bridge, f"m_axi_ar{name}")) == value
            for name, value in answer.items():
                assert ctx.get(bridge.r.payload[name]) == value
            assert ctx.get(bridge.m_axi_arvalid) == ctx.get(bridge.ar.ready) == bit
            assert ctx.get(bridge.m_axi_rready) == ctx.get(bridge.r.valid) == bit

    simulator = Simulator(bridge)
    simulator.add_testbench(bench)
    simulator.run()


def test_write_channels():
    p = axi4.Axi4Parameters(data_bits=512)
    assert axi4.write_data_layout(p)["strb"].width == 64
    assert [name for name, _ in axi4.write_response_layout(p)] == ["id", "resp"]
    assert p.size == 6


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"data_bits": 96}, "data_bits must be a power of two, not 96."),
        ({"address_bits": 65}, "address_bits must be between 12 and 64, not 65."),
        ({"id_bits": 0}, "id_bits must be between 1 and 32, not 0."),
    ],
)
def test_parameters_are_checked(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        axi4.Axi4Parameters(**settings)
