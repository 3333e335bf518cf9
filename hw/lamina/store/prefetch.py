"""Finds reads that go through a view block by block, and asks for blocks ahead of them."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.compare import equal
from lamina.formats.cxl import LINE_ADDRESS_BITS
from lamina.formats.planes import BLOCK_BITS
from lamina.formats.views import VIEW_INDEX_BITS, place_layout

__all__ = ["DEPTH_BITS", "Prefetch"]

#: Bits of the number of blocks that may be asked for ahead.
DEPTH_BITS = 4

#: Steps from one block to the next that make a stream: two blocks side by side are not one yet.
_STEPS = 2

#: Blocks that have been chosen but not asked for.
_WAITING = 2


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


def _place(run) -> Value:
    """Return the block and the view of a run, or a read."""
    return Cat(run.block, run.index)


def _next(run) -> Value:
    """Return the same of the block behind it."""
    return Cat(run.following, run.index)


def _chosen(first: Value, values: list) -> Value:
    """Return the value whose bit is set."""
    chosen = []
    for bit, value in zip(first, map(Value.cast, values), strict=True):
        chosen.append(value & bit.replicate(len(value)))
    return reduce(or_, chosen)


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
        The first line of a block that will be read; ``asked``: it was taken. It may be withdrawn: a
        read may have come first.
    depth : In
    room : In
        There is room for a block that nobody has asked for.
    done : In
        Pulse: what was asked for was looked up.
    flush : In
        Views changed: forget all runs.
    void : Out
        From the cycle after ``flush`` on: what was asked for is out of date, nothing may be fetched
        for it.
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
        live, now = Signal(count), Signal(_run_layout())
        # A read begins a run, or moves one; did either, a cycle ago.
        begins, moves, moved = Signal(count), Signal(count), Signal(count)
        self._compare(m, runs, live, now, begins, moves, moved)
        picked, overtaken = Signal(count), Signal(count)
        wanted, forget = Signal(count), Signal()
        for n, run in enumerate(runs):
            # What waits to be asked for may have been read meanwhile.
            m.d.comb += overtaken[n].eq(moves[n] & (ahead[n] <= _WAITING))
            with m.If(begins[n] | moves[n]):
                m.d.sync += run.eq(now)
            with m.If(begins[n]):
                m.d.sync += [live[n].eq(1), steps[n].eq(0), ahead[n].eq(0)]
            with m.Elif(moves[n]):
                with m.If(steps[n] != _STEPS):
                    m.d.sync += steps[n].eq(steps[n] + 1)
                m.d.sync += ahead[n].eq(Mux(overtaken[n], 0, ahead[n] - ~picked[n]))
            with m.Elif(picked[n]):
                m.d.sync += ahead[n].eq(ahead[n] + 1)
            more = (ahead[n] < self.depth) & (ahead[n] < run.left)
            m.d.comb += wanted[n].eq(live[n] & (steps[n] == _STEPS) & more & self.room)
        m.d.sync += forget.eq(overtaken.any() | self.flush)
        with m.If(self.flush):
            m.d.sync += live.eq(0)
        self._ask(m, runs, ahead, wanted, picked, moved, forget)
        self._void(m, forget)
        return m

    def _compare(self, m, runs, live, now, begins, moves, moved):
        """Compare a read with all runs, decide in the next cycle, enter ``now`` in the one after.

        The two reads before it may be entered meanwhile: so it is compared with those, too.
        """
        count = len(runs)
        # The read that is decided on: what it does if the read before, or the one before that, is
        # the last of its run; and if the run is as it was.
        decided, left, valid = Signal(_run_layout()), Signal(BLOCK_BITS), Signal()
        goes_on, stays, on, at = Signal(2), Signal(2), Signal(count), Signal(count)
        steps_on, known = Signal(count), Signal(count)
        # A read is of none of the runs: it takes the oldest. And the other way round, for those who
        # need it early.
        new, takes, none, oldest = Signal(), Signal(), Signal(init=1), Signal(count, init=1)
        self._describe(m, decided, left)
        m.d.sync += [
            valid.eq(self.i_valid),
            now.eq(decided),
            now.left.eq(left[:DEPTH_BITS] | left[DEPTH_BITS:].any().replicate(DEPTH_BITS)),
        ]
        for n, before in enumerate((decided, now)):
            m.d.sync += [
                goes_on[n].eq(equal(m, _next(before), _place(self.i))),
                stays[n].eq(equal(m, _place(before), _place(self.i))),
            ]
        for n, run in enumerate(runs):
            entered = moves[n] | (oldest[n] & ~none)
            m.d.sync += [
                on[n].eq(live[n] & equal(m, _next(run), _place(self.i))),
                at[n].eq(live[n] & equal(m, _place(run), _place(self.i))),
                moves[n].eq(valid & steps_on[n]),
                moved[n].eq(entered),
            ]
            m.d.comb += [
                steps_on[n].eq(Mux(entered, goes_on[0], Mux(moved[n], goes_on[1], on[n]))),
                known[n].eq(Mux(entered, stays[0], Mux(moved[n], stays[1], at[n]))),
            ]
        m.d.comb += [
            new.eq(valid & ~(steps_on | known).any()),
            begins.eq(Mux(takes, oldest, 0)),
        ]
        m.d.sync += [takes.eq(new), none.eq(~new)]
        with m.If(takes):
            m.d.sync += oldest.eq(oldest.rotate_left(1))
        with m.If(self.flush):
            m.d.sync += [valid.eq(0), moves.eq(0), takes.eq(0), none.eq(1)]

    def _describe(self, m, run, left):
        """The run that a read would be in, and the blocks ``left`` behind it, a cycle later."""
        place = self.i
        inside = ((1 << place.view.lines_shift) - 1)[:4]
        line = place.message.line
        m.d.sync += [
            left.eq(place.view.blocks + ~place.block),  # one less than their difference
            run.index.eq(place.index),
            run.block.eq(place.block),
            run.following.eq(place.block + 1),
            run.line.eq(Cat(line[:4] & ~inside, line[4:])),
            run.shift.eq(place.view.lines_shift),
        ]

    def _ask(self, m, runs, ahead, wanted, picked, moved, forget):
        """Choose a run, take its line and how far to go, compute the address, and ask.

        A run is chosen in every other cycle at most: so what it wants then is known.
        """
        distances = [Signal(DEPTH_BITS + 5, name=f"distance_{n}") for n in range(len(runs))]
        for distance, run, blocks in zip(distances, runs, ahead, strict=True):
            m.d.sync += distance.eq((blocks + Const(1, 1)) << run.shift)
        line, distance = Signal(LINE_ADDRESS_BITS), Signal(DEPTH_BITS + 5)
        first, choosing, valid = Signal(len(wanted)), Signal(), Signal()
        # A run that was entered since it was chosen may want nothing any more.
        m.d.comb += picked.eq(first & ~moved)
        m.d.sync += [first.eq(0), choosing.eq(0)]
        with m.If(~choosing & ~(valid & self.ask)):
            m.d.sync += [first.eq(wanted & (-wanted)[: len(wanted)]), choosing.eq(wanted.any())]
        with m.If(~self.ask):
            m.d.sync += [self.ask.eq(valid), valid.eq(0), self.line.eq(line + distance)]
        with m.If(self.asked):
            m.d.sync += self.ask.eq(0)
        with m.If(choosing):
            m.d.sync += [
                valid.eq(picked.any()),
                line.eq(_chosen(first, [run.line for run in runs])),
                distance.eq(_chosen(first, distances)),
            ]
        with m.If(forget):
            m.d.sync += [first.eq(0), choosing.eq(0), valid.eq(0), self.ask.eq(0)]

    def _void(self, m, forget):
        """Know whether anything is under way that was asked for before views changed."""
        under_way, asked, done = Signal(5), Signal(), Signal()
        m.d.sync += [
            asked.eq(self.asked),
            done.eq(self.done),
            under_way.eq(under_way + asked - done),
        ]
        with m.If(self.flush):
            m.d.sync += self.void.eq(1)
        with m.Elif(~forget & ~asked & (under_way == 0)):
            m.d.sync += self.void.eq(0)
