"""Which slots of the read buffer may be filled anew."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["SlotKeeper"]


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
    release, release_slot : In
        A read waits no longer.
    filled, filled_slot : In
        The last plane of a block has come.
    filling : Out
        A bit for each slot: not all of its planes have come.
    hide, hide_slot : Out
        No read may join this slot from the next cycle on.
    advance : In
        A read that saw a slot in one cycle joins it by the second of these after it.
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
                "join_slot": In(p.slot_bits),
                "release": In(1),
                "release_slot": In(p.slot_bits),
                "filled": In(1),
                "filled_slot": In(p.slot_bits),
                "filling": Out(p.blocks),
                "hide": Out(1),
                "hide_slot": Out(p.slot_bits),
                "advance": In(1),
                "isolated": Out(1),
                "unread": Out(1),
                "room": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        ahead = p.blocks // 4
        # The two slots under way to the queue find room there too.
        m.submodules.ready = ready = Queue(QueueParameters(shape=p.slot_bits, depth=ahead + 2))
        wiring.connect(m, ready.o, wiring.flipped(self.free))
        waiting, hidden, once = Signal(p.blocks), Signal(p.blocks), Signal(p.blocks)
        never, offered = Signal(p.blocks), Signal()
        self._count(m, waiting, once, never)
        self._room(m, never)
        slot, first, second = (Signal(p.slot_bits, name=f"slot_{n}") for n in range(3))
        first_valid, second_valid = Signal(), Signal()
        m.d.comb += [
            self.hide.eq(
                self.advance
                & (ready.level < ahead)
                & ~waiting.bit_select(slot, 1)
                & ~hidden.bit_select(slot, 1)
            ),
            self.hide_slot.eq(slot),
            ready.i.payload.eq(second),
            offered.eq(self.advance & second_valid & ~waiting.bit_select(second, 1)),
            ready.i.valid.eq(offered),
            self.isolated.eq(offered & once.bit_select(second, 1)),
            self.unread.eq(offered & never.bit_select(second, 1)),
        ]
        with m.If(self.advance):
            m.d.sync += [
                slot.eq(slot + (ready.level < ahead)),
                first.eq(slot),
                first_valid.eq(self.hide),
                second.eq(first),
                second_valid.eq(first_valid),
            ]
        with m.If(self.advance & second_valid & ~offered):
            m.d.sync += hidden.bit_select(second, 1).eq(0)
        with m.If(self.unread):
            m.d.sync += never.bit_select(second, 1).eq(0)
        with m.If(self.fresh):
            m.d.sync += hidden.bit_select(self.join_slot, 1).eq(0)
        with m.If(self.hide):
            m.d.sync += hidden.bit_select(slot, 1).eq(1)
        return m

    def _room(self, m, never):
        """Count the blocks that nobody has read."""
        count = Signal(range(self.parameters.blocks + 1))
        begins = self.fresh & ~self.join
        reads = self.join & ~self.fresh & never.bit_select(self.join_slot, 1)
        m.d.sync += [
            count.eq(count + begins - reads - self.unread),
            self.room.eq(count < self.parameters.blocks // 2),
        ]

    def _count(self, m, waiting, once, never):
        """One counter of waiting reads for each slot."""
        p = self.parameters
        for n in range(p.blocks):
            count = Signal(range(p.reads + 4), name=f"count_{n}")
            joins, leaves = Signal(name=f"joins_{n}"), Signal(name=f"leaves_{n}")
            m.d.comb += [
                joins.eq(self.join & (self.join_slot == n)),
                leaves.eq(self.release & (self.release_slot == n)),
                waiting[n].eq(count.any() | self.filling[n]),
            ]
            with m.If(joins ^ leaves):
                m.d.sync += count.eq(Mux(joins, count + 1, count - 1))
            taken = self.fresh & (self.join_slot == n)
            with m.If(taken):
                m.d.sync += [once[n].eq(self.join), never[n].eq(~self.join)]
            with m.Elif(joins):
                m.d.sync += [once[n].eq(never[n]), never[n].eq(0)]
            with m.If(taken):
                m.d.sync += self.filling[n].eq(1)
            with m.Elif(self.filled & (self.filled_slot == n)):
                m.d.sync += self.filling[n].eq(0)
