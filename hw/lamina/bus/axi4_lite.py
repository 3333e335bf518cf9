"""AXI4-Lite: pins of a slave, and what turns its five channels into one access at a time."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxiLitePort", "lite_pins"]

_OKAY, _SLVERR = 0, 2


def lite_pins(prefix: str, address_bits: int) -> dict:
    """Return the members of a 32-bit AXI4-Lite slave, ``<prefix>_awaddr`` and so on."""
    towards = {
        "awaddr": address_bits,
        "awprot": 3,
        "awvalid": 1,
        "wdata": 32,
        "wstrb": 4,
        "wvalid": 1,
        "bready": 1,
        "araddr": address_bits,
        "arprot": 3,
        "arvalid": 1,
        "rready": 1,
    }
    back = {
        "awready": 1,
        "wready": 1,
        "bresp": 2,
        "bvalid": 1,
        "arready": 1,
        "rdata": 32,
        "rresp": 2,
        "rvalid": 1,
    }
    return {f"{prefix}_{name}": In(bits) for name, bits in towards.items()} | {
        f"{prefix}_{name}": Out(bits) for name, bits in back.items()
    }


class AxiLitePort(wiring.Component):
    """An AXI4-Lite slave that hands on one access at a time.

    Members
    -------
    s_axil_* : pins
    address : Out
        Of a word, without its two low bits.
    write, read : Out
        Held until ``done``; ``write_data`` with ``write``.
    done, error, read_data : In
        The access is over; ``error``: nothing is there, answered with SLVERR.

    A write of less than a whole word is answered with SLVERR and not done. Reads and writes that
    come together take turns.
    """

    def __init__(self, address_bits: int):
        super().__init__(
            {
                **lite_pins("s_axil", address_bits),
                "address": Out(address_bits - 2),
                "write": Out(1),
                "write_data": Out(32),
                "read": Out(1),
                "done": In(1),
                "error": In(1),
                "read_data": In(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        reads_next = Signal()
        m.d.comb += self.write_data.eq(self.s_axil_wdata)
        writes = self.s_axil_awvalid & self.s_axil_wvalid
        with m.FSM(name="port"):
            with m.State("IDLE"):
                with m.If(self.s_axil_arvalid & (reads_next | ~writes)):
                    m.d.sync += [self.address.eq(self.s_axil_araddr[2:]), reads_next.eq(0)]
                    m.next = "READ"
                with m.Elif(writes):
                    m.d.sync += [self.address.eq(self.s_axil_awaddr[2:]), reads_next.eq(1)]
                    m.next = "WRITE"
            with m.State("READ"):
                m.d.comb += [self.read.eq(1), self.s_axil_arready.eq(self.done)]
                with m.If(self.done):
                    m.d.sync += [
                        self.s_axil_rvalid.eq(1),
                        self.s_axil_rdata.eq(self.read_data),
                        self.s_axil_rresp.eq(Mux(self.error, _SLVERR, _OKAY)),
                    ]
                    m.next = "ANSWER"
            with m.State("WRITE"):
                whole = self.s_axil_wstrb.all()
                over = self.done | ~whole
                m.d.comb += [
                    self.write.eq(whole),
                    self.s_axil_awready.eq(over),
                    self.s_axil_wready.eq(over),
                ]
                with m.If(over):
                    m.d.sync += [
                        self.s_axil_bvalid.eq(1),
                        self.s_axil_bresp.eq(Mux(self.error | ~whole, _SLVERR, _OKAY)),
                    ]
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                taken = (self.s_axil_rvalid & self.s_axil_rready) | (
                    self.s_axil_bvalid & self.s_axil_bready
                )
                with m.If(taken):
                    m.d.sync += [self.s_axil_rvalid.eq(0), self.s_axil_bvalid.eq(0)]
                    m.next = "IDLE"
        return m
