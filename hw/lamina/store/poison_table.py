"""Which lines of which blocks are poisoned: a short table that is searched entry by entry."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.views import BLOCK_ROWS
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["PoisonTable", "poison_layout", "update_layout"]


def poison_layout(beat_bits: int) -> data.StructLayout:
    """Return an entry: a block by the address of its plane 0, and its poisoned full-view lines."""
    return data.StructLayout({"block": unsigned(beat_bits), "lines": unsigned(BLOCK_ROWS)})


def update_layout(beat_bits: int) -> data.StructLayout:
    """Return a change: ``lines`` of ``block`` become poisoned (``set``), or good."""
    return data.StructLayout({"entry": poison_layout(beat_bits), "set": unsigned(1)})


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

    Timing: a search takes three cycles and one per entry ever used since the table was empty.
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
        entry = data.View(poison_layout(p.beat_bits), Signal(poison_layout(p.beat_bits)))
        m.submodules.entries = entries = BlockMemory(
            BlockMemoryParameters(width=poison_layout(p.beat_bits).size, depth=p.poison_entries)
        )
        end, index = Signal(range(p.poison_entries + 1)), Signal(range(p.poison_entries + 2))
        place, place_found = Signal(range(p.poison_entries)), Signal()
        block, searched, turn, result = Signal(p.beat_bits), Signal(), Signal(), Signal(BLOCK_ROWS)
        read = data.View(poison_layout(p.beat_bits), entries.read_data)
        m.d.comb += [
            entries.read_enable.eq(1),
            entries.read_address.eq(index),
            self.accessed.eq(entry),
            self.poisoned.eq((self.count != 0) | self.overflow),
        ]
        with m.If(self.overflow_clear):
            m.d.sync += self.overflow.eq(0)
        with m.FSM(name="table"):
            with m.State("IDLE"):
                m.d.sync += [index.eq(0), place_found.eq(0), entry.eq(0)]
                with m.If(self.update.valid & (~self.lookup.valid | turn)):
                    m.d.sync += [block.eq(self.update.p.entry.block), searched.eq(0), turn.eq(0)]
                    m.next = "SEARCH"
                with m.Elif(self.lookup.valid):
                    m.d.comb += self.lookup.ready.eq(1)
                    m.d.sync += [block.eq(self.lookup.payload), searched.eq(1), turn.eq(1)]
                    m.next = "SEARCH"
                with m.Elif(self.access):
                    m.d.sync += index.eq(self.access_index)
                    m.next = "ACCESS"
            with m.State("SEARCH"):
                self._search(m, index, end, block, read, entry, place, place_found)
            with m.State("FOUND"):
                with m.If(searched):
                    covered = self.overflow & (block >= self.low) & (block <= self.high)
                    m.d.sync += result.eq(Mux(covered, ~0, entry.lines))
                    m.next = "ANSWER"
                with m.Else():
                    m.d.comb += self.update.ready.eq(1)
                    m.next = "IDLE"
                    self._change(m, entries, entry, place, place_found, end)
            with m.State("ANSWER"):
                m.d.comb += self.lookup_done.eq(1)
                m.next = "IDLE"
            with m.State("ACCESS"):
                m.next = "ACCESSED"
            with m.State("ACCESSED"):
                m.d.sync += entry.eq(Mux(self.access_index < end, read, 0))
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.access_done.eq(1)
                with m.If(self.access_clear & (entry.lines != 0)):
                    m.d.comb += [entries.write_enable.eq(1), entries.write_address.eq(index)]
                    m.d.sync += self.count.eq(self.count - 1)
                    with m.If(self.count == 1):
                        m.d.sync += end.eq(0)
                m.next = "IDLE"
        m.d.comb += self.lookup_lines.eq(result)
        return m

    def _search(self, m, index, end, block, read, entry, place, place_found):
        """Look at the next row for ``block``, or for a place to put it."""
        # ``index`` is read now; the row before it is here.
        m.d.sync += index.eq(index + 1)
        with m.If((index != 0) & (read.lines == 0) & ~place_found):
            m.d.sync += [place.eq(index - 1), place_found.eq(1)]
        with m.If((index != 0) & (read.block == block) & (read.lines != 0)):
            m.d.sync += [entry.eq(read), place.eq(index - 1), place_found.eq(1)]
            m.next = "FOUND"
        with m.Elif(index >= end):
            m.next = "FOUND"

    def _change(self, m, entries, entry, place, place_found, end):
        """Write a changed entry, or a new one, or note that there is no room for it."""
        p, update = self.parameters, self.update.p
        lines, changed = Signal(BLOCK_ROWS), Signal(poison_layout(p.beat_bits))
        known = entry.lines != 0
        m.d.comb += [
            lines.eq(
                Mux(update.set, entry.lines | update.entry.lines, entry.lines & ~update.entry.lines)
            ),
            changed.block.eq(update.entry.block),
            changed.lines.eq(lines),
            entries.write_data.eq(changed),
            entries.write_address.eq(Mux(place_found, place, end)),
        ]
        grown, shrunk = ~known & (lines != 0), known & (lines == 0)
        with m.If(known | (grown & (place_found | (end != p.poison_entries)))):
            m.d.comb += entries.write_enable.eq(1)
            m.d.sync += self.count.eq(self.count + grown - shrunk)
            with m.If(~place_found):
                m.d.sync += end.eq(end + 1)
            with m.If(shrunk & (self.count == 1)):
                m.d.sync += end.eq(0)
        with m.Elif(grown):
            block = update.entry.block
            m.d.sync += self.overflow.eq(1)
            with m.If(~self.overflow | (block < self.low)):
                m.d.sync += self.low.eq(block)
            with m.If(~self.overflow | (block > self.high)):
                m.d.sync += self.high.eq(block)
