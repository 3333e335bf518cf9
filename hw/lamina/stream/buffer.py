"""Register slice and queue: where a stream is cut in time, or decoupled."""

from dataclasses import dataclass

from amaranth.hdl import Module, Shape, ShapeLike, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.parameters import check_range

__all__ = ["Queue", "QueueParameters", "SkidBuffer"]


class SkidBuffer(wiring.Component):
    """A register slice that cuts both directions of the handshake.

    A stream of ``shape`` flows from ``i`` to ``o``. Latency one cycle, one beat a cycle, no
    combinational path from ``o.ready`` to ``i.ready`` nor from ``i.valid`` to ``o.valid``; holds
    two beats.
    """

    def __init__(self, shape: ShapeLike):
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        spare = Signal.like(self.i.payload)
        spare_valid = Signal()
        advance = Signal()
        m.d.comb += [self.i.ready.eq(~spare_valid), advance.eq(self.o.ready | ~self.o.valid)]
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | spare_valid),
                self.o.payload.eq(self.i.payload),
                spare_valid.eq(0),
            ]
            with m.If(spare_valid):
                m.d.sync += self.o.payload.eq(spare)
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += [spare.eq(self.i.payload), spare_valid.eq(1)]
        return m


@dataclass(frozen=True, kw_only=True)
class QueueParameters:
    """``shape`` of a beat and ``depth`` in beats."""

    shape: ShapeLike
    depth: int

    def __post_init__(self):
        check_range("depth", self.depth, 1, 1 << 16)

    @property
    def storage_bits(self) -> int:
        """Bits held."""
        return Shape.cast(self.shape).width * self.depth


class Queue(wiring.Component):
    """First in, first out: up to ``depth`` beats wait between ``i`` and ``o``.

    Members: ``i``, ``o`` streams of ``shape``; ``level`` counts the beats held. Latency two cycles,
    one beat a cycle.
    """

    def __init__(self, parameters: QueueParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.shape)),
                "o": Out(stream.Signature(p.shape)),
                "level": Out(range(p.depth + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = Shape.cast(self.parameters.shape).width
        m.submodules.fifo = queue = fifo.SyncFIFOBuffered(width=width, depth=self.parameters.depth)
        m.d.comb += [
            queue.w_data.eq(self.i.payload),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            self.o.payload.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
            self.level.eq(queue.level),
        ]
        return m
