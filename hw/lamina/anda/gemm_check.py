"""Descriptor check: what the engine can do becomes a job, what it cannot is refused."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import MANTISSA_BITS_MAX
from lamina.formats.engine import Cause, done_layout, gemm_layout, job_layout

__all__ = ["GemmCheck"]


class GemmCheck(wiring.Component):
    """Check descriptors, one at a time, and hand them to the loader and to the sequencer.

    Parameters: `EngineParameters`.

    Members
    -------
    i : In(stream of `gemm_layout`)
    loads, turns : Out(stream of `job_layout`)
        The same jobs on both; three cycles after ``i``.
    alone : In(1)
        All GEMMs before are over.
    refused : Out(stream of `done_layout`)
        Waits until ``alone``, so that GEMMs complete in their order.
    """

    def __init__(self, parameters):
        self.parameters = parameters
        super().__init__(
            {
                "i": In(stream.Signature(gemm_layout())),
                "loads": Out(stream.Signature(job_layout())),
                "turns": Out(stream.Signature(job_layout())),
                "alone": In(1),
                "refused": Out(stream.Signature(done_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        job = Signal(job_layout())
        gemm, cause = job.gemm, self.refused.payload.cause
        fits, found = Signal(range(p.depth + 1)), Signal(Cause)
        size, many = Signal(len(fits) + 5), Signal()  # rows of memory; more groups than rows
        m.d.comb += [self.loads.payload.eq(job), self.turns.payload.eq(job)]
        m.d.comb += self.refused.payload.tag.eq(gemm.tag)
        for out in (self.loads, self.turns):
            with m.If(out.ready):
                m.d.sync += out.valid.eq(0)
        with m.FSM(name="check"):
            with m.State("TAKE"):
                m.d.comb += self.i.ready.eq(~self.loads.valid & ~self.turns.valid)
                with m.If(self.i.valid & self.i.ready):
                    beats = (self.i.payload.mantissa_bits + p.planes) >> (p.planes.bit_length() - 1)
                    m.d.sync += [gemm.eq(self.i.payload), job.beats.eq(beats)]
                    m.next = "SIZE"
            with m.State("SIZE"):
                few = job.beats < p.sharing
                m.d.sync += [
                    job.cycles.eq(Mux(few, p.sharing, job.beats)),
                    size.eq(gemm.groups[: len(fits)] * job.beats),
                    many.eq(gemm.groups[len(fits) :].any()),
                    fits.eq(self._fitting(gemm.row_turns)),
                    found.eq(self._found(gemm)),
                ]
                m.next = "JUDGE"
            with m.State("JUDGE"):
                large = many | (size > fits)
                m.d.sync += cause.eq(Mux(large & (found == Cause.NONE), Cause.MEMORY, found))
                with m.If(large | (found != Cause.NONE)):
                    m.next = "REFUSE"
                with m.Else():
                    m.d.sync += [self.loads.valid.eq(1), self.turns.valid.eq(1)]
                    m.next = "TAKE"
            with m.State("REFUSE"):
                m.d.comb += self.refused.valid.eq(self.alone)
                with m.If(self.refused.valid & self.refused.ready):
                    m.next = "TAKE"
        return m

    def _fitting(self, row_turns):
        """Return how many rows of memory each tile of rows may take; any number, if none may be."""
        p = self.parameters
        fits = Const(0, p.depth.bit_length())
        for turns in range(1, p.slots + 1):
            fits |= Mux(row_turns == turns, p.depth // turns, 0)
        return fits

    def _found(self, gemm):
        """Return the first cause that a descriptor gives of itself."""
        bits, turns = gemm.mantissa_bits, gemm.row_turns
        shape = (gemm.m == 0) | (gemm.n == 0) | (gemm.groups == 0)
        mantissa = (bits == 0) | (bits > MANTISSA_BITS_MAX)
        row_turns = (turns == 0) | (turns > self.parameters.slots)
        found = Mux(row_turns, Cause.ROW_TURNS, Cause.NONE)
        return Mux(shape, Cause.SHAPE, Mux(mantissa, Cause.MANTISSA, found))
