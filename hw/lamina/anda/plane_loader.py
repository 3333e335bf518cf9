"""Plane loader: activations as they are stored become rows of the engine's plane memory."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import EXPONENT_BITS, GROUP
from lamina.formats.engine import job_layout, plane_words_layout

__all__ = ["PlaneLoader"]


class PlaneLoader(wiring.Component):
    """Take the groups of each job, and put their words where the array wants them.

    The array begins with the signs and the least significant plane, words come from the other end.
    So a group's rows of memory are read backwards, and its signs move behind its last words: row b
    has the words P * (b + 1) - p, p = 0 to P - 1, and the last one the signs where word P * B would
    be, of which there are never so many. P = ``planes``, B beats of a group.

    Members
    -------
    i : In(stream of `plane_words_layout` (rows, planes))
        B beats for each group.
    job : In(stream of `job_layout`)
        ceil(m / rows) * groups groups are taken for each.
    full : In(1)
        No row can be written.
    write : Out(1), words, exponents : Out
        A row of the memory is written; one a cycle. Rows of a group follow each other.
    loaded : Out(1)
        With the last row of a group.
    finished : Out(1)
        The last beat of a job is taken.
    """

    def __init__(self, rows: int, planes: int):
        self.rows = rows
        self.planes = planes
        beat = plane_words_layout(rows, planes)
        super().__init__(
            {
                "i": In(stream.Signature(beat)),
                "job": In(stream.Signature(job_layout())),
                "full": In(1),
                "write": Out(1),
                "words": Out(beat.members["words"]),
                "exponents": Out(beat.members["exponents"]),
                "loaded": Out(1),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        first, last, closing = Signal(init=1), Signal(), Signal()
        taken = Signal()
        m.d.comb += taken.eq(self.i.valid & self.i.ready)
        self._count(m, taken, first, last)
        m.d.comb += [
            self.loaded.eq(closing & ~self.full),
            self.write.eq(self.loaded | (taken & ~first)),
        ]
        with m.If(~self.full):
            m.d.sync += closing.eq(taken & last)
        exponents = Signal(self.rows * EXPONENT_BITS, reset_less=True)
        m.d.comb += self.exponents.as_value().eq(exponents)
        with m.If(taken & first):
            m.d.sync += exponents.eq(self.i.payload.exponents.as_value())
        words = data.ArrayLayout(GROUP, self.planes)
        for row in range(self.rows):
            coming = self.i.payload.words[row]
            held = Signal(words, name=f"held_{row}", reset_less=True)
            signs = Signal(GROUP, name=f"signs_{row}", reset_less=True)
            m.d.comb += (
                self.words[row]
                .as_value()
                .eq(Cat(Mux(closing, signs, coming[0]), *reversed([*held][1:])))
            )
            with m.If(taken):
                m.d.sync += held.eq(coming)
                with m.If(first):
                    m.d.sync += signs.eq(coming[0])
        return m

    def _count(self, m, taken, first, last):
        """Count beats, groups of k, and tiles of rows."""
        active = Signal()
        job = Signal(job_layout())
        beat = Signal.like(job.beats)
        group = Signal.like(job.gemm.groups)
        m.d.comb += [
            self.job.ready.eq(~active),
            self.i.ready.eq(active & ~self.full),
            last.eq(beat == job.beats - 1),
        ]
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [active.eq(1), job.eq(self.job.payload)]
        with m.If(taken):
            m.d.sync += [beat.eq(Mux(last, 0, beat + 1)), first.eq(last)]
            with m.If(last):
                m.d.sync += group.eq(group + 1)
                with m.If(group == job.gemm.groups - 1):
                    m.d.sync += [group.eq(0), job.gemm.m.eq(job.gemm.m - self.rows)]
                    with m.If(job.gemm.m <= self.rows):
                        m.d.comb += self.finished.eq(1)
                        m.d.sync += active.eq(0)
