"""AXI4-Lite: pins of a slave, and what turns its five channels into one access at a time."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxiLitePort", "access_members", "add_registers", "lite_pins"]

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


def access_members(address_bits: int) -> dict:
    """Return the members of what answers the accesses of an `AxiLitePort`, one at a time.

    ``address`` : In
        Of a word, without its two low bits.
    ``write``, ``read`` : In
        Held until ``done``; ``write_data`` with ``write``.
    ``done``, ``error``, ``read_data`` : Out
        The access is over; ``error``: nothing is there.
    """
    return {
        "address": In(address_bits - 2),
        "write": In(1),
        "write_data": In(32),
        "read": In(1),
        "done": Out(1),
        "error": Out(1),
        "read_data": Out(32),
    }


def add_registers(m: Module, outer: wiring.Component, registers: wiring.Component) -> None:
    """Make ``registers``, which have `access_members`, and a port for them submodules of ``outer``.

    The port's pins are the members ``s_axil_*`` of ``outer``.
    """
    address_bits = len(registers.address) + 2
    m.submodules.port = port = AxiLitePort(address_bits)
    m.submodules.registers = registers
    for name, member in lite_pins("s_axil", address_bits).items():
        pin, own = getattr(port, name), getattr(outer, name)
        m.d.comb += pin.eq(own) if member.flow == In else own.eq(pin)
    for name, member in access_members(address_bits).items():
        here, there = getattr(port, name), getattr(registers, name)
        m.d.comb += there.eq(here) if member.flow == In else here.eq(there)


class AxiLitePort(wiring.Component):
    """An AXI4-Lite slave that hands on one access at a time.

    Members
    -------
    s_axil_* : pins
    address, write, write_data, read : Out; done, error, read_data : In
        `access_members` of who answers.

    An error is answered with SLVERR. So is a write of less than a whole word, which is not done.
    Reads and writes that come together take turns.
    """

    def __init__(self, address_bits: int):
        accesses = access_members(address_bits).items()
        asks = {name: member.flip() for name, member in accesses}
        super().__init__(lite_pins("s_axil", address_bits) | asks)

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
