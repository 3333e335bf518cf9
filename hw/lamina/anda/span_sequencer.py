"""Span sequencer: which results of a GEMM are encoded together, one span after the other."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.engine import PLACE_BITS, output_job_layout, span_layout

__all__ = ["SpanSequencer"]


class SpanSequencer(wiring.Component):
    """Walk through jobs as the engine does: ``row_turns`` tiles of rows, and all columns of these.

    Parameters: `OutputStageParameters`.

    Members
    -------
    job : In(stream of `output_job_layout`)
    present : Out(1)
        There is a span; what follows is its.
    span : Out(span_layout)
    first_row, last_row, last_block : Out
        Rows modulo 2^row_bits; the block of columns of the span that has its last column.
    over : In(1)
        All its results came.

    Timing: a cycle before each span, and one more before each ``row_turns`` tiles and each job.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "job": In(stream.Signature(output_job_layout())),
                "present": Out(1),
                "span": Out(span_layout(p.batch_rows, p.span)),
                "first_row": Out(p.row_bits),
                "last_row": Out(p.row_bits),
                "last_block": Out(range(p.span // p.block_columns)),
                "over": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        n, span = Signal(PLACE_BITS), self.span
        rows_left, columns_left = Signal(PLACE_BITS), Signal(PLACE_BITS)
        most = Signal.like(span.rows)  # rows of a batch
        more_rows, more_columns = Signal(), Signal()
        # They choose among sums: neither is behind the other.
        rows_more, columns_more = rows_left > most, columns_left > p.span
        job = self.job.payload
        with m.FSM(name="spans"):
            with m.State("JOB"):
                m.d.comb += self.job.ready.eq(1)
                m.d.sync += [
                    n.eq(job.n),
                    rows_left.eq(job.m),
                    most.eq(job.row_turns * p.rows),
                    span.mantissa_bits.eq(job.mantissa_bits),
                    span.rounding.eq(job.rounding),
                    self.first_row.eq(0),
                ]
                with m.If(self.job.valid):
                    m.next = "BATCH"
            with m.State("BATCH"):
                m.d.sync += [
                    span.rows.eq(Mux(rows_more, most, rows_left)),
                    self.last_row.eq(
                        Mux(rows_more, self.first_row + most - 1, self.first_row + rows_left - 1)
                    ),
                    # Of the last batch, anything; as of the last columns.
                    rows_left.eq(rows_left - most),
                    more_rows.eq(rows_more),
                    columns_left.eq(n),
                ]
                m.next = "SPAN"
            with m.State("SPAN"):
                m.d.sync += [
                    span.columns.eq(Mux(columns_more, p.span, columns_left)),
                    self.last_block.eq(
                        Mux(columns_more, p.span - 1, columns_left - 1) >> p.block_bits
                    ),
                    columns_left.eq(columns_left - p.span),
                    more_columns.eq(columns_more),
                ]
                m.next = "FILL"
            with m.State("FILL"):
                m.d.comb += self.present.eq(1)
                with m.If(self.over):
                    with m.If(more_columns):
                        m.next = "SPAN"
                    with m.Elif(more_rows):
                        m.d.sync += self.first_row.eq(self.first_row + span.rows)
                        m.next = "BATCH"
                    with m.Else():
                        m.next = "JOB"
        return m
