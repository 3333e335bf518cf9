"""Collects written lines block by block, and sees to partial writes."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.cxl import LINE_ADDRESS_BITS
from lamina.formats.planes import BLOCK_CODES
from lamina.formats.views import BLOCK_ROWS, access_layout, line_layout
from lamina.store.device_front import response_layout
from lamina.store.plane_buffer import BANKS, WORD_BITS
from lamina.store.write_queue import order_layout

__all__ = ["WriteGather", "staged_layout"]


def staged_layout(beat_bits: int) -> data.StructLayout:
    """Return a block that is being written: its lines, and those of them that are poisoned."""
    return data.StructLayout(
        {
            "address": unsigned(beat_bits),
            "planes": unsigned(5),
            "row_shift": unsigned(4),
            "wide": unsigned(1),
            "lines": unsigned(BLOCK_ROWS),
            "poisoned": unsigned(BLOCK_ROWS),
        }
    )


def _words(line, wide):
    """Return a line of containers as the words of a group: each row's bits side by side."""
    integers = Cat(
        line[8 * (32 * half + c) + b] for b in range(8) for half in range(2) for c in range(32)
    )
    floats = Cat(line[16 * c + b] for b in range(BANKS) for c in range(WORD_BITS))
    return Mux(wide, floats, integers)


class WriteGather(wiring.Component):
    """Puts lines into slots of the write buffer; lines of one block that follow each other share.

    Parameters: `DeviceParameters`.

    A partial write waits until all writes before it are in memory, reads its line through the
    read path, and goes on as a whole line. A poisoned line is noted, its data are not written.

    Members
    -------
    i : In(stream of order_layout)
    payload : In(stream)
        Data of the same writes, there when their orders are.
    dropped : Out(stream of response_layout)
        Answers to writes that do nothing.
    fetch : Out(stream of line addresses)
    fetched : In(stream of line_layout)
        A line that a partial write asked for.
    write_enable, write, write_data : Out
        To the plane buffer; ``write_data`` a cycle later.
    tag_enable, tag_place, tag : Out
        Whom to answer for a line of a slot; ``tag_place`` is {line, slot}.
    staged, staged_slot, staged_enable : Out
        What is known of a slot, with every line that comes to it.
    tail : Out
        Slots taken since reset; the newest is ``tail`` - 1.
    lines, open : Out
        Lines of the newest slot; it may be joined.
    used : Out
        Slots in use; those that were given back in the last two cycles too.
    begins, begun : In
        No line may join slot ``begun`` from the next cycle on.
    done : In
        Slots given back since reset.
    unmapped, read_only, partial : Out
        Pulses.

    Timing: a line a cycle.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(order_layout(p.beat_bits))),
                "payload": In(stream.Signature(p.payload_layout)),
                "dropped": Out(stream.Signature(response_layout())),
                "fetch": Out(stream.Signature(LINE_ADDRESS_BITS)),
                "fetched": In(stream.Signature(line_layout())),
                "write_enable": Out(1),
                "write": Out(access_layout(p.write_slot_bits)),
                "write_data": Out(BLOCK_CODES),
                "tag_enable": Out(1),
                "tag_place": Out(4 + p.write_slot_bits),
                "tag": Out(response_layout()),
                "staged": Out(staged_layout(p.beat_bits)),
                "staged_slot": Out(p.write_slot_bits),
                "staged_enable": Out(1),
                "tail": Out(p.write_slot_bits + 1),
                "lines": Out(BLOCK_ROWS),
                "open": Out(1),
                "used": Out(p.write_slot_bits + 1),
                "begins": In(1),
                "begun": In(p.write_slot_bits),
                "done": In(p.write_slot_bits + 1),
                "unmapped": Out(1),
                "read_only": Out(1),
                "partial": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        order = self.i.p.write
        write, used, lines = Signal.like(order), self.used, self.lines
        # Registers, decided the cycle before: the write leaves; the next one comes; the write goes
        # into a slot; into the newest one; into a new one.
        leave, free, stage = Signal(), Signal(init=1), Signal()
        joined, opened = Signal(), Signal()
        stays = Signal()  # ``free`` the other way round, for some of those who need it
        # Registers: what is left to do for the write; it is ``whole`` and waits for a slot.
        dropping, lacking, whole = Signal(), Signal(), Signal()
        room, dropped, goes = Signal(), Signal(), Signal()
        comes, merged, given = Signal(), Signal(), Signal(2)
        used_next, nearly_full = Signal.like(used), Signal()
        m.d.comb += [
            comes.eq(self.i.valid & self.i.p.whole),
            used_next.eq(used + opened - given[1]),
            room.eq(~used[-1] & ~(opened & nearly_full)),
            self.i.ready.eq(~stays),
            self.payload.ready.eq(leave),
            self.dropped.valid.eq(dropping),
            self.dropped.p.tag.eq(write.message.tag),
            self.dropped.p.ld_id.eq(write.message.ld_id),
            dropped.eq(dropping & self.dropped.ready),
            self.unmapped.eq(dropped & write.unmapped),
            self.read_only.eq(dropped & ~write.unmapped),
        ]
        with m.If(free):
            m.d.sync += [
                write.eq(order),
                dropping.eq(self.i.valid & order.drop),
                lacking.eq(self.i.valid & ~order.drop & ~self.i.p.whole),
            ]
        with m.Elif(dropped):
            m.d.sync += dropping.eq(0)
        m.d.sync += [
            stage.eq(goes),
            whole.eq(~goes & (whole | merged | (free & comes))),
            leave.eq(goes | dropped),
            free.eq(goes | dropped | (free & ~self.i.valid)),
            stays.eq(~(goes | dropped | (free & ~self.i.valid))),
            given.eq(Cat(self.done[0], given[0] ^ self.done[0])),
            used.eq(used_next),
            nearly_full.eq(used_next[:-1].all()),
        ]
        self._decide(m, lines, room, ~stays, comes, whole, goes, joined, opened)
        self._merge(m, write, lacking, merged, used)
        self._stage(m, write, lines, stage, joined)
        return m

    def _decide(self, m, lines, room, free, comes, whole, goes, joined, opened):
        """See whether the write that will be here in the next cycle goes into a slot then."""
        newest = (self.tail - 1)[: len(self.begun)]
        # The newest slot is open, and stays so; it is the next to begin; the write may join it.
        opens, next_, joinable = Signal(), Signal(), Signal()
        # The write goes if there is room, or as it waited to; or if its line is not there.
        # Kept: what is known late is not to become one with what is known early.
        waited = Signal()
        there, sure, maybe = (
            Signal(name=name, attrs={"keep": 1}) for name in ("there", "sure", "maybe")
        )
        m.d.comb += [
            opens.eq(opened | (self.open & ~(self.begins & next_))),
            # A line that is there already is answered for already.
            there.eq(self.i.p.again | (~opened & (lines & self.i.p.line_bit).any())),
            waited.eq(opens & whole & joinable),
            sure.eq(waited | (room & (whole | (free & comes)))),
            maybe.eq(opens & free & comes & self.i.p.same),
            goes.eq(sure | (maybe & ~there)),
        ]
        m.d.sync += [
            self.open.eq(opens),
            next_.eq(~opened & (self.begun == newest)),
            joined.eq(waited | (maybe & ~there)),
            opened.eq(sure & ~waited & ~(maybe & ~there)),
        ]
        with m.If(free):
            m.d.sync += joinable.eq(self.i.p.same & ~there)

    def _merge(self, m, write, lacking, merged, used):
        """Fetch the line of a partial write; the bytes that it has are written over it."""
        reading, line = Signal(), Signal(BLOCK_CODES)
        # The line has come, and is bad: a cycle ago, as others wait for the same answers.
        got, bad = Signal(), Signal()
        m.d.comb += [self.fetch.payload.eq(write.message.line), self.fetched.ready.eq(reading)]
        m.d.sync += [got.eq(reading & self.fetched.valid), bad.eq(self.fetched.p.poison)]
        with m.If(self.fetched.valid):
            m.d.sync += reading.eq(0)
        with m.FSM(name="merge"):
            with m.State("IDLE"):
                with m.If(lacking & (used == 0)):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += [self.fetch.valid.eq(1), self.partial.eq(self.fetch.ready)]
                with m.If(self.fetch.ready):
                    m.d.sync += reading.eq(1)
                    m.next = "READ"
            with m.State("READ"):
                with m.If(got):
                    m.d.sync += lacking.eq(0)
                    m.d.comb += merged.eq(1)
                    with m.If(bad):
                        m.d.sync += write.message.poison.eq(1)
                    m.next = "IDLE"
        for byte in range(64):
            part, new = line.word_select(byte, 8), self.payload.p.data.word_select(byte, 8)
            with m.If(reading | ~write.message.partial | self.payload.p.byte_enable[byte]):
                m.d.sync += part.eq(Mux(reading, self.fetched.p.data.word_select(byte, 8), new))
        # The line is here a cycle after its write has gone into a slot.
        wide = Signal()
        m.d.sync += wide.eq(write.wide)
        m.d.comb += self.write_data.eq(_words(line, wide))

    def _stage(self, m, write, lines, stage, joined):
        """Enter a line into the newest slot, or into a new one."""
        slot = Signal(self.parameters.write_slot_bits)
        bit, poisoned = Signal(BLOCK_ROWS), Signal(BLOCK_ROWS)
        m.d.comb += [
            slot.eq(Mux(joined, self.tail - 1, self.tail)),
            bit.eq(1 << write.line),
            self.write_enable.eq(stage),
            self.write.slot.eq(slot),
            self.write.across.eq(1),
            self.write.index.eq(write.line),
            self.write.group.eq(Mux(write.wide, 4, 3)),
            self.tag_enable.eq(stage),
            self.tag_place.eq(Cat(slot, write.line)),
            self.tag.tag.eq(write.message.tag),
            self.tag.ld_id.eq(write.message.ld_id),
            self.staged_enable.eq(stage),
            self.staged_slot.eq(slot),
            *(self.staged[n].eq(write[n]) for n in ("address", "planes", "row_shift", "wide")),
            self.staged.lines.eq(Mux(joined, lines, 0) | bit),
            self.staged.poisoned.eq(
                Mux(joined, poisoned, 0) | Mux(write.message.poison, bit, 0),
            ),
        ]
        with m.If(stage):
            m.d.sync += [
                lines.eq(self.staged.lines),
                poisoned.eq(self.staged.poisoned),
                self.tail.eq(self.tail + ~joined),
            ]
