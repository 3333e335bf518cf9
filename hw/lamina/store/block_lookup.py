"""Which blocks are in the read buffer, and what becomes of a read: hit, wait, or fetch."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.views import VIEW_INDEX_BITS, ViewKind, place_layout, read_layout
from lamina.store.slot_keeper import SlotKeeper

__all__ = ["MARK_BITS", "BlockLookup"]

#: Low bits of a block's address by which a finished write finds blocks that are out of date.
MARK_BITS = 10

_KEY_BITS = VIEW_INDEX_BITS + 32


class BlockLookup(wiring.Component):
    """Two stages: compare a read's block with those in the slots; take a slot if there is none.

    Parameters: `DeviceParameters`.

    A read of a block that is in a slot, or on its way there, joins it. Any other read gets a slot
    that no waiting read names, and an order to fetch goes out. A prefetch does the same if a slot
    is free, and goes no further. Writes pass through.

    Members
    -------
    i, i_valid : In
        `place_layout` in the first stage.
    advance : Out
        The stages move, and all before them.
    read : Out(stream of read_layout)
        Reads in the order in which they came, each before its block is fetched.
    o, o_valid : Out
        What leaves the second stage: ``o_fetch`` says that its block is to be fetched into slot
        ``o_slot``, ``o_inside`` that the block is one of the view's.
    ordered, ordered_slot, ordered_count : Out
        A block of so many beats will be fetched, told as its first read leaves by ``read``.
    release, release_slot : In
        A read that waited on a slot has read it.
    filled, filled_slot, filling
        As in `SlotKeeper`.
    mark, mark_slot, mark_valid : In
        The address of the block that is fetched into a slot, its low bits.
    stale, stale_mark : In
        Blocks of that mark are out of date: no later read joins them.
    drop, drop_slot : In
        The same of one slot. ``flush``: of all.
    void : In
        Prefetches fetch nothing.
    room : Out
        As in `SlotKeeper`.
    prefetch_done : Out
        Pulse: a prefetch was looked up.
    hit, isolated, unread, prefetched : Out
        Pulses: a read joined; a block leaves that was read once, or never; one is fetched that
        nobody has asked for.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(place_layout(p.view)),
                "i_valid": In(1),
                "advance": Out(1),
                "read": Out(stream.Signature(read_layout(p.slot_bits))),
                "o": Out(place_layout(p.view)),
                "o_valid": Out(1),
                "o_fetch": Out(1),
                "o_inside": Out(1),
                "o_slot": Out(p.slot_bits),
                "release": In(1),
                "release_slot": In(p.slot_bits),
                "filled": In(1),
                "filled_slot": In(p.slot_bits),
                "filling": Out(p.blocks),
                "mark": In(MARK_BITS),
                "mark_slot": In(p.slot_bits),
                "mark_valid": In(1),
                "stale": In(1),
                "stale_mark": In(MARK_BITS),
                "drop": In(1),
                "drop_slot": In(p.slot_bits),
                "flush": In(1),
                "ordered": Out(1),
                "ordered_slot": Out(p.slot_bits),
                "ordered_count": Out(5),
                "void": In(1),
                "room": Out(1),
                "prefetch_done": Out(1),
                "hit": Out(1),
                "isolated": Out(1),
                "unread": Out(1),
                "prefetched": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.keeper = keeper = SlotKeeper(self.parameters)
        place, key, hits = Signal.like(self.i), Signal(_KEY_BITS), Signal(self.parameters.blocks)
        valid, same, inside, blank, needs = (
            Signal(name=name) for name in ("valid", "same", "inside", "blank", "needs")
        )
        found, missing, moves, take = Signal(), Signal(), Signal(), Signal()
        read = Signal()
        slot, last_slot = Signal(self.parameters.slot_bits), Signal(self.parameters.slot_bits)
        m.d.comb += [
            key.eq(Cat(place.block[:32], place.index)),
            found.eq(hits.any() | same),
            missing.eq(valid & needs & ~found),
            read.eq(~place.message.write & ~place.message.prefetch),
            self.read.valid.eq(valid & read & ~(missing & ~keeper.free.valid)),
            moves.eq(valid & (~read | (self.read.valid & self.read.ready))),
            take.eq(missing & moves & keeper.free.valid & ~(place.message.prefetch & self.void)),
            self.advance.eq(~valid | moves),
            slot.eq(Mux(same, last_slot, keeper.free.payload)),
        ]
        for n in range(self.parameters.blocks):
            with m.If(hits[n]):
                m.d.comb += slot.eq(n)
        view, new_key = self.i.view, Cat(self.i.block[:32], self.i.index)
        dense = (view.kind == ViewKind.FULL) | (view.kind == ViewKind.CONTAINER)
        i_inside, i_blank, i_needs = Signal(), Signal(), Signal()
        m.d.comb += [
            i_inside.eq(self.i.mapped & (self.i.block < view.blocks)),
            i_blank.eq(~dense & (self.i.line >= view.keep)),
            i_needs.eq(~self.i.message.write & i_inside & ~i_blank),
        ]
        with m.If(self.advance):
            m.d.sync += [
                place.eq(self.i),
                valid.eq(self.i_valid),
                Cat(inside, blank, needs).eq(Cat(i_inside, i_blank, i_needs)),
                # The block that is missed now is in the table only in the next cycle.
                same.eq(take & i_needs & (new_key == key)),
                last_slot.eq(slot),
            ]
        self._table(m, keeper, hits, key, new_key, take, slot)
        m.d.comb += [
            # A read that waits for a slot has seen none: the search for one must go on meanwhile.
            keeper.advance.eq(self.advance | missing),
            keeper.free.ready.eq(take),
            keeper.join.eq(needs & moves & read),
            keeper.fresh.eq(take),
            keeper.join_slot.eq(slot),
            keeper.release.eq(self.release),
            keeper.release_slot.eq(self.release_slot),
            keeper.filled.eq(self.filled),
            keeper.filled_slot.eq(self.filled_slot),
            self.filling.eq(keeper.filling),
            self.hit.eq(needs & moves & found & read),
            self.isolated.eq(keeper.isolated),
            self.unread.eq(keeper.unread),
            self.room.eq(keeper.room),
            self.prefetch_done.eq(moves & place.message.prefetch),
            self.prefetched.eq(take & place.message.prefetch),
            self.ordered.eq(take),
            self.ordered_slot.eq(slot),
            self.ordered_count.eq(place.view.read),
        ]
        self._describe(m, place, inside, blank, slot)
        m.d.sync += [
            self.o.eq(place),
            self.o_valid.eq(moves),
            self.o_fetch.eq(take),
            self.o_inside.eq(inside),
            self.o_slot.eq(slot),
        ]
        return m

    def _table(self, m, keeper, hits, key, new_key, insert, slot):
        """The blocks in the slots: compared in the first stage, entered in the second."""
        slots = self.parameters.blocks
        valid = Signal(slots)
        keys = [Signal(_KEY_BITS, name=f"key_{n}") for n in range(slots)]
        marks = [Signal(MARK_BITS, name=f"mark_{n}") for n in range(slots)]
        for n in range(slots):
            outdated = self.flush | (self.stale & (marks[n] == self.stale_mark))
            outdated |= self.drop & (self.drop_slot == n)
            with m.If(outdated | (keeper.hide & (keeper.hide_slot == n))):
                m.d.sync += valid[n].eq(0)
            with m.If(insert & (slot == n)):
                m.d.sync += [valid[n].eq(1), keys[n].eq(key)]
            with m.If(self.mark_valid & (self.mark_slot == n)):
                m.d.sync += marks[n].eq(self.mark)
            with m.If(self.advance):
                m.d.sync += hits[n].eq(valid[n] & (keys[n] == new_key))

    def _describe(self, m, place, inside, blank, slot):
        """What the reader has to know of a read."""
        read, message = self.read.p, place.message
        m.d.comb += [
            read.unmapped.eq(~inside),
            read.blank.eq(blank),
            read.slot.eq(slot),
            read.line.eq(place.line),
            *(read[name].eq(message[name]) for name in ("tag", "ld_id", "internal")),
            *(
                read[name].eq(place.view[name])
                for name in ("kind", "keep", "read", "width", "group", "wide", "bfloat", "nearest")
            ),
        ]
