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
from lamina.store.pair_buffer import pair_turn
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
    filling, filled, filled_slot : In
        A bit for each slot: not all of its planes have come; the slot whose last one comes now.
    alone : In
        The planes that come are those of one block. Only then, and only of a slot that is being
        filled, does ``arrived`` say which of them have come.
    read_enable, read : Out
    read_data, read_more : In
        Of the plane buffer.
    errors, poisoned : In
        Of the slot that was read: its planes that came with an error, its poisoned lines.
    line : Out(stream of line_layout)
        Lines that are rows as they lie, or no row at all.
    piece : Out(stream of piece_layout)
        Groups of which lines are formed, one or two at a time.
    release, release_slot : Out
        A read is done with its slot.

    Timing: a row, or one or two groups, a cycle. A plane is read the cycle after it was written. A
    group that two lines share is read once if the lines are asked for one behind the other.
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
                "filling": In(p.blocks),
                "filled": In(1),
                "filled_slot": In(p.slot_bits),
                "alone": In(1),
                "read_enable": Out(1),
                "read": Out(access_layout(p.slot_bits)),
                "read_data": In(BLOCK_CODES),
                "read_more": In(BLOCK_CODES),
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
        continues, continued, first = Signal(), Signal(), Signal()
        there, pair, reach = Signal(), Signal(), Signal(5)
        add_plan(m, head, head_plan)
        m.d.comb += [
            empty.eq(job.unmapped | job.blank),
            ahead.eq(self.arrived - target),
            due.eq(empty | there | (self.alone & ~ahead[-1])),
            pair.eq(plan.pairs & ~empty & (step != plan.steps)),
            reach.eq(step + pair),
            last.eq(empty | (reach == plan.steps)),
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
        self._follow(m, head, head_plan, free & head_valid, continues)
        with m.If(self.filled & (self.filled_slot == job.slot)):
            m.d.sync += there.eq(1)
        with m.If(free):
            # A plane as it is has to wait for the planes up to it, anything else for all.
            needed = Mux(head_plan.direct, head.line + 1, head.read)
            m.d.sync += [
                valid.eq(head_valid),
                job.eq(head),
                plan.eq(head_plan),
                target.eq(self.start + needed),
                there.eq(
                    ~self.filling.bit_select(head.slot, 1)
                    | (self.filled & (self.filled_slot == head.slot))
                ),
                step.eq(continues),
                offset.eq(head_plan.offset + Mux(continues, head_plan.words, 0)),
                continued.eq(continues),
                first.eq(1),
            ]
        with m.Elif(fire):
            m.d.sync += [step.eq(reach + 1), first.eq(0)]
            m.d.sync += offset.eq(offset + Mux(pair, plan.words << 1, plan.words))
        now = {"offset": offset, "first": first, "continued": continued, "last": last}
        now["pair"] = pair
        self._hold(m, job, plan, now, fire, held_free)
        return m

    def _follow(self, m, head, plan, load, continues):
        """See whether a line begins in the group with which the line before it ended.

        A slot that was fetched anew in between has another start.
        """
        slot, line, start, valid = (
            Signal.like(value, name=f"before_{name}")
            for name, value in (
                ("slot", head.slot),
                ("line", head.line),
                ("start", self.start),
                ("valid", load),
            )
        )
        m.d.comb += continues.eq(
            valid
            & plan.offset[-1]
            & (head.slot == slot)
            & (self.start == start)
            & (head.line == line + 1)
        )
        with m.If(load):
            m.d.sync += [
                slot.eq(head.slot),
                line.eq(head.line),
                start.eq(self.start),
                valid.eq(~head.unmapped & ~head.blank),
            ]

    def _hold(self, m, job, plan, now, fire, free):
        """What was read, while the memory's output has it."""
        held, held_plan, valid = Signal.like(job), Signal.like(plan), Signal()
        piece, line, direct = self.piece.p, self.line.p, Signal()
        failed, poison = Signal(), Signal()
        turn, more_turn = Signal(4), Signal(4)
        then = {name: Signal.like(value, name=f"held_{name}") for name, value in now.items()}
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
            piece.more.eq(self.read_more),
            piece.more_turn.eq(more_turn),
            piece.poison.eq(poison),
            piece.keep.eq(held.keep),
            piece.take.eq(Mux(held.kind == ViewKind.PACKED, held.keep, 1 << held.group)),
            piece.gather.eq(held.kind == ViewKind.PLANES),
            piece.count.eq(held_plan.words),
            piece.turn.eq(turn),
            *(piece[name].eq(value) for name, value in then.items()),
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
                turn.eq(pair_turn(self.read, 0)),
                more_turn.eq(pair_turn(self.read, 1)),
                *(then[name].eq(value) for name, value in now.items()),
            ]
