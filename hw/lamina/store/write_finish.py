"""Ends writes: counts the memory's answers, keeps the poison table true, and answers the host."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import write_response_layout
from lamina.formats.views import BLOCK_ROWS
from lamina.store.block_lookup import MARK_BITS
from lamina.store.device_front import response_layout
from lamina.store.poison_table import update_layout
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["WriteFinish"]


class WriteFinish(wiring.Component):
    """Answers the lines of a slot once all its planes are in memory and no read can miss them.

    Parameters: `DeviceParameters`.

    Members
    -------
    expect : In(stream)
        How many answers come for each slot.
    b : In(stream)
    staged_slot, address
        Address of a slot's block, a cycle later.
    lines, poisoned : In
        Of each slot.
    any_poison : In
        The poison table is not empty.
    update : Out(stream of update_layout)
        First the lines that became bad, then those that are good again.
    stale, stale_mark : Out
        The block in memory is newer than what was read of it.
    tag_place, tag
        Whom to answer, a cycle later.
    done : Out
        Slots given back since reset.
    o : Out(stream of response_layout)
    failed : Out
        Pulse: the memory answered with an error.

    Timing: a Cmp a cycle, four cycles from slot to slot, and the poison table's if it is needed.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "expect": In(stream.Signature(5)),
                "b": In(stream.Signature(write_response_layout(p.axi))),
                "staged_slot": Out(p.write_slot_bits),
                "address": In(p.beat_bits),
                "lines": In(BLOCK_ROWS * p.write_blocks),
                "poisoned": In(BLOCK_ROWS * p.write_blocks),
                "any_poison": In(1),
                "update": Out(stream.Signature(update_layout(p.beat_bits))),
                "stale": Out(1),
                "stale_mark": Out(MARK_BITS),
                "tag_place": Out(4 + p.write_slot_bits),
                "tag_read": Out(1),
                "tag": In(response_layout()),
                "done": Out(p.write_slot_bits + 1),
                "o": Out(stream.Signature(response_layout())),
                "failed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.ended = ended = Queue(QueueParameters(shape=1, depth=p.write_blocks))
        self._count(m, ended)
        slot = self.done[: p.write_slot_bits]
        left, bad, good = Signal(BLOCK_ROWS), Signal(BLOCK_ROWS), Signal(BLOCK_ROWS)
        line, lowest = Signal(4), Signal(BLOCK_ROWS)
        m.d.comb += [
            self.staged_slot.eq(slot),
            self.stale_mark.eq(self.address),
            self.update.p.entry.block.eq(self.address),
            lowest.eq(left & (-left)[:BLOCK_ROWS]),
            self.tag_place.eq(Cat(slot, line)),
            self.o.payload.eq(self.tag),
        ]
        for n in range(BLOCK_ROWS):
            with m.If(lowest[n]):
                m.d.comb += line.eq(n)
        with m.FSM(name="finish"):
            with m.State("IDLE"):
                with m.If(ended.o.valid):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += ended.o.ready.eq(1)
                there = self.lines.word_select(slot, BLOCK_ROWS)
                poisoned = self.poisoned.word_select(slot, BLOCK_ROWS)
                lines = Mux(ended.o.payload, there, poisoned)
                m.d.sync += [
                    left.eq(there),
                    bad.eq(lines),
                    good.eq(there & ~lines),
                ]
                m.next = "BAD"
            with m.State("BAD"):
                m.d.comb += self.update.p.set.eq(1), self.update.p.entry.lines.eq(bad)
                m.d.comb += self.update.valid.eq(bad.any())
                with m.If(self.update.ready | ~bad.any()):
                    m.next = "GOOD"
            with m.State("GOOD"):
                m.d.comb += self.update.p.entry.lines.eq(good)
                m.d.comb += self.update.valid.eq(good.any() & self.any_poison)
                with m.If(self.update.ready | ~(good.any() & self.any_poison)):
                    m.d.comb += self.stale.eq(1)
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                free = self.o.ready | ~self.o.valid
                m.d.comb += self.tag_read.eq(free)
                with m.If(free):
                    m.d.sync += [left.eq(left & ~lowest), self.o.valid.eq(left.any())]
                    with m.If(~left.any()):
                        m.d.sync += self.done.eq(self.done + 1)
                        m.next = "IDLE"
        return m

    def _count(self, m, ended):
        """Gather the answers of each slot into one: whether any of them was an error."""
        left, valid, error = Signal(5), Signal(), Signal()
        last = Signal()
        m.d.comb += [
            self.expect.ready.eq(~valid),
            last.eq(left == 1),
            self.b.ready.eq(valid & (ended.i.ready | ~last)),
            ended.i.valid.eq(self.b.valid & valid & last),
            ended.i.payload.eq(error | self.b.p.resp[1]),
            self.failed.eq(self.b.valid & self.b.ready & self.b.p.resp[1]),
        ]
        with m.If(self.expect.valid & self.expect.ready):
            m.d.sync += [left.eq(self.expect.payload), valid.eq(1), error.eq(0)]
        with m.Elif(self.b.valid & self.b.ready):
            m.d.sync += [left.eq(left - 1), error.eq(ended.i.payload), valid.eq(~last)]
