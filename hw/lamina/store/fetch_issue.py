"""Front half of the fetcher: runs of blocks become AXI4 read bursts, one per plane and chunk."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import BURST_INCR, address_layout
from lamina.formats.planes import BEAT_BYTES, run_layout

__all__ = ["FetchIssue"]

_BEAT_SHIFT = BEAT_BYTES.bit_length() - 1


class FetchIssue(wiring.Component):
    """Cuts runs into chunks and asks the memory for the planes of each, in order.

    A chunk is up to L neighbouring blocks of one row, L a power of two that depends on ``keep``,
    and starts at a multiple of L unless the run starts inside. So its planes are bursts that leave
    neither their row nor a 4 KiB page, and all of them together fill a quarter of the ring.

    Parameters: `FetcherParameters`.

    Members
    -------
    i : In(stream of run_layout)
    ar : Out(stream of bus.axi4.address_layout)
        The bursts. A burst is asked only when the ring has room for all its beats.
    chunk : Out(stream of FetcherParameters.chunk_layout)
        The same chunks, for the back half, each before its first burst.
    tail : In
        Ring pointer up to which beats have been read out; those before it are free.

    Timing: three cycles a run (before ``ar``), one a chunk and one a burst.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(run_layout(p.address_bits, p.planes_max))),
                "ar": Out(stream.Signature(address_layout(p.axi))),
                "chunk": Out(stream.Signature(p.chunk_layout)),
                "tail": In(p.pointer_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        job_layout = self._job_layout()
        start = Signal(data.StructLayout({"job": job_layout, "skip": p.unit_bits}))
        start_valid, start_ready = Signal(), Signal()
        self._prepare(m, start, start_valid, start_ready)
        job, count, plane = Signal(job_layout), Signal(job_layout["limit"].shape), Signal(5)
        behind = Signal.like(plane)  # planes of the chunk behind this one
        # Beats asked for and not read out yet, less one more than the ring holds; and that with the
        # next burst, which waits for its sign alone.
        over = Signal(signed(p.pointer_bits + 1), init=-p.buffer_beats - 1)
        margin = Signal.like(over)
        last_plane, fire = Signal(), Signal()
        wraps = Signal()  # the next chunk is in the next row, whose place is found out before it
        ends = job.remaining < job.room
        chunk_count = Mux(ends, job.remaining, job.room)
        m.d.comb += [
            self.chunk.p.count.eq(chunk_count),
            self.chunk.p.keep.eq(job.keep),
            self.chunk.p.planes.eq(job.planes),
            self.chunk.p.end.eq(job.remaining <= job.room),
            self.chunk.p.bad.eq(job.bad),
            last_plane.eq(behind == 0),
        ]
        with m.If(self.ar.ready):
            m.d.sync += self.ar.valid.eq(0)
        with m.FSM(name="issue"):
            with m.State("IDLE"):
                m.d.comb += start_ready.eq(1)
                inside = start.job.column & (start.job.limit - 1)
                m.d.sync += [
                    job.eq(start.job),
                    job.unit.eq(start.job.unit + start.skip),
                    job.room.eq(start.job.limit - inside),
                    wraps.eq(0),
                ]
                with m.If(start_valid):
                    m.next = "CHUNK"
            with m.State("CHUNK"):
                m.d.comb += self.chunk.valid.eq(1)
                m.d.sync += wraps.eq(0)
                with m.If(wraps):
                    m.d.sync += job.unit.eq(job.unit + job.planes)
                m.d.sync += [count.eq(chunk_count), plane.eq(0), behind.eq(job.keep - 1)]
                m.d.sync += margin.eq(
                    Mux(ends, over + job.remaining[: len(job.room)], over + job.room)
                )
                with m.If(self.chunk.ready & job.bad):
                    m.next = "IDLE"
                with m.Elif(self.chunk.ready):
                    m.next = "PLANES"
            with m.State("PLANES"):
                self._room(m, count, over, margin, fire)
                self._burst(m, job, count, plane, fire)
                with m.If(fire):
                    m.d.sync += behind.eq(behind - 1)
                with m.If(fire & last_plane):
                    self._next_chunk(m, job, count, wraps)
                    m.next = "CHUNK"
                    with m.If(count == job.remaining):
                        m.next = "IDLE"
        return m

    def _job_layout(self):
        """Return what is known of the run that is being issued."""
        p, run = self.parameters, self.i.p
        return data.StructLayout(
            {
                "unit": p.unit_bits,  # row address of the next chunk, in rows
                "column": p.column_bits,  # its first block within the row
                "remaining": run.blocks.shape(),
                "limit": range(p.chunk_blocks(1) + 1),  # L
                "room": range(p.chunk_blocks(1) + 1),  # blocks from the first to a multiple of L
                "planes": run.planes.shape(),
                "keep": run.keep.shape(),
                "bad": 1,
            }
        )

    def _prepare(self, m, start, valid, ready):
        """Check the next run and find its row while the one before it is being issued."""
        p, run = self.parameters, self.i.p
        row = run.block >> p.column_bits
        low = run.base[: p.row_shift]
        # A count that can be no larger needs no comparison.
        surplus = run.planes > p.planes_max if p.planes_max + 1 < 1 << len(run.planes) else 0
        m.d.comb += self.i.ready.eq(~valid | ready)
        with m.If(self.i.ready):
            m.d.sync += [
                valid.eq(self.i.valid),
                start.skip.eq(row * run.planes),
                start.job.unit.eq(run.base >> p.row_shift),
                start.job.column.eq(run.block),
                start.job.remaining.eq(run.blocks),
                start.job.planes.eq(run.planes),
                start.job.keep.eq(run.keep),
                start.job.bad.eq(
                    (run.keep == 0)
                    | (run.keep > run.planes)
                    | surplus
                    | (run.blocks == 0)
                    | low.any()
                ),
            ]
            with m.Switch(run.keep):
                for keep in range(1, p.planes_max + 1):
                    with m.Case(keep):
                        m.d.sync += start.job.limit.eq(p.chunk_blocks(keep))

    def _room(self, m, count, over, margin, fire):
        """Let a burst go once the ring has room; what was read out is seen two cycles late."""
        seen, freed = Signal(self.parameters.pointer_bits), Signal(self.parameters.pointer_bits)
        m.d.comb += fire.eq((self.ar.ready | ~self.ar.valid) & (margin < 0))
        m.d.sync += [seen.eq(self.tail), freed.eq(self.tail - seen)]
        # Two sums and a choice, which is faster than a sum of the chosen.
        for held in (over, margin):
            left = (held - freed)[: len(held)].as_signed()
            m.d.sync += held.eq(Mux(fire, left + count, left))

    def _burst(self, m, job, count, plane, fire):
        """Ask for one plane of the chunk."""
        p = self.parameters
        address = ((job.unit + plane) << p.row_shift) | (job.column << _BEAT_SHIFT)
        with m.If(fire):
            m.d.sync += [
                plane.eq(plane + 1),
                self.ar.valid.eq(1),
                self.ar.p.addr.eq(address),
                self.ar.p.len.eq(count - 1),
                self.ar.p.size.eq(p.axi.size),
                self.ar.p.burst.eq(BURST_INCR),
            ]

    def _next_chunk(self, m, job, count, wraps):
        following = Signal(self.parameters.column_bits + 1)
        m.d.comb += following.eq(job.column + count)
        m.d.sync += [
            job.column.eq(following),
            wraps.eq(following[-1]),
            job.remaining.eq(job.remaining - count),
            job.room.eq(job.limit),  # only a run's first chunk starts inside
        ]
