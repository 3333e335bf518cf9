"""Puts the planes that arrive from memory where their block lies in the read buffer."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import read_data_layout
from lamina.formats.planes import BLOCK_CODES
from lamina.formats.views import BLOCK_ROWS, access_layout, fetch_layout
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["BlockFill"]


class BlockFill(wiring.Component):
    """Writes beats, which come in the order of their addresses, into rows of the read buffer.

    Parameters: `DeviceParameters`.

    Members
    -------
    i : In(stream of fetch_layout)
        Orders, each before its first beat; always taken.
    r : In(stream of bus.axi4.read_data_layout)
        Ready whenever an order is under way: every beat has its place.
    write_enable, write, write_data : Out
        To the plane buffer, in the beat's own cycle.
    errors_enable, errors_slot, errors : Out
        Planes of the block that came with an error, so far.
    arrived : Out
        Beats since reset, modulo its range.
    failed : Out
        Pulse: a beat came with an error.
    filled : Out
        Pulse: this beat is the last of its block, whose slot is ``errors_slot``.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(fetch_layout(p.slot_bits, p.beat_bits))),
                "r": In(stream.Signature(read_data_layout(p.axi))),
                "write_enable": Out(1),
                "write": Out(access_layout(p.slot_bits)),
                "write_data": Out(BLOCK_CODES),
                "errors_slot": Out(p.slot_bits),
                "errors": Out(BLOCK_ROWS),
                "arrived": Out(p.sequence_bits),
                "failed": Out(1),
                "filled": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        order = self.i.payload.shape()
        m.submodules.waiting = waiting = Queue(QueueParameters(shape=order, depth=p.blocks))
        job, valid, load, free = Signal(order), Signal(), Signal(), Signal()
        row, plane, errors = Signal(4), Signal(BLOCK_ROWS, init=1), Signal(BLOCK_ROWS)
        taken, direct = Signal(), Signal()
        m.d.comb += [
            taken.eq(self.r.valid & self.r.ready),
            self.filled.eq(taken & (job.count == 1)),
            free.eq(~valid | self.filled),
            direct.eq(free & (waiting.level == 0)),
            self.i.ready.eq(1),
            waiting.i.valid.eq(self.i.valid & ~direct),
            waiting.i.payload.eq(self.i.payload),
            waiting.o.ready.eq(free),
            load.eq(free & (waiting.o.valid | (direct & self.i.valid))),
            self.r.ready.eq(valid),
            self.write_enable.eq(taken),
            self.write.slot.eq(job.slot),
            self.write.index.eq(row),
            self.write.group.eq(job.group),
            self.write_data.eq(self.r.p.data),
            self.errors_slot.eq(job.slot),
            self.errors.eq(errors | Mux(self.r.p.resp[1], plane, 0)),
            self.failed.eq(taken & self.r.p.resp[1]),
        ]
        with m.If(taken):
            m.d.sync += [
                self.arrived.eq(self.arrived + 1),
                job.count.eq(job.count - 1),
                row.eq(row - 1),
                plane.eq(plane << 1),
                errors.eq(self.errors),
            ]
        with m.If(free):
            m.d.sync += valid.eq(load)
        following = Mux(waiting.o.valid, waiting.o.payload, self.i.payload)
        with m.If(load):
            m.d.sync += [job.eq(following), plane.eq(1), errors.eq(0)]
            m.d.sync += row.eq(Mux(waiting.o.valid, waiting.o.p.top, self.i.p.top))
        return m
