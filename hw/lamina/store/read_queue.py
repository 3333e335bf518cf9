"""Where reads wait for their planes."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.views import read_layout
from lamina.stream.booked import BookedQueue, BookedQueueParameters
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["READS_AHEAD", "ReadQueue"]

#: Reads that wait behind the queue's memory.
READS_AHEAD = 4


class ReadQueue(wiring.Component):
    """A queue whose block RAM is read into a register that nothing stalls: FPGAs have it within the
    block RAM, which is slow without. So reads are taken out of it ahead of who wants them.

    Parameters: `DeviceParameters`.

    Members
    -------
    i, o : streams of `read_layout`
    level : Out
        Reads in the memory: ``reads`` at most, and `READS_AHEAD` more behind it.

    Timing: a read a cycle; three cycles from ``i`` to ``o``.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        read = stream.Signature(read_layout(p.slot_bits))
        super().__init__({"i": In(read), "o": Out(read), "level": Out(range(p.reads + 1))})

    def elaborate(self, platform):
        m = Module()
        shape = self.i.payload.shape()
        m.submodules.queue = queue = Queue(
            QueueParameters(shape=shape, depth=self.parameters.reads)
        )
        m.submodules.ahead = ahead = BookedQueue(
            BookedQueueParameters(shape=shape, depth=READS_AHEAD, early=True)
        )
        wiring.connect(m, wiring.flipped(self.i), queue.i)
        read = Signal(shape, reset_less=True)
        m.d.sync += [
            queue.o.ready.eq(ahead.room),
            read.eq(queue.o.payload),
            ahead.i.valid.eq(ahead.booked),
        ]
        m.d.comb += [
            self.level.eq(queue.level),
            ahead.booked.eq(queue.o.valid & queue.o.ready),
            ahead.i.payload.eq(read),
        ]
        wiring.connect(m, ahead.o, wiring.flipped(self.o))
        return m
