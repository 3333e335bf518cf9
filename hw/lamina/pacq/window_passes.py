"""Passes over a scale group: what lies below a window comes again in a lower one."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.ieee import FP16
from lamina.formats.packed import LANES
from lamina.formats.window import window_words_layout
from lamina.pacq.window_lookahead import WindowLookaheadParameters
from lamina.pacq.window_rows import LOWEST, WindowRow, window_depth
from lamina.parameters import check_power_of_two
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["WindowPasses", "WindowPassesParameters"]


@dataclass(frozen=True, kw_only=True)
class WindowPassesParameters(WindowLookaheadParameters):
    """As `WindowLookaheadParameters`, and the ``words`` of weights of a step."""

    words: int = 2

    def __post_init__(self):
        super().__post_init__()
        check_power_of_two("words", self.words, 1, 16)

    @property
    def words_shape(self) -> data.StructLayout:
        """Weights of a step."""
        return window_words_layout(self.words)

    @property
    def kept(self) -> QueueParameters:
        """Of the steps that come again: all of a group, and one that leaves while it comes."""
        row = data.ArrayLayout(unsigned(16), LANES)
        a = data.ArrayLayout(row, self.rows)
        shape = data.StructLayout({"a": a, **self.words_shape.members})
        return QueueParameters(shape=shape, depth=max(4, self.steps + 1))

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
        """A step of a pass: aligned ``terms``, weights, whether it is the first or the ``last``."""
        terms = data.ArrayLayout(signed(self.window_bits), LANES)
        return data.StructLayout(
            {
                "terms": data.ArrayLayout(terms, self.rows),
                **self.words_shape.members,
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
    i_words : In(stream) of `window_words_layout`
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
                "i_words": In(stream.Signature(p.words_shape)),
                "o": Out(stream.Signature(p.result_shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p, i, o = self.parameters, self.i, self.o
        m.submodules.kept = kept = Queue(p.kept)
        again, alone, starts = Signal(), Signal(), Signal(init=1)
        fresh = i.valid & self.i_words.valid
        m.d.comb += [
            o.valid.eq(Mux(again, kept.o.valid, fresh)),
            kept.o.ready.eq(again & o.ready),
            i.ready.eq(~again & o.ready & self.i_words.valid),
            self.i_words.ready.eq(~again & o.ready & i.valid),
            o.p.words.eq(Mux(again, kept.o.p.words, self.i_words.p.words)),
            o.p.first.eq(starts),
            o.p.about.start.eq(~again),
        ]
        taken = o.valid & o.ready
        rows, bases = self._rows(m, again, alone, kept)
        keeps = Cat(row.keeps for row in rows).any()
        m.d.comb += [kept.i.valid.eq(taken & keeps), kept.i.p.words.eq(o.p.words)]
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
            a = Mux(again, kept.o.p.a[number].as_value(), self.i.p.a[number].as_value())
            row = WindowRow(m, f"row_{number}", a, base, alone, p.window_bits)
            m.d.comb += [
                Cat(*o.p.terms[number]).eq(Cat(row.terms)),
                kept.i.p.a[number].as_value().eq(row.kept),
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
