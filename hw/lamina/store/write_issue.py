"""Writes staged blocks to memory, plane by plane, with byte strobes and without reading."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import BURST_INCR, address_layout, write_data_layout
from lamina.formats.planes import BEAT_BYTES, BLOCK_CODES
from lamina.formats.views import BLOCK_ROWS, access_layout
from lamina.store.plane_buffer import exchange, turn_of
from lamina.store.write_gather import staged_layout
from lamina.stream.booked import BookedQueue, BookedQueueParameters
from lamina.stream.buffer import SkidBuffer, SkidBufferParameters

__all__ = ["WriteIssue"]

_BEAT_SHIFT = BEAT_BYTES.bit_length() - 1
#: So many beats wait for memory: more than cycles from a free place to the beat that takes it.
_BEATS = 8

#: A row on its way to memory: where its words lie, the lines to be written, 16-bit codes.
_BEAT = {"valid": 1, "turn": 4, "good": BLOCK_ROWS, "wide": 1}
#: A slot of which ``row`` + 1 rows are left, ``step`` beats apart.
_JOB = {"row": 4, "step": BLOCK_ROWS, "good": BLOCK_ROWS, "wide": 1}


class WriteIssue(wiring.Component):
    """Issues the planes of a slot: one burst of one beat each, in the order of the slots.

    Parameters: `DeviceParameters`.

    Members
    -------
    tail : In
        Slots taken since reset.
    begun, begins : Out
        Slots whose planes are on their way; with ``begins`` the next one is taken, and no line
        joins it from the next cycle on.
    staged_slot, staged
        What is known of a slot, a cycle after it is asked for; poisoned lines are not written.
    read_enable, read, read_data
        Of the write buffer.
    expect : Out(stream)
        Planes of the slots, as they are begun: so many answers will come.
    aw, w : Out(streams)

    Timing: a beat a cycle, four cycles from slot to slot.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "tail": In(p.write_slot_bits + 1),
                "begun": Out(p.write_slot_bits + 1),
                "begins": Out(1),
                "staged_slot": Out(p.write_slot_bits),
                "staged": In(staged_layout(p.beat_bits)),
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
        job = Signal(data.StructLayout(_JOB | {"address": p.beat_bits}))
        # Registers: there is a slot to begin; one has begun; its planes go; the last one is next;
        # there is room for a beat.
        pending, busy, issuing, last = Signal(), Signal(), Signal(), Signal()
        fire, room = Signal(), Signal()
        # What memory stalls is known from a register: that of a slice.
        m.submodules.addresses = addresses = SkidBuffer(
            SkidBufferParameters(shape=self.aw.payload.shape())
        )
        wiring.connect(m, addresses.o, wiring.flipped(self.aw))
        m.d.comb += [
            self.begins.eq(pending & ~busy),
            fire.eq(issuing & room & addresses.i.ready),
            addresses.i.valid.eq(fire),
            addresses.i.p.addr.eq(job.address << _BEAT_SHIFT),
            addresses.i.p.size.eq(p.axi.size),
            addresses.i.p.burst.eq(BURST_INCR),
            self.expect.payload.eq(self.staged.planes),
            # What does not fire is read again, for nothing.
            self.read_enable.eq(issuing),
            self.read.slot.eq(self.staged_slot),
            self.read.index.eq(job.row),
            self.read.group.eq(Mux(job.wide, 4, 3)),
        ]
        m.d.sync += pending.eq(self.begun != self.tail)
        with m.FSM(name="issue"):
            with m.State("IDLE"):
                with m.If(self.begins):
                    m.d.sync += [
                        busy.eq(1),
                        self.staged_slot.eq(self.begun),
                        self.begun.eq(self.begun + 1),
                    ]
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += self.expect.valid.eq(1)
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.sync += [
                    job.address.eq(self.staged.address),
                    job.step.eq(1 << self.staged.row_shift),
                    job.row.eq(self.staged.planes - 1),
                    job.wide.eq(self.staged.wide),
                    job.good.eq(self.staged.lines & ~self.staged.poisoned),
                    last.eq(self.staged.planes == 1),
                ]
                with m.If(self.expect.ready):
                    m.d.sync += [self.expect.valid.eq(0), issuing.eq(1)]
                    m.next = "IDLE"
        with m.If(fire):
            # Plane p is row N - 1 - p.
            m.d.sync += [
                job.row.eq(job.row - 1),
                job.address.eq(job.address + job.step),
                last.eq(job.row == 1),
            ]
            with m.If(last):
                m.d.sync += [issuing.eq(0), busy.eq(0)]
        self._beats(m, fire, room, job)
        return m

    def _beats(self, m, fire, room, job):
        """Follow the rows from the buffer to the port, with the lines that they are written of."""
        # Nothing stalls on its way: a row sets out when there is a place for it in the queue. What
        # memory stalls then is a few pointers, and no enable of a beat.
        m.submodules.beats = queue = BookedQueue(
            BookedQueueParameters(shape=self.w.payload.shape(), depth=_BEATS, early=True)
        )
        wiring.connect(m, queue.o, wiring.flipped(self.w))
        words, half, placed = (
            Signal(BLOCK_CODES, name=name, reset_less=True) for name in ("words", "half", "placed")
        )
        first, *later = beats = [
            Signal(data.StructLayout(_BEAT), name=f"beat_{n}") for n in range(4)
        ]
        m.d.comb += queue.booked.eq(fire)
        m.d.sync += [
            room.eq(queue.room),
            first.valid.eq(fire),
            first.turn.eq(turn_of(self.read)),
            first.good.eq(job.good),
            first.wide.eq(job.wide),
            Cat(later).eq(Cat(beats)),
            words.eq(self.read_data),
            half.eq(exchange(m, words, beats[1].turn, (2, 3))),
            placed.eq(exchange(m, half, beats[2].turn, (0, 1))),
        ]
        beat = beats[-1]
        narrow = Cat(beat.good[n // 8] for n in range(BEAT_BYTES))
        wide = Cat(beat.good[n // 4] for n in range(BEAT_BYTES))
        m.d.comb += [
            queue.i.valid.eq(beat.valid),
            queue.i.p.data.eq(placed),
            queue.i.p.strb.eq(Mux(beat.wide, wide, narrow)),
            queue.i.p.last.eq(1),
        ]
