"""Puts the planes that arrive from memory where their block lies in the read buffer."""

from amaranth.hdl import Const, Module, Mux, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import read_data_layout
from lamina.formats.planes import BLOCK_CODES
from lamina.formats.views import BLOCK_ROWS, access_layout, run_layout
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["BlockFill"]


class BlockFill(wiring.Component):
    """Writes beats, which come in the order of their addresses, into rows of the read buffer.

    Parameters: `DeviceParameters`.

    Members
    -------
    i : In(stream of run_layout)
        Runs, always taken, each before its first beat: that is taken in the fourth cycle after.
    joined, joined_slot : In
        The slots of all runs, one after the other.
    r : In(stream of bus.axi4.read_data_layout)
        Ready whenever a run is under way: every beat has its place.
    write_enable, write, write_turn, write_data : Out
        To the plane buffer, in the beat's own cycle; ``write_turn`` is a register.
    arrived : Out
        Beats since reset, modulo its range.
    alone : Out
        The run under way has one block, whose planes are the next that arrive.
    errors_enable, errors_slot, errors : Out
        Of the beat in the cycle before: the slot of its block, and the planes of that which came
        with an error, so far.
    failed, filled : Out
        Pulses: that beat came with an error; it is the last of its block.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(run_layout(p.slot_bits, p.beat_bits))),
                "joined": In(1),
                "joined_slot": In(p.slot_bits),
                "r": In(stream.Signature(read_data_layout(p.axi))),
                "write_enable": Out(1),
                "write": Out(access_layout(p.slot_bits)),
                "write_turn": Out(4),
                "write_data": Out(BLOCK_CODES),
                "arrived": Out(p.sequence_bits),
                "alone": Out(1),
                "errors_enable": Out(1),
                "errors_slot": Out(p.slot_bits),
                "errors": Out(BLOCK_ROWS),
                "failed": Out(1),
                "filled": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        run = self.i.payload.shape()
        m.submodules.waiting = waiting = Queue(
            QueueParameters(shape=run, depth=self.parameters.blocks)
        )
        job, following = Signal(run), waiting.o.p
        valid, load, free = Signal(), Signal(), Signal()
        slot, row = Signal(self.parameters.slot_bits), Signal(4)
        # Blocks of this plane behind this one; and what can be known a beat early.
        left, last_block, last_plane = Signal.like(job.blocks), Signal(), Signal()
        taken, final = Signal(), Signal()
        m.d.comb += self.i.ready.eq(1)
        m.d.sync += [waiting.i.valid.eq(self.i.valid), waiting.i.payload.eq(self.i.p)]
        m.d.comb += [
            taken.eq(self.r.valid & self.r.ready),
            # Whatever beat comes: it ends the run.
            final.eq(last_plane & last_block),
            free.eq(~valid | (self.r.valid & final)),
            waiting.o.ready.eq(free),
            load.eq(free & waiting.o.valid),
            self.r.ready.eq(valid),
            self.alone.eq(job.blocks == 0),
            self.write_enable.eq(taken),
            self.write.slot.eq(slot),
            self.write.index.eq(row),
            self.write.group.eq(job.order.group),
            self.write_data.eq(self.r.p.data),
        ]
        m.d.sync += [
            self.errors_enable.eq(taken),
            self.errors_slot.eq(slot),
            self.filled.eq(taken & last_plane),
            self.failed.eq(taken & self.r.p.resp[1]),
        ]
        with m.If(taken):
            m.d.sync += [
                self.arrived.eq(self.arrived + 1),
                left.eq(left - 1),
                last_block.eq(left == 1),
            ]
        with m.If(taken & last_block):
            m.d.sync += [
                left.eq(job.blocks),
                last_block.eq(self.alone),
                job.order.count.eq(job.order.count - 1),
                last_plane.eq(job.order.count == 2),
                row.eq(row - 1),
                self.write_turn.eq(self.write_turn - (Const(16) >> job.order.group)),
            ]
        self._slots(m, taken, last_block, last_plane, slot, load, following)
        self._errors(m, taken & last_block, load, slot)
        with m.If(free):
            m.d.sync += valid.eq(load)
        with m.If(load):
            order = following.order
            m.d.sync += [
                job.eq(following),
                left.eq(following.blocks),
                last_block.eq(following.blocks == 0),
                last_plane.eq(order.count == 1),
                row.eq(order.top),
                self.write_turn.eq((order.top << 4) >> order.group),
            ]
        return m

    def _slots(self, m, taken, last_block, last_plane, slot, load, following):
        """The slot of the next beat: each plane goes through the slots of the run again."""
        p = self.parameters
        m.submodules.slots = slots = memory.Memory(
            shape=unsigned(p.slot_bits), depth=p.blocks, init=[]
        )
        write, read = slots.write_port(), slots.read_port(domain="comb")
        joined, joined_slot = Signal(), Signal(p.slot_bits)
        m.d.sync += [joined.eq(self.joined), joined_slot.eq(self.joined_slot)]
        first, then, ahead = Signal(p.slot_bits), Signal(p.slot_bits), Signal(p.slot_bits, init=1)
        m.d.comb += [
            write.en.eq(joined),
            write.data.eq(joined_slot),
            then.eq(Mux(last_block & ~last_plane, first, ahead)),
            read.addr.eq(then),
        ]
        with m.If(joined):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(taken):
            m.d.sync += [ahead.eq(then + 1), slot.eq(read.data)]
        with m.If(taken & last_block & last_plane):
            m.d.sync += first.eq(then)
        with m.If(load):
            m.d.sync += slot.eq(following.order.slot)

    def _errors(self, m, next_plane, load, slot):
        """What came with an error of each block of the run: a cycle after the beat, as the rows
        are far from each other.
        """
        m.submodules.errors = rows = memory.Memory(
            shape=unsigned(BLOCK_ROWS), depth=self.parameters.blocks, init=[]
        )
        write, read = rows.write_port(), rows.read_port(domain="comb")
        plane, moves, loads = Signal(BLOCK_ROWS, init=1), Signal(), Signal()
        before = Signal(BLOCK_ROWS)
        m.d.sync += [
            moves.eq(next_plane),
            loads.eq(load),
            # Of a block that is alone, the plane before may not have been written yet.
            before.eq(Mux(self.alone, self.errors, read.data)),
        ]
        with m.If(loads):
            m.d.sync += plane.eq(1)
        with m.Elif(moves):
            m.d.sync += plane.eq(plane << 1)
        m.d.comb += [
            read.addr.eq(slot),
            self.errors.eq(Mux(plane[0], 0, before) | Mux(self.failed, plane, 0)),
            write.en.eq(self.errors_enable),
            write.addr.eq(self.errors_slot),
            write.data.eq(self.errors),
        ]
