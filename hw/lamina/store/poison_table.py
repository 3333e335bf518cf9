"""Which lines of which blocks are poisoned: a short table that is searched entry by entry."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.views import BLOCK_ROWS
from lamina.store.poison_search import PoisonSearch, poison_layout
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["PoisonTable", "poison_layout", "update_layout"]


def update_layout(beat_bits: int) -> data.StructLayout:
    """Return a change: ``lines`` of ``block`` become poisoned (``set``), or good."""
    return data.StructLayout({"entry": poison_layout(beat_bits), "set": unsigned(1)})


#: What becomes of an entry: it was there (else it is behind the others, with ``append``), it has
#: lines then; it is written, it was the last one, or there is no room for it and the range that
#: stands for such blocks grows at either end.
_CHANGE = data.StructLayout(
    dict.fromkeys(("known", "append", "some", "stores", "empties", "spills", "lower", "higher"), 1)
)


class PoisonTable(wiring.Component):
    """Remembers poisoned lines; software can see and clear them.

    Parameters: `DeviceParameters`.

    Members
    -------
    lookup : In(stream of block addresses)
    lookup_done, lookup_lines : Out
        Pulse, and from then to the next lookup the block's poisoned lines.
    update : In(stream of update_layout)
        Taken when it is done.
    access, access_clear, access_index : In
        Read an entry, or clear it: held until ``access_done``, which comes with ``accessed``.
    poisoned : Out
        Anything is.
    count : Out
        Entries in use.
    overflow, low, high : Out
        A block found no place; from then on all blocks from ``low`` to ``high``, which are those
        that did not, count as poisoned, until ``overflow_clear``.

    Timing: a search takes eight cycles, and one per entry ever used since the table was empty; a
    change of the table five more.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "lookup": In(stream.Signature(p.beat_bits)),
                "lookup_done": Out(1),
                "lookup_lines": Out(BLOCK_ROWS),
                "update": In(stream.Signature(update_layout(p.beat_bits))),
                "access": In(1),
                "access_clear": In(1),
                "access_index": In(8),
                "access_done": Out(1),
                "accessed": Out(poison_layout(p.beat_bits)),
                "poisoned": Out(1),
                "count": Out(range(p.poison_entries + 1)),
                "overflow": Out(1),
                "overflow_clear": In(1),
                "low": Out(p.beat_bits),
                "high": Out(p.beat_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.search = search = PoisonSearch(p)
        m.submodules.entries = entries = BlockMemory(
            BlockMemoryParameters(width=poison_layout(p.beat_bits).size, depth=p.poison_entries)
        )
        block, searched, turn, clear = Signal(p.beat_bits), Signal(), Signal(), Signal()
        # Asked for, as it was a cycle ago.
        to_update, to_look_up, to_access = Signal(), Signal(), Signal()
        look_up, start = Signal(), Signal()
        # The lines of an entry as they are and as they become.
        present, lines, accessing, inside = (
            Signal(BLOCK_ROWS),
            Signal(BLOCK_ROWS),
            Signal(),
            Signal(),
        )
        above, below, end = Signal(), Signal(), Signal.like(search.end)
        change, place = Signal(_CHANGE), Signal.like(search.place)
        m.d.comb += [
            look_up.eq(to_look_up & ~(to_update & turn)),
            entries.read_enable.eq(1),
            entries.read_address.eq(Mux(accessing, self.access_index, search.index)),
            entries.write_address.eq(place),
            entries.write_data.eq(Cat(block, lines)),
            search.start.eq(start),
            search.block.eq(block),
            search.end.eq(end),
            search.row.eq(entries.read_data),
            present.eq(Mux(search.known, search.entry.lines, 0)),
        ]
        m.d.sync += [
            to_update.eq(self.update.valid),
            to_look_up.eq(self.lookup.valid),
            to_access.eq(self.access),
            start.eq(0),
            self.poisoned.eq((self.count != 0) | self.overflow),
            entries.write_enable.eq(0),
            accessing.eq(0),
            above.eq(block >= self.low),
            below.eq(block <= self.high),
            inside.eq(self.access_index < end),
            place.eq(Mux(clear, self.access_index, search.place)),
        ]
        with m.If(self.overflow_clear):
            m.d.sync += self.overflow.eq(0)
        with m.FSM(name="table"):
            with m.State("IDLE"):
                m.d.comb += self.lookup.ready.eq(look_up)
                m.d.sync += [
                    searched.eq(look_up),
                    accessing.eq(to_access),
                    clear.eq(0),
                    block.eq(Mux(look_up, self.lookup.payload, self.update.p.entry.block)),
                ]
                with m.If(to_update | to_look_up):
                    m.d.sync += [start.eq(1), turn.eq(look_up)]
                    m.next = "SEARCH"
                with m.Elif(to_access):
                    m.next = "ACCESS"
            with m.State("SEARCH"):
                with m.If(search.done):
                    m.next = "FOUND"
            with m.State("FOUND"):
                named = self.update.p.entry.lines
                m.d.sync += lines.eq(Mux(self.update.p.set, present | named, present & ~named))
                m.next = "COUNT"
                with m.If(searched):
                    covered = self.overflow & above & below
                    m.d.sync += self.lookup_lines.eq(Mux(covered, ~0, present))
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.lookup_done.eq(1)
                m.next = "REST"
            with m.State("COUNT"):
                m.d.sync += [
                    change.known.eq(search.known),
                    change.append.eq(search.append),
                    change.some.eq(lines.any()),
                ]
                m.next = "DECIDE"
            with m.State("DECIDE"):
                known, some, full = change.known, change.some, change.append & end[-1]
                m.d.sync += [
                    change.stores.eq(known | (some & ~full)),
                    change.lower.eq(~known & some & full & ~(self.overflow & above)),
                    change.higher.eq(~known & some & full & ~(self.overflow & below)),
                    change.spills.eq(~known & some & full),
                    change.empties.eq(known & ~some & (self.count == 1)),
                ]
                m.next = "CHANGE"
            with m.State("CHANGE"):
                m.d.comb += self.update.ready.eq(~clear)
                self._change(m, change, entries, block, end)
                m.next = "REST"
            with m.State("REST"):  # what is done is no longer asked for
                m.next = "IDLE"
            with m.State("ACCESS"):
                m.d.sync += lines.eq(0)
                m.next = "ACCESSED"
            with m.State("ACCESSED"):
                m.d.sync += self.accessed.eq(Mux(inside, entries.read_data, 0))
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.access_done.eq(1)
                m.d.sync += [
                    clear.eq(1),
                    change.known.eq(self.access_clear & self.accessed.lines.any()),
                    change.some.eq(0),
                ]
                m.next = "DECIDE"
        return m

    def _change(self, m, change, entries, block, end):
        """Write a changed entry, or a new one, or note that there is no room for it."""
        with m.If(change.stores):
            m.d.sync += [
                entries.write_enable.eq(1),
                self.count.eq(self.count + ~change.known - ~change.some),
                end.eq(end + (change.append & ~change.known)),
            ]
        with m.If(change.empties):
            m.d.sync += end.eq(0)
        with m.If(change.spills):
            m.d.sync += self.overflow.eq(1)
        with m.If(change.lower):
            m.d.sync += self.low.eq(block)
        with m.If(change.higher):
            m.d.sync += self.high.eq(block)
