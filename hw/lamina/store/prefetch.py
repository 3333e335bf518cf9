"""Finds reads that go through a view block by block, and asks for blocks ahead of them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.cxl import LINE_ADDRESS_BITS
from lamina.formats.planes import BLOCK_BITS
from lamina.formats.views import VIEW_INDEX_BITS, place_layout

__all__ = ["DEPTH_BITS", "Prefetch"]

#: Bits of the number of blocks that may be asked for ahead.
DEPTH_BITS = 4

#: Steps from one block to the next that make a stream: two blocks side by side are not one yet.
_STEPS = 2

#: Blocks that have been chosen but not asked for.
_WAITING = 3


def _run_layout() -> data.StructLayout:
    """Return where a run of reads is: in ``block`` of view ``index``, whose first line is ``line``.

    ``left``: blocks of the view behind it, up to the largest number.
    """
    return data.StructLayout(
        {
            "index": unsigned(VIEW_INDEX_BITS),
            "block": unsigned(BLOCK_BITS),
            "following": unsigned(BLOCK_BITS),
            "line": unsigned(LINE_ADDRESS_BITS),
            "shift": unsigned(3),
            "left": unsigned(DEPTH_BITS),
        }
    )


class Prefetch(wiring.Component):
    """Follows ``streams`` runs of reads, the newest ones; orders blocks ahead of those that go on.

    Parameters: `DeviceParameters`.

    A run that has gone on from block to block twice is a stream. As long as it stays one, up to
    ``depth`` blocks ahead of it are asked for, none beyond the end of its view.

    Members
    -------
    i, i_valid : In
        `place_layout` of a host's read of a block that the view has.
    ask, line : Out; asked : In
        The first line of a block that will be read; ``asked``: it was taken. It may be another one,
        or none, in the next cycle: a read may have come first.
    depth : In
    room : In
        There is room for a block that nobody has asked for.
    done : In
        Pulse: what was asked for was looked up.
    flush : In
        Views changed: forget all runs.
    void : Out
        What was asked for is out of date; nothing may be fetched for it.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(place_layout(p.view)),
                "i_valid": In(1),
                "ask": Out(1),
                "line": Out(LINE_ADDRESS_BITS),
                "asked": In(1),
                "depth": In(DEPTH_BITS),
                "room": In(1),
                "done": In(1),
                "flush": In(1),
                "void": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = self.parameters.streams
        runs = [Signal(_run_layout(), name=f"run_{n}") for n in range(count)]
        ahead = [Signal(DEPTH_BITS, name=f"ahead_{n}") for n in range(count)]
        steps = [Signal(range(_STEPS + 1), name=f"steps_{n}") for n in range(count)]
        live, oldest = Signal(count), Signal(range(count))
        steps_on, stays, picked = Signal(count), Signal(count), Signal(count)
        now, valid, overtaken = Signal(_run_layout()), Signal(), Signal(count)
        entered = Signal(count)
        m.d.sync += valid.eq(self.i_valid)
        moved = Signal(count)  # by the read before
        m.d.sync += moved.eq(entered)
        self._compare(m, runs, live, now, moved, steps_on, stays)
        for n, run in enumerate(runs):
            begins, moves = Signal(name=f"begins_{n}"), Signal(name=f"moves_{n}")
            m.d.comb += [
                begins.eq(valid & ~(steps_on | stays).any() & (oldest == n)),
                moves.eq(valid & steps_on[n]),
                entered[n].eq(begins | moves),
                # What waits to be asked for may have been read meanwhile.
                overtaken[n].eq(moves & (ahead[n] <= _WAITING)),
            ]
            with m.If(entered[n]):
                m.d.sync += run.eq(now)
            with m.If(begins):
                m.d.sync += [live[n].eq(1), steps[n].eq(0), ahead[n].eq(0)]
            with m.Elif(moves):
                with m.If(steps[n] != _STEPS):
                    m.d.sync += steps[n].eq(steps[n] + 1)
                m.d.sync += ahead[n].eq(Mux(overtaken[n], 0, ahead[n] - ~picked[n]))
            with m.Elif(picked[n]):
                m.d.sync += ahead[n].eq(ahead[n] + 1)
            with m.If(self.flush):
                m.d.sync += live[n].eq(0)
        with m.If(valid & ~(steps_on | stays).any()):
            m.d.sync += oldest.eq(Mux(oldest == count - 1, 0, oldest + 1))
        wanted = Signal(count)
        for n, run in enumerate(runs):
            more = (ahead[n] < self.depth) & (ahead[n] < run.left)
            m.d.sync += wanted[n].eq(live[n] & (steps[n] == _STEPS) & more & self.room)
        with m.If(self.flush):
            m.d.sync += wanted.eq(0)
        self._ask(m, runs, ahead, wanted & ~moved, picked, overtaken.any() | self.flush)
        return m

    def _compare(self, m, runs, live, now, moved, steps_on, stays):
        """Compare a read with all runs in one cycle, to enter ``now`` in the next.

        The read before it may be entered meanwhile: so it is compared with that one, too.
        """
        here, goes_on, same = Signal(_run_layout()), Signal(), Signal()
        on, at = Signal.like(live), Signal.like(live)
        self._describe(m, here)
        view = now.index == here.index
        m.d.sync += [
            now.eq(here),
            goes_on.eq(view & (now.following == here.block)),
            same.eq(view & (now.block == here.block)),
        ]
        for n, run in enumerate(runs):
            mine = live[n] & (run.index == here.index)
            m.d.sync += [
                on[n].eq(mine & (run.following == here.block)),
                at[n].eq(mine & (run.block == here.block)),
            ]
            m.d.comb += [
                steps_on[n].eq(Mux(moved[n], goes_on, on[n])),
                stays[n].eq(Mux(moved[n], same, at[n])),
            ]

    def _describe(self, m, now):
        """The run that a read would be in."""
        place, left = self.i, Signal(BLOCK_BITS)
        inside = ((1 << place.view.lines_shift) - 1)[:4]
        line = place.message.line
        m.d.comb += [
            left.eq(place.view.blocks - 1 - place.block[:BLOCK_BITS]),
            now.index.eq(place.index),
            now.block.eq(place.block),
            now.following.eq(place.block + 1),
            now.line.eq(Cat(line[:4] & ~inside, line[4:])),
            now.shift.eq(place.view.lines_shift),
            now.left.eq(left[:DEPTH_BITS] | left[DEPTH_BITS:].any().replicate(DEPTH_BITS)),
        ]

    def _ask(self, m, runs, ahead, wanted, picked, forget):
        """Choose a run, then compute the address; and know whether any is under way.

        A run is chosen in every other cycle at most: so what it wants then is known.
        """
        run, steps, chosen = Signal(_run_layout()), Signal(DEPTH_BITS + 1), Signal()
        line, distance, valid = Signal(LINE_ADDRESS_BITS), Signal(DEPTH_BITS + 5), Signal()
        first = Signal(len(wanted))
        m.d.comb += [
            first.eq(wanted & (-wanted)[: len(wanted)]),
            picked.eq(Mux(chosen, 0, first)),
        ]
        for n in range(len(runs)):
            with m.If(picked[n]):
                m.d.sync += [run.eq(runs[n]), steps.eq(ahead[n] + Const(1, 1))]
        with m.If(~chosen):
            m.d.sync += chosen.eq(wanted.any())
        with m.Elif(~valid):
            m.d.sync += [chosen.eq(0), valid.eq(1), line.eq(run.line)]
            m.d.sync += distance.eq(steps << run.shift)
        with m.If(self.asked | ~self.ask):
            m.d.sync += [self.ask.eq(valid), self.line.eq(line + distance)]
            with m.If(valid):
                m.d.sync += valid.eq(0)
        with m.If(forget):
            m.d.sync += [chosen.eq(0), valid.eq(0), self.ask.eq(0)]
        under_way, void = Signal(5), Signal()
        m.d.sync += under_way.eq(under_way + self.asked - self.done)
        with m.If(self.flush):
            m.d.sync += void.eq(1)
        with m.Elif(under_way == 0):
            m.d.sync += void.eq(0)
        m.d.comb += self.void.eq(self.flush | void)
