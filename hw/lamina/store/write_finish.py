"""Ends writes: counts the memory's answers, keeps the poison table true, and answers the host."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import write_response_layout
from lamina.formats.views import BLOCK_ROWS
from lamina.store.block_lookup import MARK_BITS
from lamina.store.device_front import response_layout
from lamina.store.poison_table import update_layout
from lamina.store.write_gather import staged_layout
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["WriteFinish"]


def _indices(lowest, bit):
    """Return a bit of the index of the one bit that is set."""
    return Cat(one for n, one in enumerate(lowest) if n >> bit & 1).any()


class WriteFinish(wiring.Component):
    """Answers the lines of a slot once all its planes are in memory and no read can miss them.

    Parameters: `DeviceParameters`.

    Members
    -------
    expect : In(stream)
        How many answers come for each slot.
    b : In(stream)
    staged_slot, staged
        What is known of a slot, a cycle after it is asked for.
    any_poison : In
        The poison table is not empty.
    update : Out(stream of update_layout)
        First the lines that became bad, then those that are good again.
    stale, stale_mark : Out
        The block in memory is newer than what was read of it.
    tag_place, tag
        Whom to answer, a cycle later.
    left : Out
        Lines to be answered whose tags have not been asked for.
    done : Out
        Slots given back since reset.
    o : Out(stream of response_layout)
    failed : Out
        Pulse: the memory answered with an error.

    Timing: a Cmp a cycle, eight cycles from slot to slot, and the poison table's if it is needed.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "expect": In(stream.Signature(5)),
                "b": In(stream.Signature(write_response_layout(p.axi))),
                "staged_slot": Out(p.write_slot_bits),
                "staged": In(staged_layout(p.beat_bits)),
                "any_poison": In(1),
                "update": Out(stream.Signature(update_layout(p.beat_bits))),
                "stale": Out(1),
                "stale_mark": Out(MARK_BITS),
                "tag_place": Out(4 + p.write_slot_bits),
                "tag_read": Out(1),
                "tag": In(response_layout()),
                "left": Out(BLOCK_ROWS),
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
        left, changed, good = Signal(BLOCK_ROWS), Signal(BLOCK_ROWS), Signal(BLOCK_ROWS)
        failed, some_good, updated = Signal(), Signal(), Signal()
        lowest, line, free = Signal(BLOCK_ROWS), Signal(4), Signal()
        # Registers: there is a line; its tag is being read; the last one is.
        chosen, asked, over = Signal(), Signal(), Signal()
        m.d.comb += [
            self.staged_slot.eq(slot),
            self.stale_mark.eq(self.staged.address),
            self.update.p.entry.block.eq(self.staged.address),
            self.update.p.entry.lines.eq(changed),
            updated.eq(self.update.ready | ~self.update.valid),
            lowest.eq(left & (-left)[:BLOCK_ROWS]),
            self.tag_place.eq(Cat(slot, line)),
            free.eq(self.o.ready | ~self.o.valid),
            self.tag_read.eq(free & chosen),
            self.left.eq(left | Mux(chosen, 1 << line, 0)),
        ]
        with m.If(free):
            m.d.sync += [
                chosen.eq(left.any()),
                line.eq(Cat(_indices(lowest, bit) for bit in range(4))),
                asked.eq(chosen),
                self.o.valid.eq(asked),
                self.o.payload.eq(self.tag),
            ]
        with m.FSM(name="finish"):
            with m.State("IDLE"):
                m.d.comb += ended.o.ready.eq(1)
                m.d.sync += failed.eq(ended.o.payload)
                with m.If(ended.o.valid):
                    m.next = "LOAD"
            with m.State("LOAD"):
                lines = Mux(failed, self.staged.lines, self.staged.poisoned)
                m.d.sync += [changed.eq(lines), good.eq(self.staged.lines & ~lines)]
                m.next = "SORT"
            with m.State("SORT"):
                m.d.sync += [
                    self.update.p.set.eq(1),
                    self.update.valid.eq(changed.any()),
                    some_good.eq(good.any() & self.any_poison),
                ]
                m.next = "BAD"
            with m.State("BAD"):
                with m.If(updated):
                    m.d.sync += [
                        self.update.p.set.eq(0),
                        self.update.valid.eq(some_good),
                        changed.eq(good),
                    ]
                    m.next = "GOOD"
            with m.State("GOOD"):
                with m.If(updated):
                    m.d.sync += self.update.valid.eq(0)
                    m.next = "STALE"
            with m.State("STALE"):
                m.d.comb += self.stale.eq(1)
                m.d.sync += [left.eq(self.staged.lines), over.eq(0)]
                m.next = "ANSWER"
            with m.State("ANSWER"):
                with m.If(free):
                    m.d.sync += [left.eq(left & ~lowest), over.eq(~left.any())]
                with m.If(over):
                    m.d.sync += self.done.eq(self.done + 1)
                    m.next = "IDLE"
        return m

    def _count(self, m, ended):
        """Gather the answers of each slot into one: whether any of them was an error."""
        left, valid, error, last = Signal(5), Signal(), Signal(), Signal()
        m.d.comb += [
            self.expect.ready.eq(~valid),
            self.b.ready.eq(valid & (ended.i.ready | ~last)),
            ended.i.valid.eq(self.b.valid & valid & last),
            ended.i.payload.eq(error | self.b.p.resp[1]),
            self.failed.eq(self.b.valid & self.b.ready & self.b.p.resp[1]),
        ]
        with m.If(self.expect.valid & self.expect.ready):
            m.d.sync += [
                left.eq(self.expect.payload),
                valid.eq(1),
                error.eq(0),
                last.eq(self.expect.payload == 1),
            ]
        with m.Elif(self.b.valid & self.b.ready):
            m.d.sync += [
                left.eq(left - 1),
                valid.eq(~last),
                error.eq(ended.i.payload),
                last.eq(left == 2),
            ]
