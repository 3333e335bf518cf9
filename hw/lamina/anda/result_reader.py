"""Result reader: a span of results as groups of 64, in the order in which an engine takes them."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import GROUP, bank_values_layout
from lamina.formats.engine import span_layout

__all__ = ["ResultReader"]


class ResultReader(wiring.Component):
    """Read all groups of a span: for each 64 columns its tiles of rows, all rows of each.

    Rows and columns beyond those of the span are +0, whatever the buffer holds there.

    Parameters: `OutputStageParameters`.

    Members
    -------
    i : In(stream of `span_layout`)
        Ready when its last group is read.
    read, address, unit : Out; values : In
        As `ResultBuffer` has them.
    o : Out(stream of `bank_values_layout` (1))
    freed : Out(1)
        The span is read.

    Timing: a group a cycle, and a cycle before each span.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(span_layout(p.batch_rows, p.span))),
                "read": Out(1),
                "address": Out(p.memory.address_bits),
                "unit": Out(range(p.units)),
                "values": In(data.ArrayLayout(16, GROUP)),
                "o": Out(stream.Signature(bank_values_layout(1))),
                "freed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        active, half, advance = Signal(), Signal(), Signal()
        group, place, row = Signal(range(p.groups)), Signal(range(p.places)), Signal(range(p.rows))
        span = self.i.payload
        rows_left, columns_left = Signal.like(span.rows), Signal.like(span.columns)
        tile_end, rows_end, last = Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(self.o.ready | ~self.o.valid),
            self.read.eq(active & advance),
            self.address.eq(Cat(place, group, half)),
            tile_end.eq(row == p.rows - 1),
            rows_end.eq(tile_end & (rows_left <= 1)),
            last.eq(rows_end & (columns_left <= GROUP)),
            self.freed.eq(self.read & last),
            self.i.ready.eq(self.freed),
        ]
        with m.If(~active):
            m.d.sync += [
                active.eq(self.i.valid),
                rows_left.eq(span.rows),
                columns_left.eq(span.columns),
            ]
        with m.If(self.read):
            self._next_row(m, tile_end, place, row)
            m.d.sync += rows_left.eq(rows_left - (rows_left != 0))
            with m.If(rows_end):
                m.d.sync += [
                    place.eq(0),
                    rows_left.eq(span.rows),
                    columns_left.eq(columns_left - GROUP),
                    group.eq(Mux(last, 0, group + 1)),
                ]
            with m.If(last):
                m.d.sync += [active.eq(0), half.eq(~half)]
        self._give(m, advance, active, rows_left, columns_left)
        return m

    def _next_row(self, m, tile_end, place, row):
        """Go on to the next unit, and after the last one to the next place."""
        p = self.parameters
        step_end = Signal()
        m.d.comb += step_end.eq(tile_end | (self.unit == p.units - 1))
        m.d.sync += [
            row.eq(Mux(tile_end, 0, row + 1)),
            self.unit.eq(Mux(step_end, 0, self.unit + 1)),
            place.eq(place + step_end),
        ]

    def _give(self, m, advance, active, rows_left, columns_left):
        """Put out what was read, without what is beyond."""
        span, out = self.i.payload, self.o.payload
        inside = Signal(GROUP)
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(active),
                inside.eq(Cat((rows_left != 0) & (columns_left > n) for n in range(GROUP))),
                out.mantissa_bits.eq(span.mantissa_bits),
                out.rounding.eq(span.rounding),
            ]
        for value, read, kept in zip(out["values"][0], self.values, inside, strict=True):
            m.d.comb += value.eq(read & kept.replicate(len(read)))
