"""Which view an address belongs to, and which block and line of it."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.views import (
    GRANULE_LINES_BITS,
    VIEW_INDEX_BITS,
    message_layout,
    place_layout,
)

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
    o, o_valid : Out
        `place_layout`; whether the block is one of the view's is not checked.
    advance : In
        Moves the stages.
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
                "o": Out(place_layout(p.view)),
                "o_valid": Out(1),
                "advance": In(1),
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
            self._place(m, message[1], line[1], valid[1], found, index)
        return m

    def _place(self, m, message, line, valid, found, index):
        """Third stage: how far the address is into the window."""
        granules = Signal(self.parameters.granule_bits)
        m.d.comb += granules.eq(line[GRANULE_LINES_BITS:] - self.view.first)
        offset = Cat(line[:GRANULE_LINES_BITS], granules)
        m.d.sync += [
            self.o.message.eq(message),
            self.o.mapped.eq(found),
            self.o.index.eq(index),
            self.o.view.eq(self.view),
            self.o_valid.eq(valid),
        ]
        with m.Switch(self.view.lines_shift):
            for shift in range(5):
                with m.Case(shift):
                    m.d.sync += [
                        self.o.line.eq(offset[:shift]),
                        # One bit more than a block's number has: what is cut off is not small.
                        self.o.block.eq(
                            Cat(offset[shift : shift + 32], offset[shift + 32 :].any())
                        ),
                    ]
