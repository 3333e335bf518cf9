"""Engine core: an array of Anda with what feeds it, from descriptors to results."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.array import Array
from lamina.anda.error_ledger import ErrorLedger
from lamina.anda.gemm_check import GemmCheck
from lamina.anda.plane_loader import PlaneLoader
from lamina.anda.plane_memory import PlaneMemory
from lamina.anda.result_port import ResultPort
from lamina.anda.turn_reader import TurnReader
from lamina.anda.turn_sequencer import TurnSequencer
from lamina.formats.engine import (
    Cause,
    counters_layout,
    done_layout,
    gemm_layout,
    plane_words_layout,
    result_layout,
    weights_beat_layout,
)

__all__ = ["EngineCore", "data_ports"]


def data_ports(parameters) -> dict:
    """Return the streams of activations, weights and results."""
    p, array = parameters, parameters.array
    weights = weights_beat_layout(p.block_columns, p.weight_bits)
    return {
        "i_activations": In(stream.Signature(plane_words_layout(p.rows, p.planes))),
        "i_weights": In(stream.Signature(weights)),
        "o": Out(stream.Signature(result_layout(array.block.units, p.block_columns))),
    }


class EngineCore(wiring.Component):
    """Multiply matrices of any size as descriptors tell: `Engine` without its registers.

    Parameters: `EngineParameters`.

    Members
    -------
    i_gemm : In(stream of `gemm_layout`)
    i_activations, i_weights, o : as of `Engine`
    o_done : Out(stream of `done_layout`)
        One for each descriptor, in their order.
    counters : Out(counters_layout()); clear : In(1)
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i_gemm": In(stream.Signature(gemm_layout())),
                **data_ports(p),
                "o_done": Out(stream.Signature(done_layout())),
                "counters": Out(counters_layout()),
                "clear": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.check = check = GemmCheck(p)
        m.submodules.loader = loader = PlaneLoader(p.rows, p.planes)
        m.submodules.memory = memory = PlaneMemory(p.rows, p.planes, p.depth)
        m.submodules.sequencer = sequencer = TurnSequencer(p)
        m.submodules.reader = reader = TurnReader(p)
        m.submodules.array = array = Array(p.array)
        m.submodules.results = results = ResultPort(p)
        for source, sink in (
            (wiring.flipped(self.i_gemm), check.i),
            (wiring.flipped(self.i_activations), loader.i),
            (check.loads, loader.job),
            (check.turns, sequencer.job),
            (sequencer.turn, reader.turn),
            (reader.o, array.i),
            (array.o, results.i),
            (results.o, wiring.flipped(self.o)),
        ):
            wiring.connect(m, source, sink)
        weights = self.i_weights
        m.d.comb += [
            array.i_weights.valid.eq(weights.valid),
            weights.ready.eq(array.i_weights.ready),
            *(array.i_weights.p[name].eq(weights.p[name]) for name in ("codes", "zeros", "scales")),
            *(getattr(memory, name).eq(getattr(loader, name)) for name in _LOADED),
            loader.full.eq(memory.full),
            sequencer.loaded.eq(loader.loaded),
            memory.release.eq(sequencer.release),
            memory.released.eq(sequencer.released),
            memory.read.eq(reader.read),
            memory.address.eq(reader.address),
            reader.words.eq(memory.read_words),
            reader.exponents.eq(memory.read_exponents),
            results.tile.eq(sequencer.tile),
            results.enter.eq(sequencer.enter),
            sequencer.crowded.eq(results.crowded),
        ]
        turn = sequencer.turn
        over = turn.valid & turn.ready
        activation, weight = (i.valid & i.ready for i in (self.i_activations, weights))
        m.submodules.errors = errors = ErrorLedger(p)
        m.d.comb += [
            errors.activation_error.eq(activation & self.i_activations.p.error),
            errors.loaded.eq(loader.finished),
            errors.weight.eq(weight),
            errors.weight_error.eq(weight & weights.p.error),
            errors.begins.eq(reader.begins),
            errors.load.eq(turn.payload.load),
            errors.final.eq(turn.payload.end & sequencer.tile.last),
        ]
        busy = self._complete(m, check, results, errors)
        waiting = array.i.valid & ~array.i.ready & ~array.o.valid
        self._count(
            m,
            cycles=busy,
            group_turns=over & turn.payload.real,
            idle_turns=over & ~turn.payload.real,
            activation_beats=activation,
            weight_beats=weight,
            result_beats=self.o.valid & self.o.ready,
            stall_activations=sequencer.starved,
            stall_weights=waiting & array.i_weights.ready & ~self.i_weights.valid,
            stall_results=self.o.valid & ~self.o.ready,
        )
        return m

    def _complete(self, m, check, results, errors):
        """Report GEMMs that are over; return whether any is not."""
        # One is checked, one sequenced, one leaves, and each tile between may be the last of one.
        pending = Signal(range(self.parameters.tiles + 4))
        done = self.o_done
        m.d.comb += [
            check.alone.eq(pending == 1),
            done.valid.eq((results.done.valid & errors.o.valid) | check.refused.valid),
            done.payload.tag.eq(results.done.payload),
            done.payload.cause.eq(Mux(errors.o.payload, Cause.DATA, Cause.NONE)),
            results.done.ready.eq(done.ready & errors.o.valid),
            errors.o.ready.eq(done.ready & results.done.valid),
            check.refused.ready.eq(done.ready),
        ]
        with m.If(check.refused.valid):
            m.d.comb += done.payload.eq(check.refused.payload)
        taken = self.i_gemm.valid & self.i_gemm.ready
        m.d.sync += pending.eq(pending + taken - (done.valid & done.ready))
        return pending != 0

    def _count(self, m, **events):
        for name, event in events.items():
            counter = self.counters[name]
            m.d.sync += counter.eq(Mux(self.clear, 0, counter + event))


#: What the loader writes to the memory.
_LOADED = ("write", "words", "exponents")
