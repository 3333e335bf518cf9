"""Collects written lines block by block, and sees to partial writes."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.cxl import LINE_ADDRESS_BITS
from lamina.formats.planes import BLOCK_CODES
from lamina.formats.views import BLOCK_ROWS, access_layout, line_layout, write_layout
from lamina.store.device_front import response_layout
from lamina.store.plane_buffer import BANKS, WORD_BITS

__all__ = ["WriteGather", "staged_layout"]


def staged_layout(beat_bits: int) -> data.StructLayout:
    """Return a block that is being written."""
    return data.StructLayout(
        {
            "address": unsigned(beat_bits),
            "planes": unsigned(5),
            "row_shift": unsigned(4),
            "wide": unsigned(1),
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
    i, payload : In(streams)
        `write_layout` and the data of the same writes.
    dropped : Out(stream of response_layout)
        Answers to writes that do nothing.
    fetch : Out(stream of line addresses)
    fetched : In(stream of line_layout)
        A line that a partial write asked for.
    write_enable, write, write_data : Out
        To the plane buffer.
    tag_enable, tag_place, tag : Out
        Whom to answer for a line of a slot; ``tag_place`` is {line, slot}.
    staged, staged_slot, staged_enable : Out
        A new slot: its block.
    lines, poisoned : Out
        Of each slot, 16 bits: its lines, and those of them that are poisoned.
    tail : Out
        Slots taken since reset; the newest is ``tail`` - 1.
    closed : In
        No line may join slots before this count, modulo its range.
    done : In
        Slots given back since reset.
    unmapped, read_only, partial : Out
        Pulses.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        slots = p.write_blocks
        super().__init__(
            {
                "i": In(stream.Signature(write_layout(p.beat_bits))),
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
                "lines": Out(BLOCK_ROWS * slots),
                "poisoned": Out(BLOCK_ROWS * slots),
                "tail": Out(p.write_slot_bits + 1),
                "closed": In(p.write_slot_bits + 1),
                "done": In(p.write_slot_bits + 1),
                "unmapped": Out(1),
                "read_only": Out(1),
                "partial": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        write, line = Signal(self.i.payload.shape()), Signal(BLOCK_CODES)
        enable, valid, poison = Signal(64), Signal(), Signal()
        whole = Signal()  # nothing is left to be read for this write
        join, room, used, take = Signal(), Signal(), Signal.like(self.tail), Signal()
        drop, stage = Signal(), Signal()
        slot, newest = Signal(self.parameters.write_slot_bits), Signal.like(self.tail)
        free = ~valid | take
        both = self.i.valid & self.payload.valid
        m.d.comb += [
            self.i.ready.eq(free & self.payload.valid),
            self.payload.ready.eq(free & self.i.valid),
            used.eq(self.tail - self.done),
            newest.eq(self.tail - 1),
            room.eq(used != self.parameters.write_blocks),
            drop.eq(valid & write.drop),
            stage.eq(valid & ~write.drop & whole & (join | room)),
            slot.eq(Mux(join, newest, self.tail)),
            self.dropped.valid.eq(drop),
            self.dropped.p.tag.eq(write.message.tag),
            self.dropped.p.ld_id.eq(write.message.ld_id),
            take.eq(stage | (drop & self.dropped.ready)),
            self.unmapped.eq(take & drop & write.unmapped),
            self.read_only.eq(take & drop & ~write.unmapped),
        ]
        with m.If(free):
            m.d.sync += [
                valid.eq(both),
                write.eq(self.i.payload),
                line.eq(self.payload.p.data),
                enable.eq(self.payload.p.byte_enable),
                poison.eq(self.i.p.message.poison),
                whole.eq(~self.i.p.message.partial),
            ]
        self._merge(m, write, line, enable, poison, whole, valid, used)
        self._stage(m, write, line, poison, stage, join, slot, newest, used)
        return m

    def _merge(self, m, write, line, enable, poison, whole, valid, used):
        """Make a partial write whole."""
        m.d.comb += self.fetch.payload.eq(write.message.line)
        with m.FSM(name="merge"):
            with m.State("IDLE"):
                with m.If(valid & ~write.drop & ~whole & (used == 0)):
                    m.d.comb += [self.fetch.valid.eq(1), self.partial.eq(self.fetch.ready)]
                    with m.If(self.fetch.ready):
                        m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.fetched.ready.eq(1)
                with m.If(self.fetched.valid):
                    old = self.fetched.p.data
                    for byte in range(64):
                        with m.If(~enable[byte]):
                            m.d.sync += line.word_select(byte, 8).eq(old.word_select(byte, 8))
                    m.d.sync += [whole.eq(1), poison.eq(poison | self.fetched.p.poison)]
                    m.next = "IDLE"

    def _stage(self, m, write, line, poison, stage, join, slot, newest, used):
        """Enter a line into the newest slot, or into a new one."""
        p = self.parameters
        key, last_key = Cat(write.block, write.index), Signal(38)
        bit = Signal(BLOCK_ROWS)
        newest_lines = Signal(BLOCK_ROWS)
        m.d.comb += [
            bit.eq(1 << write.line),
            newest_lines.eq(self.lines.word_select(newest[: p.write_slot_bits], BLOCK_ROWS)),
            # A line that is there already is answered for already.
            join.eq(
                (used != 0)
                & (self.closed != self.tail)
                & (key == last_key)
                & ~(newest_lines & bit).any()
            ),
            self.write_enable.eq(stage),
            self.write.slot.eq(slot),
            self.write.across.eq(1),
            self.write.index.eq(write.line),
            self.write.group.eq(Mux(write.wide, 4, 3)),
            self.write_data.eq(_words(line, write.wide)),
            self.tag_enable.eq(stage),
            self.tag_place.eq(Cat(slot, write.line)),
            self.tag.tag.eq(write.message.tag),
            self.tag.ld_id.eq(write.message.ld_id),
            self.staged_enable.eq(stage & ~join),
            self.staged_slot.eq(slot),
            *(self.staged[n].eq(write[n]) for n in ("address", "planes", "row_shift", "wide")),
        ]
        with m.If(stage):
            m.d.sync += last_key.eq(key)
            lines = self.lines.word_select(slot, BLOCK_ROWS)
            poisoned = self.poisoned.word_select(slot, BLOCK_ROWS)
            m.d.sync += [
                lines.eq(Mux(join, lines, 0) | bit),
                poisoned.eq(Mux(join, poisoned, 0) | Mux(poison, bit, 0)),
                self.tail.eq(self.tail + ~join),
            ]
