"""A queue that never says no: its source books a place before it sends."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Shape, ShapeLike, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.parameters import check_power_of_two
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["BookedQueue", "BookedQueueParameters"]


@dataclass(frozen=True, kw_only=True)
class BookedQueueParameters:
    """``shape`` of a beat, ``depth`` in beats; ``early``: beats are on ``o`` a cycle
    earlier, and the memory is no macro: for a few.
    """

    shape: ShapeLike = 32
    depth: int = 16
    early: bool = False

    def __post_init__(self):
        check_power_of_two("depth", self.depth, 2, 1 << 16)

    @property
    def queue(self) -> QueueParameters:
        """Of the queue within."""
        return QueueParameters(shape=self.shape, depth=self.depth)

    @property
    def latency(self) -> int:
        """Cycles from a beat to the beat valid on ``o``, if none is before it."""
        return 1 if self.early else self.queue.latency


class BookedQueue(wiring.Component):
    """First in, first out; beats are announced when they set out, and taken when they come.

    So what they pass on their way has nothing to wait for, and needs no enables.

    Members
    -------
    booked : In
        A beat sets out, to come in this cycle or later. Only if ``room`` is set.
    room : Out
        From a register: there is a place for one more.
    i : In(stream)
        Beats that were booked: always ready.
    o : Out(stream)
        A place is free again in the cycle after its beat left.
    """

    def __init__(self, parameters: BookedQueueParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "booked": In(1),
                "room": Out(1),
                "i": In(stream.Signature(p.shape)),
                "o": Out(stream.Signature(p.shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        count, left = Signal(range(p.depth + 1)), Signal()
        m.d.comb += [
            self.i.ready.eq(1),
            left.eq(self.o.valid & self.o.ready),
            self.room.eq(~count[-1]),  # the depth is a power of two
        ]
        with m.If(self.booked ^ left):
            m.d.sync += count.eq(Mux(self.booked, count + 1, count - 1))
        if p.early:
            self._at_once(m, left)
        else:
            m.submodules.queue = queue = Queue(p.queue)
            wiring.connect(m, wiring.flipped(self.i), queue.i)
            wiring.connect(m, queue.o, wiring.flipped(self.o))
        return m

    def _at_once(self, m, left):
        """Rows that are read without a register behind them: LUTs of an FPGA, else flip-flops."""
        depth = self.parameters.depth
        m.submodules.rows = rows = memory.Memory(
            shape=Shape.cast(self.i.payload.shape()).width,
            depth=depth,
            init=[],
            attrs={"ram_style": "distributed"},
        )
        write, read = rows.write_port(), rows.read_port(domain="comb")
        level = Signal(range(depth + 1))
        m.d.comb += [
            write.en.eq(self.i.valid),
            write.data.eq(self.i.payload),
            self.o.payload.eq(read.data),
        ]
        m.d.sync += [
            write.addr.eq(write.addr + self.i.valid),
            read.addr.eq(read.addr + left),
            level.eq(level + self.i.valid - left),
            self.o.valid.eq((level + self.i.valid - left) != 0),
        ]
