"""Error ledger: which GEMMs have operands that came with an error."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["ErrorLedger", "ledger_queues"]

#: What is known of a turn that has begun: it takes weights; it is its GEMM's last.
_TURN = data.StructLayout({"load": 1, "final": 1})


def ledger_queues(parameters) -> dict[str, QueueParameters]:
    """Return the queues of a ledger: GEMMs loaded, turns whose weights come, GEMMs whose have.

    One GEMM is loaded while one is worked on. A turn that lacks weights stops the array, whose head
    and reader hold parts of two turns more.
    """
    return {
        "loads": QueueParameters(shape=1, depth=4),
        "turns": QueueParameters(shape=_TURN, depth=8),
        "ends": QueueParameters(shape=1, depth=parameters.tiles),
    }


class ErrorLedger(wiring.Component):
    """Keep errors of operands until the GEMM that they belong to is over, and no other.

    Activations are loaded up to a GEMM before their turns, weights come after them: each are kept
    by GEMM, in their order. Weights are counted, because the port takes the first of a turn before
    it begins.

    Parameters: `EngineParameters`.

    Members
    -------
    activation_error : In(1)
        A beat of activations is taken that has an error.
    loaded : In(1)
        The last beat of a GEMM is taken.
    weight, weight_error : In(1)
        A beat of weights is taken, one that has an error.
    begins, load, final : In(1)
        A turn begins; it takes weights; it is its GEMM's last one.
    o : Out(stream of one bit)
        For each GEMM, in their order, whether one of its beats had an error; there before the last
        of its results is.
    """

    def __init__(self, parameters):
        self.parameters = parameters
        names = ("activation_error", "loaded", "weight", "weight_error", "begins", "load", "final")
        super().__init__({name: In(1) for name in names} | {"o": Out(stream.Signature(1))})

    def elaborate(self, platform):
        m = Module()
        queues = {name: Queue(p) for name, p in ledger_queues(self.parameters).items()}
        for name, queue in queues.items():
            m.submodules[name] = queue
        loads, turns, ends = queues.values()
        loading = Signal()  # what was found in the GEMM that is loaded
        m.d.comb += [
            loads.i.valid.eq(self.loaded),
            loads.i.payload.eq(loading | self.activation_error),
            turns.i.valid.eq(self.begins),
            turns.i.payload.load.eq(self.load),
            turns.i.payload.final.eq(self.final),
        ]
        m.d.sync += loading.eq(~self.loaded & loads.i.payload)
        turn, blocks = turns.o.payload, self.parameters.array.blocks
        taken, wrong = Signal(range(blocks + 1)), Signal()  # the weights of the turn
        before, found = Signal(), Signal()  # the turns of its GEMM
        over = turns.o.valid & turns.o.ready
        fresh = over & turn.load
        m.d.comb += [
            turns.o.ready.eq((taken == blocks) | ~turn.load),
            found.eq(before | (turn.load & wrong)),
            loads.o.ready.eq(over & turn.final),
            ends.i.valid.eq(over & turn.final),
            ends.i.payload.eq(found | loads.o.payload),
        ]
        m.d.sync += [
            taken.eq(Mux(fresh, 0, taken) + self.weight),
            wrong.eq((~fresh & wrong) | self.weight_error),
        ]
        with m.If(over):
            m.d.sync += before.eq(~turn.final & found)
        wiring.connect(m, ends.o, wiring.flipped(self.o))
        return m
