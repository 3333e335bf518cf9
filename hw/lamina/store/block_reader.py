"""Serves the reads that wait: one after the other, as soon as their planes have come."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.planes import BLOCK_CODES
from lamina.formats.views import (
    BLOCK_ROWS,
    ViewKind,
    access_layout,
    line_layout,
    read_layout,
)
from lamina.store.line_former import piece_layout
from lamina.store.plane_buffer import turn_of
from lamina.store.read_plan import add_plan, plan_layout

__all__ = ["BlockReader"]


class BlockReader(wiring.Component):
    """Reads rows and groups of the read buffer for the reads, in their order.

    Parameters: `DeviceParameters`.

    Members
    -------
    i : In(stream of read_layout)
    start_slot, start_enable : Out
    start : In
        Beats that had been ordered when the fetch of the block in a slot was, a cycle later.
    arrived : In
        Beats that have come.
    read_enable, read : Out
    read_data : In
        Of the plane buffer.
    errors, poisoned : In
        Of the slot that was read: its planes that came with an error, its poisoned lines.
    line : Out(stream of line_layout)
        Lines that are rows as they lie, or no row at all.
    piece : Out(stream of piece_layout)
        Groups of which lines are formed.
    release, release_slot : Out
        A read is done with its slot.

    Timing: a row or group a cycle. A plane is read the cycle after it was written.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(read_layout(p.slot_bits))),
                "start_slot": Out(p.slot_bits),
                "start_enable": Out(1),
                "start": In(p.sequence_bits),
                "arrived": In(p.sequence_bits),
                "read_enable": Out(1),
                "read": Out(access_layout(p.slot_bits)),
                "read_data": In(BLOCK_CODES),
                "errors": In(BLOCK_ROWS),
                "poisoned": In(BLOCK_ROWS),
                "line": Out(stream.Signature(line_layout())),
                "piece": Out(stream.Signature(piece_layout())),
                "release": Out(1),
                "release_slot": Out(p.slot_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        head, head_valid = Signal(read_layout(p.slot_bits)), Signal()
        job, plan, valid = Signal.like(head), Signal(plan_layout()), Signal()
        target, step, offset = Signal(p.sequence_bits), Signal(4), Signal.like(plan.offset)
        due, fire, last, free = Signal(), Signal(), Signal(), Signal()
        empty, held_free = Signal(), Signal()
        head_plan, ahead = Signal(plan_layout()), Signal(p.sequence_bits)
        add_plan(m, head, head_plan)
        m.d.comb += [
            empty.eq(job.unmapped | job.blank),
            ahead.eq(self.arrived - target),
            due.eq(empty | ~ahead[-1]),
            last.eq(empty | (step == plan.steps)),
            fire.eq(valid & due & held_free),
            free.eq(~valid | (fire & last)),
            self.i.ready.eq(~head_valid | free),
            self.start_slot.eq(self.i.p.slot),
            self.start_enable.eq(self.i.ready),
            self.read_enable.eq(fire),
            self.read.slot.eq(job.slot),
            self.read.across.eq(~plan.direct),
            self.read.index.eq(plan.first + step),
            self.read.group.eq(job.group),
            self.release.eq(fire & last & ~empty),
            self.release_slot.eq(job.slot),
        ]
        with m.If(self.i.ready):
            m.d.sync += [head.eq(self.i.payload), head_valid.eq(self.i.valid)]
        with m.If(free):
            # A plane as it is has to wait for the planes up to it, anything else for all.
            needed = Mux(head_plan.direct, head.line + 1, head.read)
            m.d.sync += [
                valid.eq(head_valid),
                job.eq(head),
                plan.eq(head_plan),
                target.eq(self.start + needed),
                step.eq(0),
                offset.eq(head_plan.offset),
            ]
        with m.Elif(fire):
            m.d.sync += [step.eq(step + 1), offset.eq(offset + plan.words)]
        self._hold(m, job, plan, step, offset, fire, last, empty, held_free)
        return m

    def _hold(self, m, job, plan, step, offset, fire, last, empty, free):
        """What was read, while the memory's output has it."""
        held, held_plan, valid = Signal.like(job), Signal.like(plan), Signal()
        piece, line, direct = self.piece.p, self.line.p, Signal()
        failed, poison = Signal(), Signal()
        turn, held_first, held_last = Signal(4), Signal(), Signal()
        held_offset = Signal.like(offset)
        m.d.comb += [
            direct.eq(held_plan.direct | held.unmapped | held.blank),
            self.line.valid.eq(valid & direct),
            self.piece.valid.eq(valid & ~direct),
            free.eq(~valid | Mux(direct, self.line.ready, self.piece.ready)),
            failed.eq(Mux(direct, self.errors.bit_select(held.line, 1), self.errors.any())),
            poison.eq(failed | (self.poisoned & held_plan.sources).any()),
            line.data.eq(Mux(held.unmapped, ~0, Mux(held.blank, 0, self.read_data))[:BLOCK_CODES]),
            line.poison.eq(poison & ~held.unmapped & ~held.blank),
            line.unmapped.eq(held.unmapped),
            piece.words.eq(self.read_data),
            piece.poison.eq(poison),
            piece.keep.eq(held.keep),
            piece.take.eq(Mux(held.kind == ViewKind.PACKED, held.keep, 1 << held.group)),
            piece.gather.eq(held.kind == ViewKind.PLANES),
            piece.count.eq(held_plan.words),
            piece.turn.eq(turn),
            piece.first.eq(held_first),
            piece.last.eq(held_last),
            piece.offset.eq(held_offset),
            *(line[name].eq(held[name]) for name in ("tag", "ld_id", "internal")),
            *(
                piece[name].eq(held[name])
                for name in ("tag", "ld_id", "internal", "line", "width", "read", "group")
            ),
            *(piece[name].eq(held[name]) for name in ("bfloat", "nearest")),
        ]
        with m.If(free):
            m.d.sync += [
                valid.eq(fire),
                held.eq(job),
                held_plan.eq(plan),
                turn.eq(turn_of(self.read)),
                held_first.eq(step == 0),
                held_last.eq(last),
                held_offset.eq(offset),
            ]
