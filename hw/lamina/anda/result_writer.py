"""Result writer: results of GEMMs get their places in a buffer, until whole groups are there."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.span_sequencer import SpanSequencer
from lamina.arith.fp32_narrow import Fp32Narrow
from lamina.arith.pipeline import delayed
from lamina.cell import Cell
from lamina.formats.engine import output_job_layout, result_layout, span_layout

__all__ = ["ResultWriter"]


class ResultWriter(wiring.Component):
    """Round results, write them, and say when all of a span are there.

    A span is what is encoded together: of up to ``row_turns`` tiles of rows the columns of one
    group, or of one tile if that has more. The engine gives out one span after the other; the last
    beat of each is that with its last row and column. The buffer holds two.

    Parameters: `OutputStageParameters`.

    Members
    -------
    i_job : In(stream of `output_job_layout`)
    i : In(stream of `result_layout`)
    write, address, segment, values : Out
        As `ResultBuffer` has them.
    o : Out(stream of `span_layout`)
        All results of a span are written. It is not asked whether it is taken: two must fit.
    freed : In(1)
        The span written first may be overwritten.

    Timing: a beat a cycle, but as `SpanSequencer` has it. What was accepted stalls no more.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i_job": In(stream.Signature(output_job_layout())),
                "i": In(stream.Signature(result_layout(p.units, p.block_columns))),
                "write": Out(1),
                "address": Out(p.memory.address_bits),
                "segment": Out(p.segments),
                "values": Out(data.ArrayLayout(data.ArrayLayout(16, p.block_columns), p.units)),
                "o": Out(stream.Signature(span_layout(p.batch_rows, p.span))),
                "freed": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.sequencer = spans = SpanSequencer(p)
        wiring.connect(m, wiring.flipped(self.i_job), spans.job)
        beat = self.i.payload
        taken, full, half = Signal(), Signal(range(3)), Signal()
        m.d.comb += [
            self.i.ready.eq(spans.present & (full != 2)),
            taken.eq(self.i.valid & self.i.ready),
        ]
        m.d.sync += [full.eq(full + spans.over - self.freed), half.eq(half ^ spans.over)]
        block = Signal.like(spans.last_block)
        ahead = Signal(p.row_bits)
        m.d.comb += [
            block.eq(beat.column[p.block_bits :]),
            ahead.eq(spans.last_row - beat.row),
            spans.over.eq(
                taken
                & (block == spans.last_block)
                & Cat((ahead == unit) & beat.keep[unit][0] for unit in range(p.units)).any()
            ),
        ]

        def later(value, name, **options):
            return delayed(m, value, Const(1), p.narrow.latency, name, **options)

        group, segment = block[p.segment_bits :], block[: p.segment_bits]
        address = Cat(self._place(m, spans.first_row, taken), group, half)
        m.d.comb += [
            self.write.eq(later(taken, "write", reset_less=False)),
            self.address.eq(later(address, "address")),
            self.segment.eq(1 << later(segment, "segment")),
            self.o.valid.eq(later(spans.over, "over", reset_less=False)),
            self.o.payload.as_value().eq(later(spans.span.as_value(), "span")),
        ]
        self._round(m, beat)
        return m

    def _place(self, m, first_row, taken):
        """Return the number of the beat's rows in the span: counted as they come, tile by tile."""
        p = self.parameters
        row = self.i.payload.row[: p.row_bits]
        row_before = Signal(p.row_bits, reset_less=True)
        place, before = Signal(range(p.places)), Signal(range(p.places), reset_less=True)
        m.d.comb += place.eq(Mux(row == first_row, 0, before + (row != row_before)))
        with m.If(taken):
            m.d.sync += [before.eq(place), row_before.eq(row)]
        return place

    def _round(self, m, beat):
        p = self.parameters
        for unit, values in enumerate(beat["values"]):
            for column, value in enumerate(values):
                narrow = Cell(Fp32Narrow, p.narrow)
                m.submodules[f"narrow_{unit}_{column}"] = narrow
                m.d.comb += [
                    narrow.i.payload.value.eq(value),
                    narrow.o.ready.eq(1),
                    self.values[unit][column].eq(narrow.o.payload.value),
                ]
