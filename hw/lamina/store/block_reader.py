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
)
from lamina.store.line_former import piece_layout
from lamina.store.pair_buffer import pair_turn
from lamina.store.read_planner import planned_layout

__all__ = ["BlockReader"]


class BlockReader(wiring.Component):
    """Reads rows and groups of the read buffer for the reads, in their order.

    Parameters: `DeviceParameters`.

    Members
    -------
    i : In(stream of planned_layout)
        Reads, planned.
    arrived, arrives : In
        Beats that have come; one comes now.
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
        A read was done with its slot in the cycle before.

    Timing: a row, or one or two groups, a cycle. A plane is read the cycle after it was written. A
    group that two lines share is read once if the lines are asked for one behind the other.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(planned_layout(p))),
                "arrived": In(p.sequence_bits),
                "arrives": In(1),
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
        job, then, valid, free = self._jobs(m)
        # ``left``: groups behind this one. ``there``: nothing is waited for any more.
        left, index, offset = Signal(4), Signal(4), Signal.like(job.plan.offset)
        there, reached, alone, first = Signal(), Signal(), Signal(), Signal()
        pair, last, fire, held_free = Signal(), Signal(), Signal(), Signal()
        read = Signal(access_layout(p.slot_bits))
        m.d.comb += [
            pair.eq(job.plan.pairs & left.any()),
            last.eq(~left[1:].any() & (~left[0] | job.plan.pairs)),
            fire.eq(valid & (there | (alone & reached)) & held_free),
            free.eq(~valid | (fire & last)),
            # A plane that has not come yet is read again and again, for nothing.
            self.read_enable.eq(valid & held_free),
            self.read.eq(read),
            self.read.index.eq(index),
        ]
        filled = Signal(len(self.filling))
        m.d.comb += filled.eq(self.filled << self.filled_slot)
        m.d.sync += [
            self.release.eq(fire & last & ~job.empty),
            self.release_slot.eq(read.slot),
            # A run has had no beat yet in its first cycle: it need not be known then.
            alone.eq(self.alone),
            # A beat that comes now is in the buffer when it is looked for.
            reached.eq(Mux(free, self._reaches(then.target), self._reaches(job.target))),
        ]
        with m.If(filled.bit_select(read.slot, 1)):
            m.d.sync += there.eq(1)
        with m.If(free):
            m.d.sync += [
                read.slot.eq(then.read.slot),
                read.across.eq(~then.plan.direct),
                read.group.eq(then.read.group),
                there.eq(then.empty | (~self.filling | filled).bit_select(then.read.slot, 1)),
                left.eq(then.plan.steps - then.continues),
                index.eq(then.plan.first + then.continues),
                offset.eq(then.plan.offset + Mux(then.continues, then.plan.words, 0)),
                first.eq(1),
            ]
        with m.Elif(fire):
            m.d.sync += [
                left.eq(left - 1 - pair),
                index.eq(index + 1 + pair),
                offset.eq(offset + Mux(pair, job.plan.words << 1, job.plan.words)),
                first.eq(0),
            ]
        now = {"offset": offset, "first": first, "last": last}
        self._hold(m, job.read, job.plan, now, fire, held_free)
        return m

    def _jobs(self, m):
        """Keep the read that is served and the next one, in turns, so that the end of one enables
        few registers; return both, whether there is the first, and what is to tell that it ended.

        Without a read that is served, the next one is that at the port.
        """
        planned = self.i
        jobs = [Signal(planned.p.shape(), name=f"job_{n}") for n in range(2)]
        full, now, fill, free = Signal(2), Signal(), Signal(), Signal()
        job, then, valid = Signal.like(jobs[0]), Signal.like(jobs[0]), Signal()
        other = full.bit_select(~now, 1)
        m.d.comb += [
            job.eq(Mux(now, jobs[1], jobs[0])),
            valid.eq(full.bit_select(now, 1)),
            then.eq(Mux(other, Mux(now, jobs[0], jobs[1]), planned.p)),
            planned.ready.eq(~full.bit_select(fill, 1)),
        ]
        with m.If(free & valid):
            m.d.sync += [now.eq(~now), full.bit_select(now, 1).eq(0)]
        with m.If(planned.valid & planned.ready):
            m.d.sync += [fill.eq(~fill), full.bit_select(fill, 1).eq(1)]
        for n, kept in enumerate(jobs):
            with m.If(~full[n]):  # for nothing, if none comes
                m.d.sync += kept.eq(planned.p)
        return job, then, valid, free

    def _reaches(self, target):
        """Return whether the beats that have come after this cycle are ``target`` or more."""
        return ~(self.arrived + self.arrives - target)[len(self.arrived) - 1]

    def _hold(self, m, job, plan, now, fire, free):
        """What was read, while the memory's output has it."""
        held, held_plan, valid = Signal.like(job), Signal.like(plan), Signal()
        piece, line, direct = self.piece.p, self.line.p, Signal()
        failed, poison = Signal(), Signal()
        turn, more_turn = Signal(4), Signal(4)
        then = {name: Signal.like(value, name=f"held_{name}") for name, value in now.items()}
        m.d.comb += [
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
                direct.eq(plan.direct | job.unmapped | job.blank),
                turn.eq(pair_turn(self.read, 0)),
                more_turn.eq(pair_turn(self.read, 1)),
                *(then[name].eq(value) for name, value in now.items()),
            ]
