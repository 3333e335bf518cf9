"""The device's registers on AXI4-Lite: who answers which address."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4_lite import access_members
from lamina.formats.views import VIEW_INDEX_BITS
from lamina.store.device_front import decoder_members
from lamina.store.hdm_registers import HdmRegisters, choose
from lamina.store.poison_table import poison_layout
from lamina.store.prefetch import DEPTH_BITS
from lamina.store.register_map import ADDRESS_BITS, COUNTERS, offset

__all__ = ["DeviceRegisters"]

_ID = 0x4C414D53


class DeviceRegisters(wiring.Component):
    """Registers of `register_map`: counters, poison, HDM decoders, and the way to the view table.

    Parameters: `DeviceParameters`.

    Members
    -------
    address, write, write_data, read, done, error, read_data
        `access_members`.
    events : In
        A bit for each of COUNTERS: pulses.
    decoder_* : Out
    entry, word, entry_write, commit : Out; entry_data, busy : In
        Of `ViewTable`.
    prefetch : Out
        Blocks to fetch ahead of a stream of reads.
    flush : Out
        Views or poison changed: what is in the read buffer may not be joined any more.
    link_violations : In
    poison_count, overflow, low, high, accessed, access_done : In
    access, access_clear, access_index, overflow_clear : Out
        Of `PoisonTable`.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                **access_members(ADDRESS_BITS),
                "events": In(len(COUNTERS)),
                **decoder_members(p.decoders, Out),
                "entry": Out(VIEW_INDEX_BITS),
                "word": Out(3),
                "entry_write": Out(1),
                "commit": Out(1),
                "entry_data": In(32),
                "busy": In(1),
                "prefetch": Out(DEPTH_BITS, init=8),
                "flush": Out(1),
                "link_violations": In(16),
                "poison_count": In(8),
                "overflow": In(1),
                "low": In(p.beat_bits),
                "high": In(p.beat_bits),
                "accessed": In(poison_layout(p.beat_bits)),
                "access_done": In(1),
                "access": Out(1),
                "access_clear": Out(1),
                "access_index": Out(8),
                "overflow_clear": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.hdm = hdm = HdmRegisters(p)
        plain = Signal(33)
        # A cycle ago, for the tables.
        address = Signal.like(self.address)
        # Registers: the part of the map, and whether the register exists.
        view, decoder, in_view, in_hdm = Signal(), Signal(), Signal(), Signal()
        for name in decoder_members(p.decoders, Out):
            m.d.comb += getattr(self, name).eq(getattr(hdm, name))
        m.d.comb += [
            hdm.word.eq(self.address[:8]),
            hdm.write_data.eq(self.write_data),
            self.entry.eq(address[3:9]),
            self.word.eq(address[:3]),
        ]
        m.d.sync += [
            address.eq(self.address),
            view.eq(self.address[9]),
            decoder.eq(self.address[8:10] == 1),
            in_view.eq(self.address[9] & (self.address[3:9] < p.views)),
            in_hdm.eq((self.address[8:10] == 1) & (self.address[:8] < 4 + 8 * p.decoders)),
        ]
        clear = self._is(m, "counter_clear")
        index, poison_clear = self._is(m, "poison_index"), self._is(m, "poison_clear")
        prefetch, poison = self._is(m, "prefetch"), index | poison_clear
        cleared = Signal(init=1)
        m.d.sync += [
            cleared.eq(0),
            hdm.write.eq(0),
            self.entry_write.eq(0),
            self.overflow_clear.eq(0),
            self.flush.eq(0),
            self.commit.eq(self.entry_write & (self.word == 0)),
        ]
        self._show(m, address, self._count(m, cleared), plain)
        with m.FSM(name="access"):
            with m.State("IDLE"):
                with m.If(self.write | self.read):
                    m.next = "LOOK"
            with m.State("LOOK"):
                m.next = "DECODE"
            with m.State("DECODE"):
                with m.If(self.write):
                    m.d.sync += [
                        cleared.eq(clear),
                        hdm.write.eq(in_hdm),
                        self.entry_write.eq(in_view),
                        self.access_clear.eq(poison_clear & self.write_data[0]),
                        self.overflow_clear.eq(poison_clear & self.write_data[1]),
                        self.flush.eq(in_view | poison),
                    ]
                    with m.If(index):
                        m.d.sync += self.access_index.eq(self.write_data)
                    with m.If(prefetch):
                        m.d.sync += self.prefetch.eq(self.write_data)
                m.next = "ACT"
            with m.State("ACT"):
                m.next = "WAIT"
                with m.If(self.write & poison):
                    m.next = "POISON"
            with m.State("POISON"):
                m.d.comb += self.access.eq(1)
                with m.If(self.access_done):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += [
                    self.error.eq(Mux(view, ~in_view, Mux(decoder, ~in_hdm, ~plain[32]))),
                    self.read_data.eq(
                        Mux(view, self.entry_data, Mux(decoder, hdm.read_data, plain[:32]))
                    ),
                ]
                with m.If(~self.busy):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m

    def _is(self, m, name):
        """Return: the address is that of this register, from a register."""
        here = Signal(name=f"is_{name}")
        m.d.sync += here.eq(self.address == offset(name) >> 2)
        return here

    def _count(self, m, cleared):
        """Return the counters; they are also ``cleared`` after a reset, which so has few ends."""
        counters = [Signal(32, name=f"count_{name}", reset_less=True) for name in COUNTERS]
        for counter, event in zip(counters, self.events, strict=True):
            with m.If(cleared):
                m.d.sync += counter.eq(0)
            with m.Elif(event):
                m.d.sync += counter.eq(counter + 1)
        return counters

    def _show(self, m, address, counters, plain):
        """Put the register at the address into ``plain``, if it is in no table; bit 32: it is."""
        p = self.parameters
        words = {
            "id": _ID,
            "parameters": p.views | p.decoders << 8 | p.poison_entries << 16,
            "counter_clear": 0,
            "poison_status": Cat(self.poison_count, Const(0, 23), self.overflow),
            "poison_index": self.access_index,
            "poison_clear": 0,
            "poison_lines": self.accessed.lines,
            "prefetch": self.prefetch,
            "link": Cat(self.link_violations, Const(0, 15), self.link_violations.any()),
        }
        addresses = {"poison_block": self.accessed.block, "overflow_first": self.low}
        addresses["overflow_last"] = self.high
        for name, beat in addresses.items():
            byte = Cat(Const(0, 6), beat)
            words |= {f"{name}_low": byte[:32], f"{name}_high": byte[32:]}
        words |= {f"count_{name}": value for name, value in zip(COUNTERS, counters, strict=True)}
        places = {offset(name) >> 2: word | (1 << 32) for name, word in words.items()}
        choose(m, address, places, plain)
