"""Which slots of the read buffer may be filled anew."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.store.read_queue import READS_AHEAD
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["SlotKeeper"]

#: Steps of a slot, in cycles after those in which reads move: seen to be idle, hidden, three until
#: the last read that saw it has left the lookup, two until it is counted, and found idle still.
_WAY = 8

#: Reads of a slot beyond those in the queue's memory: behind it, in the planner's four ranks, at
#: the reader; and two that are done, which is not counted yet.
_BEYOND = READS_AHEAD + 4 + 2 + 2


class SlotKeeper(wiring.Component):
    """Counts the reads that wait on each slot, and offers slots that none waits on, oldest first.

    Parameters: `DeviceParameters`.

    A slot is first hidden, so that no further read joins it, and offered when all reads that
    could have seen it are counted, if there is none among them. So a few slots are ready ahead,
    and a read that needs one need not wait for the search. A slot whose planes have not all come
    is not offered.

    Members
    -------
    free : Out(stream of slots)
    join, fresh, join_slot : In
        A read waits on a slot; the slot is taken for a new block; or both.
    fresh_at : In
        A bit for each slot: it is taken. ``taken`` : Out, the same a cycle later.
    release, release_slot : In
        A read waits no longer.
    filled : In
        A bit for each slot: the last plane of its block has come.
    filling : Out
        A bit for each slot: not all of its planes have come.
    hide : Out
        A bit for each slot: no read may join it from the next cycle on.
    advance : In
        A read that saw a slot in one cycle leaves by the second of these after it, and joins the
        slot a cycle later.
    isolated, unread : Out
        Pulses: the block in a slot that is offered was read only once, or never.
    room : Out
        Fewer than half of the slots have blocks that nobody has read yet.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "free": Out(stream.Signature(p.slot_bits)),
                "join": In(1),
                "fresh": In(1),
                "fresh_at": In(p.blocks),
                "taken": Out(p.blocks),
                "join_slot": In(p.slot_bits),
                "release": In(1),
                "release_slot": In(p.slot_bits),
                "filled": In(p.blocks),
                "filling": Out(p.blocks),
                "hide": Out(p.blocks),
                "advance": In(1),
                "isolated": Out(1),
                "unread": Out(1),
                "room": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        # Some are to be ready when others are on their way.
        wanted = min(p.blocks // 4 + _WAY, p.blocks - 2)
        m.submodules.ready = ready = Queue(QueueParameters(shape=p.slot_bits, depth=wanted))
        wiring.connect(m, ready.o, wiring.flipped(self.free))
        busy, hidden, once = Signal(p.blocks), Signal(p.blocks), Signal(p.blocks)
        never = Signal(p.blocks)
        slot, good, gone = Signal(p.slot_bits), Signal(), Signal(p.slot_bits)
        joined, taken = Signal(p.blocks), self.taken
        way = [Signal(p.slot_bits, name=f"slot_{n}") for n in range(1, _WAY + 1)]
        on_way, idle, last = Signal(_WAY - 1), Signal(), way[-1]
        offered, refused, looks = Signal(), Signal(), Signal()
        # The slot that is hidden next, if it is: a bit for each, as many look at it.
        advance, hides, hiding = Signal(), Signal(), Signal(p.blocks)
        # Looked at in two ranks: some slots are picked, then one of them.
        low = min(3, p.slot_bits)
        some, picked, looked = Signal(1 << low), Signal(p.slot_bits), Signal()
        self._count(m, busy, once, never, joined, taken)
        self._room(m, never, joined, taken)
        self._wanted(m, wanted, hides, refused, looks)
        m.d.sync += [
            advance.eq(self.advance),
            self.isolated.eq(offered & once.bit_select(last, 1)),
            self.unread.eq(offered & never.bit_select(last, 1)),
            gone.eq(last),
        ]
        m.d.comb += [
            hides.eq(advance & good),
            self.hide.eq(Mux(hides, hiding, 0)),
            ready.i.payload.eq(last),
            offered.eq(advance & on_way[-1] & idle),
            refused.eq(advance & on_way[-1] & ~idle),
            ready.i.valid.eq(offered),
        ]
        with m.If(advance):
            m.d.sync += [
                slot.eq(slot + looks),
                some.eq((busy | hidden).word_select(slot[low:], 1 << low)),
                picked.eq(slot),
                looked.eq(looks),
                good.eq(looked & ~some.bit_select(picked[:low], 1)),
                Cat(*way).eq(Cat(picked, *way[:-1])),
                hiding.eq(1 << picked),
                on_way.eq(Cat(good, on_way)),
                idle.eq(~busy.bit_select(way[-2], 1)),
            ]
        settled = Signal(p.blocks)
        m.d.sync += settled.eq(taken)
        for n in range(p.blocks):
            with m.If(self.hide[n]):
                m.d.sync += hidden[n].eq(1)
            # A slot that was taken is seen to be busy by now.
            with m.Elif((refused & (last == n)) | settled[n]):
                m.d.sync += hidden[n].eq(0)
            with m.If(self.unread & (gone == n)):
                m.d.sync += never[n].eq(0)
        return m

    def _wanted(self, m, wanted, hides, refused, looks):
        """Count the slots that are hidden and not taken, which is told a cycle late: three more may
        be hidden when that is known.
        """
        count = Signal(range(wanted + 1))
        m.d.sync += [
            count.eq(count + hides - refused - self.fresh),
            looks.eq(count < wanted - 3),
        ]

    def _room(self, m, never, joined, taken):
        """Count the blocks that nobody has read."""
        count = Signal(range(self.parameters.blocks + 1))
        begins, first = Signal(), Signal(self.parameters.blocks)
        reads = Signal()
        m.d.sync += [
            begins.eq(self.fresh & ~self.join),
            first.eq(joined & ~taken & never),
            reads.eq(first.any()),
            count.eq(count + begins - reads - self.unread),
            self.room.eq(count < self.parameters.blocks // 2),
        ]

    def _count(self, m, busy, once, never, joined, taken):
        """One counter of waiting reads for each slot."""
        p = self.parameters
        released = Signal(p.blocks)
        for n in range(p.blocks):
            count = Signal(range(p.reads + _BEYOND + 1), name=f"count_{n}")
            m.d.sync += [
                joined[n].eq(self.join & (self.join_slot == n)),
                taken[n].eq(self.fresh_at[n]),
                released[n].eq(self.release & (self.release_slot == n)),
                busy[n].eq(count.any() | self.filling[n]),
            ]
            with m.If(joined[n] ^ released[n]):
                m.d.sync += count.eq(Mux(joined[n], count + 1, count - 1))
            with m.If(taken[n]):
                m.d.sync += [once[n].eq(joined[n]), never[n].eq(~joined[n])]
            with m.Elif(joined[n]):
                m.d.sync += [once[n].eq(never[n]), never[n].eq(0)]
            with m.If(taken[n]):
                m.d.sync += self.filling[n].eq(1)
            with m.Elif(self.filled[n]):
                m.d.sync += self.filling[n].eq(0)
