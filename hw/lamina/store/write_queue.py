"""Where writes wait: their data from the time they are taken, their orders once they are placed."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.compare import equal
from lamina.formats.views import BLOCK_ROWS, write_layout
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["PARTS", "WriteQueue", "order_layout"]

#: Parts of the data's queue, each with pointers of its own: to all bits of a write wires are long.
PARTS = 8


def order_layout(beat_bits: int) -> data.StructLayout:
    """Return a write in its turn.

    ``same``: of the block of the one before that is not dropped; ``again``: its line has the number
    of that of the one before. ``line_bit``: that number, one-hot. ``whole``: nothing but to be
    written, neither partial nor to be dropped.
    """
    return data.StructLayout(
        {
            "write": write_layout(beat_bits),
            "line_bit": unsigned(BLOCK_ROWS),
            "same": unsigned(1),
            "again": unsigned(1),
            "whole": unsigned(1),
        }
    )


class WriteQueue(wiring.Component):
    """Two queues of one depth; a write has its place in both from when its data are taken.

    Parameters: `DeviceParameters`.

    Members
    -------
    i, i_valid : In
        `write_layout`; always taken.
    payload : In(stream)
        Data of the writes, in their order, three cycles before them or more.
    order : Out(stream of order_layout)
    data : Out(stream)
        Of the same writes: there when their orders are.
    load : Out
        How full the queue is, in quarters.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(write_layout(p.beat_bits)),
                "i_valid": In(1),
                "payload": In(stream.Signature(p.payload_layout)),
                "order": Out(stream.Signature(order_layout(p.beat_bits))),
                "data": Out(stream.Signature(p.payload_layout)),
                "load": Out(2),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.orders = orders = Queue(
            QueueParameters(shape=order_layout(p.beat_bits), depth=p.writes)
        )
        wiring.connect(m, orders.o, wiring.flipped(self.order))
        # Data are on their way to their queue for a cycle: places are counted when they are given,
        # and free again a cycle late.
        level, leave = Signal(range(p.writes + 1)), Signal()
        m.d.sync += leave.eq(self.data.valid & self.data.ready)
        enter = self.payload.valid & self.payload.ready
        m.d.comb += [
            self.payload.ready.eq(~level[-1]),
            self.load.eq(level[-3:-1] | level[-1].replicate(2)),
        ]
        key = Cat(self.i.block, self.i.index)
        last_key = Signal(len(key))
        last_line = Signal.like(self.i.line)
        m.d.sync += [
            orders.i.p.write.eq(self.i),
            orders.i.p.line_bit.eq(1 << self.i.line),
            orders.i.p.same.eq(equal(m, key, last_key)),
            orders.i.p.again.eq(self.i.line == last_line),
            orders.i.p.whole.eq(~self.i.drop & ~self.i.message.partial),
            orders.i.valid.eq(self.i_valid),
        ]
        # Both are known before what enters is.
        more, less = Signal.like(level), Signal.like(level)
        m.d.comb += [more.eq(level + 1), less.eq(level - 1)]
        with m.If(enter ^ leave):
            m.d.sync += level.eq(Mux(leave, less, more))
        with m.If(self.i_valid):
            m.d.sync += last_line.eq(self.i.line)
            with m.If(~self.i.drop):
                m.d.sync += last_key.eq(key)
        self._payloads(m, enter)
        return m

    def _payloads(self, m, enter):
        """Queue the data."""
        p = self.parameters
        part = QueueParameters(shape=p.payload_layout.size // PARTS, depth=p.writes)
        queues = [Queue(part) for _ in range(PARTS)]
        come, valid = Signal(p.payload_layout), Signal()
        m.d.sync += [come.eq(self.payload.p), valid.eq(enter)]
        for number, queue in enumerate(queues):
            m.submodules[f"payloads_{number}"] = queue
            m.d.comb += [
                queue.i.valid.eq(valid),
                queue.i.payload.eq(come.as_value().word_select(number, part.shape)),
                queue.o.ready.eq(self.data.ready),
            ]
        m.d.comb += [
            self.data.valid.eq(queues[0].o.valid),
            Value.cast(self.data.payload).eq(Cat(queue.o.payload for queue in queues)),
        ]
