"""Plans the reads that wait: which groups of their block make their line, and when they are due."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.views import read_layout
from lamina.store.read_plan import add_packed, add_plan, packed_layout, plan_layout

__all__ = ["ReadPlanner", "planned_layout"]


def planned_layout(parameters) -> data.StructLayout:
    """Return a read with its plan: due when ``target`` beats have come, at once if ``empty``."""
    return data.StructLayout(
        {
            "read": read_layout(parameters.slot_bits),
            "plan": plan_layout(),
            "target": unsigned(parameters.sequence_bits),
            "empty": unsigned(1),
        }
    )


class ReadPlanner(wiring.Component):
    """Four ranks: take a read, see where a packed line lies, plan its steps, leave out done ones.

    Parameters: `DeviceParameters`.

    Members
    -------
    i : In(stream of read_layout)
    start_slot, start_enable : Out
    start : In
        Beats that had been ordered when the fetch of the block in a slot was, a cycle later.
    filling : In
        A bit for each slot: not all of its planes had come two cycles ago.
    fills_slot, filled : In
        The slot that a beat is for, if one comes; in the next cycle, that it was the last.
    o : Out(stream of planned_layout)
    there : Out
        All planes of the block of ``o`` have come before this cycle, or it needs none.

    Timing: a read a cycle, four cycles to its plan. Best if ``o.ready`` is a register.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(read_layout(p.slot_bits))),
                "start_slot": Out(p.slot_bits),
                "start_enable": Out(1),
                "start": In(p.sequence_bits),
                "filling": In(p.blocks),
                "fills_slot": In(p.slot_bits),
                "filled": In(1),
                "o": Out(stream.Signature(planned_layout(p))),
                "there": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        moves, planned = Signal(), Signal(self.o.p.shape())
        head, read = (Signal(self.i.p.shape(), name=name) for name in ("head", "read"))
        valid, behind, final = Signal(4), Signal(), Signal.like(planned)
        # The table is block RAM in FPGAs, with both of its ranks in it.
        packed, found, listed = (
            Signal(packed_layout(), name=name, reset_less=True)
            for name in ("packed", "found", "listed")
        )
        add_packed(m, self.i.p, listed)
        m.d.comb += [
            moves.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(moves),
            self.start_slot.eq(head.slot),
            self.start_enable.eq(moves),
            self.o.valid.eq(valid[-1]),
            final.eq(planned),
        ]
        # What the line before has left over is the first group, as far as this line has it.
        plan, continued = planned.plan, final.plan
        with m.If(behind & plan.offset[-1] & ~planned.empty):
            m.d.comb += [
                continued.first.eq(plan.first + 1),
                continued.steps.eq(plan.steps - 1),
                continued.offset.eq(plan.offset + plan.words),
            ]
        entering, follows = Signal.like(planned), Signal()
        self._plan(m, read, packed, entering)
        self._follow(m, read, valid[1] & moves, follows)
        with m.If(moves):
            m.d.sync += [
                valid.eq((valid << 1) | self.i.valid),
                head.eq(self.i.p),
                read.eq(head),
                found.eq(listed),
                packed.eq(found),
                planned.eq(entering),
                behind.eq(follows),
                self.o.p.eq(final),
            ]
        self._look(m, moves, head.slot, read.slot, planned)
        return m

    def _look(self, m, moves, head, slot, planned):
        """See in two ranks whether all planes of a block have come: those of eight slots, in a
        rank, and of which of them it is, in the next one.
        """
        low = min(3, len(slot))
        some, come, before = Signal(1 << low), Signal(), Signal()
        # Which ranks are about the slot that is filled now: found while its beat comes.
        slots = (self.i.p.slot, head, slot, planned.read.slot, self.o.p.read.slot)
        alike, at = [slot == self.fills_slot for slot in slots], Signal(4)
        m.d.sync += at.eq(Mux(moves, Cat(alike[:-1]), Cat(alike[1:])))
        soon, now, then, last = (self.filled & bit for bit in at)
        # What came a cycle ago is not to be seen in ``filling`` yet.
        m.d.sync += before.eq(Mux(moves, soon, now))
        with m.If(moves):
            m.d.sync += [
                some.eq(self.filling.word_select(slot[low:], 1 << low)),
                come.eq(now | before),
                self.there.eq(
                    planned.empty | ~some.bit_select(planned.read.slot[:low], 1) | come | then
                ),
            ]
        with m.Else():
            m.d.sync += [come.eq(come | then), self.there.eq(self.there | last)]

    def _plan(self, m, read, packed, planned):
        """Drive ``planned`` from a read, whose block's start is here."""
        plan, empty = Signal(plan_layout()), read.unmapped | read.blank
        add_plan(m, read, packed, plan)
        # A plane as it is has to wait for the planes up to it, anything else for all.
        needed = Mux(plan.direct, read.line + 1, read.read)
        m.d.comb += [
            planned.read.eq(read),
            planned.plan.eq(plan),
            planned.empty.eq(empty),
            planned.target.eq(self.start + needed),
        ]
        with m.If(empty):  # a piece of nothing, which fills its line
            m.d.comb += [planned.plan[n].eq(0) for n in ("steps", "pairs", "offset", "direct")]
        with m.If(read.internal):
            m.d.comb += planned.plan.direct.eq(0)

    def _follow(self, m, read, moves, follows):
        """See whether a line is the one behind the line before it.

        Then, if it begins within a group, the line before ended with that. A slot that was fetched
        anew in between has another start.
        """
        slot, line, start, valid = (
            Signal.like(value, name=f"before_{name}")
            for name, value in (
                ("slot", read.slot),
                ("line", read.line),
                ("start", self.start),
                ("valid", moves),
            )
        )
        m.d.comb += follows.eq(
            valid & (read.slot == slot) & (self.start == start) & (read.line == line + 1)
        )
        with m.If(moves):
            m.d.sync += [
                slot.eq(read.slot),
                line.eq(read.line),
                start.eq(self.start),
                valid.eq(~read.unmapped & ~read.blank),
            ]
