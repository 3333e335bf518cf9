"""Writes staged blocks to memory, plane by plane, with byte strobes and without reading."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import BURST_INCR, address_layout, write_data_layout
from lamina.formats.planes import BEAT_BYTES, BLOCK_CODES
from lamina.formats.views import BLOCK_ROWS, access_layout
from lamina.store.plane_buffer import exchange, turn_of
from lamina.store.write_gather import staged_layout

__all__ = ["WriteIssue"]

_BEAT_SHIFT = BEAT_BYTES.bit_length() - 1


class WriteIssue(wiring.Component):
    """Issues the planes of a slot: one burst of one beat each, in the order of the slots.

    Parameters: `DeviceParameters`.

    Members
    -------
    tail : In
        Slots taken since reset.
    begun : Out
        Slots whose planes are on their way: no line joins them any more.
    staged_slot, staged_read, staged
        The block of a slot, a cycle after it is asked for.
    lines, poisoned : In
        Of each slot; poisoned lines are not written.
    read_enable, read, read_data
        Of the write buffer.
    expect : Out(stream)
        Planes of the slots, as they are begun: so many answers will come.
    aw, w : Out(streams)

    Timing: a beat a cycle, three cycles from slot to slot.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "tail": In(p.write_slot_bits + 1),
                "begun": Out(p.write_slot_bits + 1),
                "staged_slot": Out(p.write_slot_bits),
                "staged_read": Out(1),
                "staged": In(staged_layout(p.beat_bits)),
                "lines": In(BLOCK_ROWS * p.write_blocks),
                "poisoned": In(BLOCK_ROWS * p.write_blocks),
                "read_enable": Out(1),
                "read": Out(access_layout(p.write_slot_bits)),
                "read_data": In(BLOCK_CODES),
                "expect": Out(stream.Signature(5)),
                "aw": Out(stream.Signature(address_layout(p.axi))),
                "w": Out(stream.Signature(write_data_layout(p.axi))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        slot, job = Signal(p.write_slot_bits), Signal(self.staged.shape())
        strobes, fire = Signal(BEAT_BYTES), Signal()
        read_valid, turn, w_free = Signal(), Signal(4), Signal()
        m.d.comb += [
            w_free.eq(self.w.ready | ~self.w.valid),
            self.staged_slot.eq(self.begun),
            self.expect.payload.eq(self.staged.planes),
            self.read_enable.eq(fire),
            self.read.slot.eq(slot),
            self.read.index.eq(job.planes - 1),
            self.read.group.eq(Mux(job.wide, 4, 3)),
        ]
        with m.If(self.aw.ready):
            m.d.sync += self.aw.valid.eq(0)
        with m.FSM(name="issue"):
            with m.State("IDLE"):
                m.d.comb += self.staged_read.eq(1)
                m.d.sync += slot.eq(self.begun)
                with m.If(self.begun != self.tail):
                    m.d.sync += self.begun.eq(self.begun + 1)
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += self.expect.valid.eq(1)
                m.d.sync += job.eq(self.staged)
                good = self.lines.word_select(slot, BLOCK_ROWS)
                good &= ~self.poisoned.word_select(slot, BLOCK_ROWS)
                narrow = Cat(good[n // 8] for n in range(BEAT_BYTES))
                wide = Cat(good[n // 4] for n in range(BEAT_BYTES))
                m.d.sync += strobes.eq(Mux(self.staged.wide, wide, narrow))
                with m.If(self.expect.ready):
                    m.next = "PLANES"
            with m.State("PLANES"):
                m.d.comb += fire.eq((~read_valid | w_free) & (self.aw.ready | ~self.aw.valid))
                with m.If(fire):
                    # Plane p is row N - 1 - p: what is left of ``planes`` is its row plus one.
                    m.d.sync += [
                        job.planes.eq(job.planes - 1),
                        job.address.eq(job.address + (1 << job.row_shift)),
                        self.aw.valid.eq(1),
                        self.aw.p.addr.eq(job.address << _BEAT_SHIFT),
                        self.aw.p.size.eq(p.axi.size),
                        self.aw.p.burst.eq(BURST_INCR),
                    ]
                    with m.If(job.planes == 1):
                        m.next = "IDLE"
        held = Signal(BEAT_BYTES)
        with m.If(~read_valid | w_free):
            m.d.sync += [read_valid.eq(fire), turn.eq(turn_of(self.read)), held.eq(strobes)]
        with m.If(w_free):
            m.d.sync += [
                self.w.valid.eq(read_valid),
                self.w.p.data.eq(exchange(m, self.read_data, turn)),
                self.w.p.strb.eq(held),
                self.w.p.last.eq(1),
            ]
        return m
