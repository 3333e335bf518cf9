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
from lamina.store.pair_buffer import pair_carry, pair_rows, pair_turn
from lamina.store.read_planner import planned_layout

__all__ = ["BlockReader"]


class BlockReader(wiring.Component):
    """Reads rows and groups of the read buffer for the reads, in their order.

    Parameters: `DeviceParameters`.

    Members
    -------
    i : In(stream of planned_layout)
        Reads, planned.
    i_there : In
        As ``there`` of `ReadPlanner`.
    arrived : In
        Beats that have come; they can be read from the next cycle on.
    filled, filled_slot : In
        The slot whose last plane is one of them since this cycle.
    alone : In
        The planes that come are those of one block. Only then, and only of a slot that is being
        filled, does ``arrived`` say which of them have come.
    read_enable, read, read_rows, read_carry : Out
    read_data, read_more : In
        Of `PairBuffer`.
    errors, poisoned : In
        Of the slot that was read, a cycle later: its planes that came with an error, its poisoned
        lines.
    line, line_room, line_booked
        Lines that are rows as they lie: a stream of line_layout.
    piece, piece_room, piece_booked
        Groups of which lines are formed, one or two at a time, or none at all: a stream of
        piece_layout. A line is booked with its last piece.

        Both streams have always to be ready, but nothing sets out without ``room`` in the cycle
        before, and what does is ``booked``, as in `BookedQueue`: a line two cycles, a last piece
        one before it is here. Those that the device reads for itself are not booked.
    release, release_slot : Out
        A read was done with its slot in the cycle before.

    Timing: a row, or one or two groups, a cycle. A plane is read in the cycle after ``arrived``
    counts it. A group that two lines share is read once if the lines are asked for one behind the
    other.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(planned_layout(p))),
                "i_there": In(1),
                "arrived": In(p.sequence_bits),
                "filled": In(1),
                "filled_slot": In(p.slot_bits),
                "alone": In(1),
                "read_enable": Out(1),
                "read": Out(access_layout(p.slot_bits)),
                "read_data": In(BLOCK_CODES),
                "read_more": In(BLOCK_CODES),
                "errors": In(BLOCK_ROWS),
                "poisoned": In(BLOCK_ROWS),
                "read_rows": Out(15),
                "read_carry": Out(3),
                "line": Out(stream.Signature(line_layout())),
                "line_room": In(1),
                "line_booked": Out(1),
                "piece": Out(stream.Signature(piece_layout())),
                "piece_room": In(1),
                "piece_booked": Out(1),
                "release": Out(1),
                "release_slot": Out(p.slot_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        # It reads in this cycle: found out in the one before, as all that reads waits for it.
        fire, done, load, direct = Signal(), Signal(), Signal(), Signal()
        job, then, valid, due, then_due = self._jobs(m, done)
        plan, next_plan = job.plan, then.plan
        # ``left``: groups behind this one.
        left, index, offset = Signal(4), Signal(4), Signal.like(plan.offset)
        first, last, next_direct = Signal(), Signal(), Signal()
        read = Signal(access_layout(p.slot_bits))
        m.d.comb += [
            next_direct.eq(next_plan.direct),
            done.eq(fire & last),
            load.eq(~valid | done),
            self.line_booked.eq(done & direct),
            self.piece_booked.eq(done & ~direct & ~job.read.internal),
            # What does not fire is read again and again, for nothing.
            self.read_enable.eq(valid),
            self.read.eq(read),
            self.read.index.eq(index),
        ]
        m.d.sync += [
            fire.eq(Mux(load, then_due & self._room(next_direct), due & self._room(direct))),
            self.release.eq(done & ~job.empty),
            self.release_slot.eq(read.slot),
        ]
        with m.If(load):
            m.d.sync += [
                read.slot.eq(then.read.slot),
                read.group.eq(then.read.group),
                self.read_rows.eq(Mux(next_plan.direct, 0, pair_rows(then.read.group))),
                self.read_carry.eq(pair_carry(next_plan.first)),
                left.eq(next_plan.steps),
                last.eq(~next_plan.steps[1:].any() & (~next_plan.steps[0] | next_plan.pairs)),
                index.eq(next_plan.first),
                offset.eq(next_plan.offset),
                first.eq(1),
                direct.eq(next_direct),
            ]
        with m.Elif(fire):  # two groups, or one: two are left, or three, or one
            m.d.sync += [
                self.read_carry.eq(Mux(plan.pairs, pair_carry(index + 2), pair_carry(index + 1))),
                left.eq(Mux(plan.pairs, left - 2, left - 1)),
                last.eq((left[1:] == plan.pairs) & (left[0] | plan.pairs)),
                index.eq(Mux(plan.pairs, index + 2, index + 1)),
                offset.eq(offset + Mux(plan.pairs, plan.words << 1, plan.words)),
                first.eq(0),
            ]
        now = {"offset": offset, "first": first, "last": last}
        self._hold(m, job.read, plan.sources, now, fire, direct)
        return m

    def _room(self, direct):
        """Return whether there will be room for what is made."""
        return Mux(direct, self.line_room, self.piece_room)

    def _jobs(self, m, done):
        """Keep the read that is served and the next one, in turns, so that the end of one enables
        few registers.

        Return both, whether there is the first, which goes when ``done``, and whether the first,
        and the next if it takes its place, waits for nothing but room. Without a next one that is
        kept, it is that at the port.
        """
        jobs = [Signal(self.i.p.shape(), name=f"job_{n}") for n in range(2)]
        job, then = Signal.like(jobs[0]), Signal.like(jobs[0])
        valid, both, now, fill, accept = Signal(), Signal(), Signal(), Signal(), Signal()
        there = Signal(2)
        ready = [self._due(kept, there[n]) for n, kept in enumerate(jobs)]
        due, then_due = Signal(), Signal()
        m.d.comb += [
            accept.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(~both),
            job.eq(Mux(now, jobs[1], jobs[0])),
            then.eq(Mux(both, Mux(now, jobs[0], jobs[1]), self.i.p)),
            due.eq(Mux(now, ready[1], ready[0])),
            then_due.eq(
                Mux(
                    both,
                    Mux(now, ready[0], ready[1]),
                    self.i.valid & self._due(self.i.p, self.i_there),
                )
            ),
        ]
        m.d.sync += [
            valid.eq((valid & ~done) | both | accept),
            both.eq(valid & ~done & (both | accept)),
            now.eq(now ^ done),
            fill.eq(fill ^ accept),
        ]
        for n, kept in enumerate(jobs):
            with m.If(~both & (fill == n)):  # for nothing, if none comes
                m.d.sync += [kept.eq(self.i.p), there[n].eq(self.i_there | self._fills(self.i.p))]
            with m.Elif(self._fills(kept)):
                m.d.sync += there[n].eq(1)
        return job, then, valid, due, then_due

    def _fills(self, planned):
        """Return whether the last plane of a read's block comes now."""
        return self.filled & (self.filled_slot == planned.read.slot)

    def _due(self, planned, there):
        """Return whether the planes of a read have come."""
        reached = ~(self.arrived - planned.target)[len(self.arrived) - 1]
        return there | self._fills(planned) | (self.alone & reached)

    def _hold(self, m, job, sources, now, fire, direct):
        """What was read: of a piece what comes before the words; of a line what comes with them."""
        held, held_sources, valid = Signal.like(job), Signal.like(sources), Signal()
        piece, line, held_direct = self.piece.p, self.line.p, Signal()
        empty, strays, failed, tainted = Signal(), Signal(), Signal(), Signal()
        turn, more_turn = Signal(4), Signal(4)
        then = {name: Signal.like(value, name=f"held_{name}") for name, value in now.items()}
        m.d.comb += [
            empty.eq(held.unmapped | held.blank),
            # Software changed the view of a write whose line this is: what it shows now is not to
            # be stored.
            strays.eq(held.internal & (empty | (held.kind != ViewKind.FULL))),
            self.piece.valid.eq(valid & ~held_direct),
            line.data.eq(self.read_data),
            line.poison.eq(failed | tainted),
            piece.words.eq(self.read_data),
            piece.more.eq(self.read_more),
            piece.poison.eq(failed | tainted),
            piece.more_turn.eq(more_turn),
            piece.keep.eq(held.keep),
            piece.take.eq(Mux(held.kind == ViewKind.PACKED, held.keep, 1 << held.group)),
            piece.gather.eq(held.kind == ViewKind.PLANES),
            piece.turn.eq(turn),
            *(piece[name].eq(value) for name, value in then.items()),
            *(
                piece[name].eq(held[name])
                for name in (
                    "tag", "ld_id", "internal", "unmapped", "line", "width", "read", "group",
                    "bfloat", "nearest",
                )
            ),
        ]  # fmt: skip
        with m.If(empty):
            m.d.comb += [piece.take.eq(0), piece.gather.eq(0)]
        m.d.sync += [
            valid.eq(fire),
            held.eq(job),
            held_sources.eq(sources),
            held_direct.eq(direct),
            turn.eq(pair_turn(self.read, 0)),
            more_turn.eq(pair_turn(self.read, 1)),
            *(then[name].eq(value) for name, value in now.items()),
            self.line.valid.eq(valid & held_direct),
            *(line[name].eq(held[name]) for name in ("tag", "ld_id")),
            failed.eq(
                Mux(held_direct, self.errors.bit_select(held.line, 1), self.errors.any()) & ~empty
            ),
            tainted.eq(((self.poisoned & held_sources).any() & ~empty) | strays),
        ]
