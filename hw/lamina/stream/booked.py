"""A queue that never says no: its source books a place before it sends."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.parameters import check_power_of_two
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["BookedQueue", "BookedQueueParameters"]

#: Bits of a beat that share their pointers.
_PART_BITS = 150


@dataclass(frozen=True, kw_only=True)
class BookedQueueParameters:
    """``shape`` of a beat, ``depth`` in beats; ``early``: beats are on ``o`` at once,
    and the memory is no macro: for a few.
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
        return 0 if self.early else self.queue.latency


class BookedQueue(wiring.Component):
    """First in, first out; beats are announced when they set out, and taken when they come.

    So what they pass on their way has nothing to wait for, and needs no enables.

    Members
    -------
    booked : In
        A beat sets out, to come in this cycle or later. Only if ``room`` was set in the cycle
        before.
    room : Out
        One more may set out in the next cycle, whether one does in this one or not.
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
        count, left, up, down = Signal(range(p.depth + 1)), Signal(), Signal(), Signal()
        # Known from registers, as what sets out is known late: no place is free, or but one.
        full, nearly = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(1),
            left.eq(self.o.valid & self.o.ready),
            # What leaves in this cycle is not seen yet.
            self.room.eq(~Mux(self.booked, nearly, full)),
            up.eq(self.booked & ~left),
            down.eq(left & ~self.booked),
        ]
        with m.If(up):
            m.d.sync += [count.eq(count + 1), full.eq(nearly), nearly.eq(count >= p.depth - 2)]
        with m.Elif(down):
            m.d.sync += [count.eq(count - 1), full.eq(0), nearly.eq(full)]
        if p.early:
            self._at_once(m)
        else:
            m.submodules.queue = queue = Queue(p.queue)
            wiring.connect(m, wiring.flipped(self.i), queue.i)
            wiring.connect(m, queue.o, wiring.flipped(self.o))
        return m

    def _at_once(self, m):
        """Rows that are read without a register behind them: LUTs of an FPGA, else flip-flops.

        Wide ones are in parts, whose pointers are all alike: to all bits of a beat wires are long.
        """
        i, o = Value.cast(self.i.payload), Value.cast(self.o.payload)
        parts = -(-len(i) // _PART_BITS)
        step = -(-len(i) // parts)
        for n in range(parts):
            own = slice(n * step, (n + 1) * step)
            rows = memory.Memory(
                shape=len(i[own]),
                depth=self.parameters.depth,
                init=[],
                attrs={"ram_style": "distributed"},
            )
            m.submodules[f"rows_{n}"] = rows
            valid = self._part(m, rows, i[own], o[own])
            if n == 0:
                m.d.comb += self.o.valid.eq(valid)

    def _part(self, m, rows, incoming, outgoing):
        write, read = rows.write_port(), rows.read_port(domain="comb")
        level, waits, waiting = Signal(range(self.parameters.depth + 1)), Signal(), Signal()
        valid, left = waiting | self.i.valid, Signal()
        m.d.comb += [
            # For nothing, if there is no beat: the next place is free unless all are taken.
            write.en.eq(~level[-1]),
            write.data.eq(incoming),
            # Something waits in the next cycle. Whether it is taken is known late.
            waits.eq(
                Mux(
                    self.o.ready,
                    (level > 1) | ((level == 1) & self.i.valid),
                    (level != 0) | self.i.valid,
                )
            ),
            left.eq(valid & self.o.ready),
            outgoing.eq(Mux(waiting, read.data, incoming)),
        ]
        m.d.sync += [
            write.addr.eq(write.addr + self.i.valid),
            read.addr.eq(read.addr + left),
            level.eq(level + self.i.valid - left),
            waiting.eq(waits),
        ]
        return valid
