"""Passes over a scale group: what lies below a window comes again in a lower one."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.ieee import FP16
from lamina.pacq.window_lookahead import WindowLookaheadParameters
from lamina.pacq.window_rows import LOWEST, WindowRow, window_depth
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["WindowPasses", "WindowPassesParameters"]


@dataclass(frozen=True, kw_only=True)
class WindowPassesParameters(WindowLookaheadParameters):
    """As `WindowLookaheadParameters`."""

    @property
    def kept(self) -> QueueParameters:
        """Of the steps that come again: all of a group, and one that leaves while it comes."""
        row = data.ArrayLayout(unsigned(16), self.lanes)
        a = data.ArrayLayout(row, self.rows)
        return QueueParameters(shape=a, depth=max(4, self.steps + 1))

    @property
    def pass_shape(self) -> data.StructLayout:
        """What a pass has beside its steps.

        The fields of `window_group_layout`; ``infinite``: the row's sum stands for an infinity
        times its weight; ``start``, ``done``: first, last pass of the group.
        """
        fields = {"infinite": unsigned(self.rows), "start": unsigned(1), "done": unsigned(1)}
        return data.StructLayout(self.group_shape.members | fields)

    @property
    def result_shape(self) -> data.StructLayout:
        """A step of a pass.

        ``terms``: aligned. ``first``, ``last`` step of the pass. ``again``: a pass before had it
        too; ``keeps``: the next one will.
        """
        terms = data.ArrayLayout(signed(self.window_bits), self.lanes)
        return data.StructLayout(
            {
                "terms": data.ArrayLayout(terms, self.rows),
                "again": unsigned(1),
                "keeps": unsigned(1),
                "first": unsigned(1),
                "last": unsigned(1),
                "about": self.pass_shape,
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a step to itself aligned: none."""
        return 0

    @property
    def storage_bits(self) -> int:
        """The queue of steps that come again, and the state."""
        state = self.rows * FP16.exponent_bits + 4 + 2 * self.steps.bit_length()
        return self.kept.storage_bits + state


class WindowPasses(wiring.Component):
    """Steps of a group seen through windows, from the top down, until nothing is left.

    Members
    -------
    i : In(stream) of ``parameters.output_shape`` of the lookahead
    o : Out(stream) of ``parameters.result_shape``

    Timing: no register on the way. The first pass has all steps of the group; each further one has
    those of which the pass before has left something, and its window ends where the one before
    began. When the windows have come to the least exponent, only infinities are left: each pass
    then has one step and in each row one infinity, as 1 of its sign.
    """

    def __init__(self, parameters: WindowPassesParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.output_shape)),
                "o": Out(stream.Signature(p.result_shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p, i, o = self.parameters, self.i, self.o
        m.submodules.kept = kept = Queue(p.kept)
        again, alone, starts = Signal(), Signal(), Signal(init=1)
        m.d.comb += [
            o.valid.eq(Mux(again, kept.o.valid, i.valid)),
            kept.o.ready.eq(again & o.ready),
            i.ready.eq(~again & o.ready),
            o.p.again.eq(again),
            o.p.first.eq(starts),
            o.p.about.start.eq(~again),
        ]
        taken = o.valid & o.ready
        rows, bases = self._rows(m, again, alone, kept)
        keeps = Cat(row.keeps for row in rows).any()
        m.d.comb += [kept.i.valid.eq(taken & keeps), o.p.keeps.eq(keeps)]
        left, ends = self._count(m, again, alone, keeps, taken)
        lowest = Cat(base == LOWEST for base in bases).all()
        m.d.comb += [o.p.last.eq(ends), o.p.about.done.eq(~left)]
        with m.If(taken):
            m.d.sync += starts.eq(ends)
        with m.If(taken & ends):
            m.d.sync += [again.eq(left), alone.eq(left & lowest)]
        self._about(m, again)
        return m

    def _rows(self, m, again, alone, kept):
        """Align the step's rows; return them and where their windows begin."""
        p, o = self.parameters, self.o
        depth = window_depth(p.window_bits)
        rows, bases = [], []
        for number in range(p.rows):
            later = Signal(FP16.exponent_bits, name=f"base_{number}", reset_less=True)
            base = Signal(FP16.exponent_bits, name=f"window_{number}")
            m.d.comb += base.eq(Mux(again, later, self.i.p.group.bases[number]))
            a = Mux(again, kept.o.p[number].as_value(), self.i.p.a[number].as_value())
            row = WindowRow(m, f"row_{number}", a, base, alone, p.window_bits)
            m.d.comb += [
                Cat(*o.p.terms[number]).eq(Cat(row.terms)),
                # Lane by lane: then a memory macro has one port for all of them.
                *(kept.i.p[number][lane].eq(a) for lane, a in enumerate(row.kept)),
                o.p.about.bases[number].eq(base),
                o.p.about.infinite[number].eq(row.infinite),
            ]
            with m.If(o.valid & o.ready & o.p.last):
                m.d.sync += later.eq(Mux(base > depth + 1, base - (depth + 1), LOWEST))
            rows.append(row)
            bases.append(base)
        return rows, bases

    def _count(self, m, again, alone, keeps, taken):
        """Return whether steps are left for another pass, and whether this one ends the pass."""
        limit = range(self.parameters.steps + 1)
        remaining, found = Signal(limit), Signal(limit)
        total, ends = Signal(limit), Signal()
        m.d.comb += [
            ends.eq(Mux(again, alone | (remaining == 1), self.i.p.last)),
            total.eq(found + keeps + Mux(alone, remaining - 1, 0)),
        ]
        with m.If(taken):
            m.d.sync += found.eq(Mux(ends, 0, found + keeps))
            with m.If(ends):
                m.d.sync += remaining.eq(total)
            with m.Else():
                m.d.sync += remaining.eq(remaining - 1)
        return total.any(), ends

    def _about(self, m, again):
        """Keep what the group says for its later passes."""
        about, group = self.o.p.about, self.i.p.group
        for name in ("nan", "index", "begin", "end"):
            held = Signal(len(group[name]), name=f"held_{name}", reset_less=True)
            m.d.comb += about[name].eq(Mux(again, held, group[name]))
            with m.If(~again & self.i.valid & self.i.ready):
                m.d.sync += held.eq(group[name])
