"""Which view an address belongs to, and which block and line of it."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.planes import BLOCK_BITS
from lamina.formats.views import (
    GRANULE_LINES_BITS,
    VIEW_INDEX_BITS,
    message_layout,
    place_layout,
)
from lamina.stream.buffer import SkidBuffer, SkidBufferParameters

__all__ = ["ViewLookup"]


class ViewLookup(wiring.Component):
    """Three stages: compare with all windows, fetch the view's entry, find block and line.

    Parameters: `DeviceParameters`.

    Members
    -------
    i, i_line, i_mapped, i_valid : In
        From `DeviceFront`.
    valid, first, limit : In
        From `ViewTable`; where windows overlap, the one of the lowest index counts.
    index, view
        Of the view in the table.
    o : Out(stream of place_layout)
        Whether the block is one of the view's is not checked. A slice is the last of the stages:
        what stalls behind it is known to those before it from a register.
    advance : Out
        The stages move, and all before them.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(message_layout()),
                "i_line": In(p.device_line_bits),
                "i_mapped": In(1),
                "i_valid": In(1),
                "valid": In(p.views),
                "first": In(p.granule_bits * p.views),
                "limit": In((p.granule_bits + 1) * p.views),
                "index": Out(VIEW_INDEX_BITS),
                "view": In(p.view),
                "o": Out(stream.Signature(place_layout(p.view))),
                "advance": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        message = [Signal(message_layout(), name=f"message_{n}") for n in (3, 4)]
        line = [Signal(p.device_line_bits, name=f"line_{n}") for n in (3, 4)]
        valid = [Signal(name=f"valid_{n}") for n in (3, 4)]
        hits, found, index = Signal(p.views), Signal(), Signal(VIEW_INDEX_BITS)
        granule = self.i_line[GRANULE_LINES_BITS:]
        for v in reversed(range(p.views)):
            with m.If(hits[v]):
                m.d.comb += self.index.eq(v)
        with m.If(self.advance):
            for v in range(p.views):
                first = self.first.word_select(v, p.granule_bits)
                limit = self.limit.word_select(v, p.granule_bits + 1)
                inside = (granule >= first) & (granule < limit)
                m.d.sync += hits[v].eq(self.valid[v] & self.i_mapped & inside)
            m.d.sync += [
                Cat(*message).eq(Cat(self.i, message[0])),
                Cat(*line).eq(Cat(self.i_line, line[0])),
                Cat(*valid).eq(Cat(self.i_valid, valid[0])),
                found.eq(hits.any()),
                index.eq(self.index),
            ]
        m.submodules.last = last = SkidBuffer(SkidBufferParameters(shape=self.o.p.shape()))
        wiring.connect(m, last.o, wiring.flipped(self.o))
        m.d.comb += [self.advance.eq(last.i.ready), last.i.valid.eq(valid[1])]
        self._place(m, last.i.p, message[1], line[1], found, index)
        return m

    def _place(self, m, place, message, line, found, index):
        """Third stage: how far the address is into the window."""
        granules = Signal(self.parameters.granule_bits)
        m.d.comb += granules.eq(line[GRANULE_LINES_BITS:] - self.view.first)
        offset = Cat(line[:GRANULE_LINES_BITS], granules)
        m.d.comb += [
            place.message.eq(message),
            place.mapped.eq(found),
            place.index.eq(index),
            place.view.eq(self.view),
        ]
        # Kept: the slice's multiplexer is not to become one with the shift.
        shifted = Signal(len(offset), attrs={"keep": 1})
        # A block has one bit more than its number: what is cut off is not small.
        m.d.comb += [
            shifted.eq(offset >> self.view.lines_shift),
            place.block.eq(Cat(shifted[:BLOCK_BITS], shifted[BLOCK_BITS:].any())),
            place.line.eq(offset[:4] & ((1 << self.view.lines_shift) - 1)[:4]),
        ]
