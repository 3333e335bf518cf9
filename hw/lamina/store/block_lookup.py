"""Which blocks are in the read buffer, and what becomes of a read: hit, wait, or fetch."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.compare import equal
from lamina.formats.planes import BLOCK_BITS
from lamina.formats.views import VIEW_INDEX_BITS, ViewKind, place_layout, read_layout
from lamina.select import one_hot
from lamina.store.read_plan import form_number
from lamina.store.slot_keeper import SlotKeeper

__all__ = ["MARK_BITS", "BlockLookup"]

#: Low bits of a block's address by which a finished write finds blocks that are out of date.
MARK_BITS = 10

_KEY_BITS = VIEW_INDEX_BITS + BLOCK_BITS


def _stage_layout(view: data.StructLayout) -> data.StructLayout:
    """Return a message in a stage: ``needs`` a block that is one of its view's, and is read."""
    return data.StructLayout(
        {
            "place": place_layout(view),
            "valid": unsigned(1),
            "inside": unsigned(1),
            "blank": unsigned(1),
            "needs": unsigned(1),
        }
    )


@dataclass(frozen=True)
class _Found:
    """Whether a block is in ``any`` slot, and in which: in ``near_slot`` if ``near``."""

    any: Value
    slot: Value
    near: Value
    near_slot: Value


def _number(hits: Value) -> Value:
    """Return which bit is set, of those of which one may be."""
    bits = (len(hits) - 1).bit_length()
    return Cat(Cat(hits[n] for n in range(len(hits)) if n >> bit & 1).any() for bit in range(bits))


def _key(stage) -> Value:
    """Return which block a message wants, as ``elsewhere`` has it: number and view."""
    return Cat(stage.place.block, stage.place.index)


class BlockLookup(wiring.Component):
    """Three stages: compare a read's block with those in the slots; see whether one was the same;
    take a slot if none was.

    Parameters: `DeviceParameters`.

    A read of a block that is in a slot, or on its way there, joins it. Any other read gets a slot
    that no waiting read names, and an order to fetch goes out. A prefetch does the same if a slot
    is free, and goes no further. Writes pass through.

    Members
    -------
    i : In(stream of place_layout)
    advance : Out
        The first two stages move.
    read : Out(stream of read_layout)
        Reads in the order in which they came, each before its block is fetched; always taken.
    room : In
        In the cycle before: reads had room for this one, and one more.
    o, o_valid : Out
        What leaves the third stage: ``o_fetch`` says that its block is to be fetched into slot
        ``o_slot``, ``o_inside`` that the block is one of the view's.
    ordered, ordered_slot, ordered_count : Out
        A block of so many beats will be fetched, told as its first read leaves by ``read``.
    release, release_slot : In
        A read that waited on a slot has read it.
    filled, filling
        As in `SlotKeeper`.
    mark : In
        A cycle after ``o_fetch``: the address of the block that is fetched, its low bits.
    stale, stale_mark : In
        Blocks of that mark are out of date: no read joins them that is looked up later than in the
        next cycle.
    drop : In
        A bit for each slot: the same of it. ``flush``: of all.
    void : In
        Prefetches fetch nothing.
    spare : Out
        As ``room`` of `SlotKeeper`.
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
                "i": In(stream.Signature(place_layout(p.view))),
                "advance": Out(1),
                "read": Out(stream.Signature(read_layout(p.slot_bits))),
                "room": In(1),
                "o": Out(place_layout(p.view)),
                "o_valid": Out(1),
                "o_fetch": Out(1),
                "o_inside": Out(1),
                "o_slot": Out(p.slot_bits),
                "release": In(1),
                "release_slot": In(p.slot_bits),
                "filled": In(p.blocks),
                "filling": Out(p.blocks),
                "mark": In(MARK_BITS),
                "stale": In(1),
                "stale_mark": In(MARK_BITS),
                "drop": In(p.blocks),
                "flush": In(1),
                "ordered": Out(1),
                "ordered_slot": Out(p.slot_bits),
                "ordered_count": Out(5),
                "void": In(1),
                "spare": Out(1),
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
        enters, seen, known = (
            Signal(_stage_layout(self.parameters.view), name=name)
            for name in ("enters", "seen", "known")
        )
        # Of the third stage: a read, which has to go out; one whose block is nowhere.
        waits, missing, room, starves = Signal(), Signal(), Signal(), Signal()
        take, near = Signal(), Signal()
        # The other way round, for those who need in the same cycle what follows from it.
        passes, ready, spent = Signal(init=1), Signal(), Signal()
        slot, found_slot, near_slot = (
            Signal.like(self.o_slot, name=name) for name in ("slot", "found_slot", "near_slot")
        )
        message = known.place.message
        self._enter(m, enters)
        m.d.comb += keeper.fresh_at.eq(one_hot(m, "fresh", keeper.free.payload, take))
        found = self._search(m, keeper, enters, seen, known, take)
        m.d.sync += room.eq(self.room)
        m.d.comb += [
            starves.eq(waits & missing & ~keeper.free.valid),
            self.advance.eq(~((waits & ~room) | starves)),
            ready.eq(passes | (room & ~(missing & ~keeper.free.valid))),
            spent.eq(missing & keeper.free.valid & Mux(passes, ~self.void, room)),
            self.i.ready.eq(ready),
            take.eq(missing & keeper.free.valid & Mux(waits, room, ~self.void)),
            slot.eq(Mux(missing, keeper.free.payload, Mux(near, near_slot, found_slot))),
            self.read.valid.eq(waits & self.advance),
        ]
        host = seen.valid & ~(seen.place.message.write | seen.place.message.prefetch)
        with m.If(self.advance):
            m.d.sync += [
                seen.eq(enters),
                known.eq(seen),
                waits.eq(host),
                passes.eq(~host),
                missing.eq(seen.needs & ~found.any),
                found_slot.eq(found.slot),
                near.eq(found.near),
                near_slot.eq(found.near_slot),
            ]
        joins = Signal()
        m.d.comb += [
            joins.eq(waits & known.needs & self.advance),
            # A read that waits for a slot has seen none: the search for one must go on meanwhile.
            keeper.advance.eq(self.advance | starves),
            keeper.free.ready.eq(spent),
            keeper.release.eq(self.release),
            keeper.release_slot.eq(self.release_slot),
            keeper.filled.eq(self.filled),
            self.filling.eq(keeper.filling),
            self.hit.eq(joins & ~missing),
            self.isolated.eq(keeper.isolated),
            self.unread.eq(keeper.unread),
            self.spare.eq(keeper.room),
            self.prefetch_done.eq(known.valid & message.prefetch & self.advance),
            self.prefetched.eq(take & message.prefetch),
            self.ordered.eq(take),
            self.ordered_slot.eq(keeper.free.payload),
            self.ordered_count.eq(known.place.view.read),
        ]
        self._describe(m, known, slot)
        m.d.sync += [
            keeper.join.eq(joins),
            keeper.fresh.eq(take),
            keeper.join_slot.eq(slot),
            self.o.eq(known.place),
            self.o_valid.eq(known.valid & self.advance),
            self.o_fetch.eq(take),
            self.o_inside.eq(known.inside),
            self.o_slot.eq(slot),
        ]
        return m

    def _enter(self, m, enters):
        """What is seen of a message by itself."""
        place, view = self.i.p, self.i.p.view
        dense = (view.kind == ViewKind.FULL) | (view.kind == ViewKind.CONTAINER)
        m.d.comb += [
            enters.place.eq(place),
            enters.valid.eq(self.i.valid),
            enters.inside.eq(place.mapped & (place.block < view.blocks)),
            enters.blank.eq(~dense & (place.line >= view.keep)),
            enters.needs.eq(enters.valid & ~place.message.write & enters.inside & ~enters.blank),
        ]

    def _search(self, m, keeper, enters, seen, known, take):
        """Compare in the first stage; return what was found, in the second.

        A block that is missed in the third stage is in the table two cycles later: until then, it
        is looked for where it is.
        """
        p = self.parameters
        key, seen_key, known_key = ~enters.place.elsewhere, _key(seen), _key(known)
        hits, valid = Signal(p.blocks), Signal(p.blocks)
        # The block of the read before is the same; that of a slot that was taken just now is; that
        # of the slot taken before.
        same, newest, newer = Signal(), Signal(), Signal()
        newest_slot, newer_slot = Signal.like(self.o_slot), Signal.like(self.o_slot)
        last_key = Signal(_KEY_BITS)
        m.d.sync += last_key.eq(known_key)
        like_seen, like_known, like_last = (
            equal(m, other, key) for other in (seen_key, known_key, last_key)
        )
        with m.If(self.advance):
            m.d.sync += [
                same.eq(seen.needs & like_seen),
                newest.eq(take & like_known),
                newest_slot.eq(keeper.free.payload),
                newer.eq(keeper.fresh & like_last),
                newer_slot.eq(keeper.join_slot),
            ]
        self._table(m, keeper, hits, valid, key, last_key)
        # A read that is kept waiting may lose what it saw: slots are taken for others meanwhile.
        waited, kept = Signal(), Signal(p.blocks)
        # What was taken just now is valid only in the next cycle.
        now = (hits & valid) | Mux(newest, keeper.fresh_at, 0) | Mux(newer, keeper.taken, 0)
        m.d.sync += [waited.eq(~self.advance), kept.eq(Mux(waited, kept & valid, now))]
        taken, new = same & take, ~waited & (newest | newer)
        return _Found(
            any=Mux(waited, kept.any(), hits.any() | new) | taken,
            slot=Mux(waited, _number(kept), _number(hits)),
            near=taken | new,
            near_slot=Mux(taken, keeper.free.payload, Mux(newest, newest_slot, newer_slot)),
        )

    def _table(self, m, keeper, hits, valid, key, last_key):
        """The blocks in the slots."""
        slots = self.parameters.blocks
        keys = [Signal(_KEY_BITS, name=f"key_{n}") for n in range(slots)]
        marks = [Signal(MARK_BITS, name=f"mark_{n}") for n in range(slots)]
        outdated = Signal(slots)
        for n in range(slots):
            stale = self.stale & (marks[n] == self.stale_mark)
            m.d.sync += outdated[n].eq(self.flush | stale | self.drop[n])
            with m.If(outdated[n] | keeper.hide[n]):
                m.d.sync += valid[n].eq(0)
            with m.If(keeper.fresh_at[n]):
                m.d.sync += [valid[n].eq(1), keys[n].eq(last_key)]
            with m.If(keeper.taken[n]):
                m.d.sync += marks[n].eq(self.mark)
            alike = equal(m, keys[n], key)
            with m.If(self.advance):
                m.d.sync += hits[n].eq(valid[n] & alike)

    def _describe(self, m, known, slot):
        """What the reader has to know of a read."""
        read, place = self.read.p, known.place
        message = place.message
        m.d.comb += [
            read.unmapped.eq(~known.inside),
            read.blank.eq(known.blank),
            read.slot.eq(slot),
            read.line.eq(place.line),
            read.form.eq(form_number(m, place.view.group, place.view.keep)),
            *(read[name].eq(message[name]) for name in ("tag", "ld_id", "internal")),
            *(
                read[name].eq(place.view[name])
                for name in ("kind", "keep", "read", "width", "group", "wide", "bfloat", "nearest")
            ),
        ]
