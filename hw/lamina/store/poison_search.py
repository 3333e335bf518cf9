"""Search of the poison table: the entry of a block, or a place for one."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.compare import equal
from lamina.formats.views import BLOCK_ROWS

__all__ = ["PoisonSearch", "poison_layout"]


def poison_layout(beat_bits: int) -> data.StructLayout:
    """Return an entry: a block by the address of its plane 0, and its poisoned full-view lines."""
    return data.StructLayout({"block": unsigned(beat_bits), "lines": unsigned(BLOCK_ROWS)})


class PoisonSearch(wiring.Component):
    """Reads the table row by row until it finds a block or has seen all rows ever used.

    Parameters: `DeviceParameters`.

    Members
    -------
    start : In
        Search for ``block`` from the next cycle on; ``block`` and ``end`` stay as they are then.
    block, end : In
        ``end``: rows ever used.
    index : Out
        Row to be read; ``row`` is the one that was asked for a cycle ago.
    row : In
    done : Out
        Pulse; with it, and until the next start:
    known, entry : Out
        The block has this entry.
    place, append : Out
        Its row, or else the first one that is free, or else ``end`` (``append``).

    Timing: four cycles, and one for each row ever used that is read.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        place = range(p.poison_entries + 1)
        super().__init__(
            {
                "start": In(1),
                "block": In(p.beat_bits),
                "end": In(place),
                "index": Out(place),
                "row": In(poison_layout(p.beat_bits)),
                "done": Out(1),
                "known": Out(1),
                "entry": Out(poison_layout(p.beat_bits)),
                "place": Out(place),
                "append": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # A row is there a cycle after its index, and judged in the one after that.
        at = data.StructLayout({"valid": 1, "over": 1, "index": len(self.index)})
        asked, read = Signal(at), Signal(at)
        running, alike, used, found, placed, over = (Signal() for _ in range(6))
        m.d.comb += [
            found.eq(read.valid & ~read.over & alike & used),
            over.eq(read.valid & read.over),
        ]
        m.d.sync += [
            self.index.eq(self.index + 1),
            asked.valid.eq(running),
            asked.index.eq(self.index),
            asked.over.eq(self.index == self.end),
            read.eq(asked),
            alike.eq(equal(m, self.row.block, self.block)),
            used.eq(self.row.lines.any()),
            self.done.eq(found | over),
        ]
        with m.If(read.valid & ~placed & (read.over | ~used)):
            m.d.sync += [placed.eq(1), self.place.eq(read.index), self.append.eq(read.over)]
        with m.If(found):
            m.d.sync += [self.known.eq(1), self.place.eq(read.index), self.append.eq(0)]
        with m.If(~self.known & ~found):
            m.d.sync += self.entry.eq(self.row)
        with m.If(found | over):
            m.d.sync += [running.eq(0), asked.valid.eq(0), read.valid.eq(0)]
        with m.If(self.start):
            m.d.sync += [
                self.index.eq(0),
                running.eq(1),
                self.known.eq(0),
                placed.eq(0),
                self.append.eq(0),
            ]
        return m
