"""Where the steps of a pass meet their weights, in front of the elements."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import delayed
from lamina.pacq.window_element import FINE_LIMITS, pair_layout
from lamina.pacq.window_passes import WindowPassesParameters
from lamina.pacq.window_words import WindowWords, WindowWordsParameters
from lamina.parameters import narrowed
from lamina.stream.buffer import SkidBufferParameters, sliced

__all__ = ["WindowEntry", "WindowEntryParameters"]


@dataclass(frozen=True, kw_only=True)
class WindowEntryParameters(WindowPassesParameters):
    """As `WindowPassesParameters`; ``words`` of weights of a step."""

    words: int = 2

    def __post_init__(self):
        super().__post_init__()
        _ = self.weights  # whose own checks hold here too

    @property
    def weights(self) -> WindowWordsParameters:
        """Parameters of what gives the steps their weights."""
        return narrowed(WindowWordsParameters, self)

    @property
    def slice(self) -> SkidBufferParameters | None:
        """Of the slice in front of the weights."""
        return SkidBufferParameters(shape=self.weights.shape) if self.split else None

    @property
    def tables_shape(self) -> data.ArrayLayout:
        """What the weight bits of each row choose from."""
        row = data.ArrayLayout(pair_layout(self.window_bits), self.lanes // 2)
        return data.ArrayLayout(row, self.rows)

    @property
    def fine_limits(self) -> tuple[int, ...]:
        """Places below which it is told whether a step has bits."""
        return () if self.split else FINE_LIMITS

    @property
    def fine_shape(self) -> data.ArrayLayout:
        """Whether a row has bits below each of ``fine_limits``, or starts sums anew."""
        return data.ArrayLayout(unsigned(len(self.fine_limits)), self.rows)

    @property
    def beat_shape(self) -> data.StructLayout:
        """A step with its tables in place of its terms, and where it has bits."""
        fields = dict(self.result_shape.members)
        del fields["terms"]
        return data.StructLayout(fields | {"tables": self.tables_shape, "fine": self.fine_shape})

    @property
    def latency(self) -> int:
        """Cycles from a step to its tables."""
        return 1

    @property
    def storage_bits(self) -> int:
        """The step and its tables, weights that come again; with ranks also those of the step."""
        bits = self.beat_shape.size + 1 + self.weights.storage_bits
        words = self.weights.shape.size
        return bits + (self.slice.storage_bits + 2 * words + 1 if self.slice else 0)


class WindowEntry(wiring.Component):
    """Gives elements the tables and weights of a step.

    Members
    -------
    i : In(stream) of ``parameters.result_shape`` of the passes
    i_words : In(stream) of `window_words_layout`
        Of each step that no pass had before.
    may_end : In
        The last step of a pass may come to the elements.
    works : Out
        There is a step; ``first``, ``last`` of its pass, ``about`` as in the passes.
    enables : Out
        Those of the elements of each row.
    tables, words : Out
        What the weight bits of a row choose from, inverted, as banks take it; the weights.

    Timing: a step a cycle. It is registered, its weights are not: it waits for them here, and if it
    is the last one for ``may_end``. With ranks it waits in front of the registers, weights have
    some too, and what is in them goes on in any case.
    """

    def __init__(self, parameters: WindowEntryParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.result_shape)),
                "i_words": In(stream.Signature(p.weights.shape)),
                "may_end": In(1),
                "works": Out(1),
                "enables": Out(data.ArrayLayout(unsigned(len(p.fine_limits) + 1), p.rows)),
                "first": Out(1),
                "last": Out(1),
                "about": Out(p.pass_shape),
                "tables": Out(p.tables_shape),
                "words": Out(p.weights.shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p, i = self.parameters, self.i
        m.submodules.weights = weights = WindowWords(p.weights)
        fresh = sliced(m, "slice", wiring.flipped(self.i_words), p.slice)
        wiring.connect(m, fresh, weights.i)
        # Data needs no reset: nothing looks at it before there is a step.
        beat = Signal(p.beat_shape, reset_less=True)
        m.d.comb += [
            *(getattr(self, name).eq(beat[name]) for name in ("first", "last", "about")),
            self.tables.eq(beat.tables),
            *(
                enables.eq(Cat(fine, 1) & self.works.replicate(len(enables)))
                for enables, fine in zip(self.enables, beat.fine, strict=True)
            ),
        ]
        taken = Signal()
        if p.split:
            step, works, enters = i.p, Signal(), Const(1)
            words, may = Signal(p.weights.shape, reset_less=True), Signal()
            # No ready asks for the valid beside it: one gate less on the way to wide enables.
            m.d.comb += [
                may.eq(self.may_end | ~step.last),
                taken.eq(i.valid & may),
                works.eq(taken & weights.valid),
                i.ready.eq(weights.valid & may),
                self.words.eq(words),
            ]
            m.d.sync += [self.works.eq(works), words.eq(weights.words)]
        else:
            step, works, enters = beat, self.works, i.valid & i.ready
            m.d.comb += taken.eq(works)
            valid = Signal()
            m.d.comb += [
                works.eq(valid & weights.valid & (self.may_end | ~step.last)),
                i.ready.eq(works | ~valid),
                self.words.eq(weights.words),
            ]
            with m.If(i.ready):
                m.d.sync += valid.eq(i.valid)
        used, keeps = self.words, works & beat.keeps
        if p.split:  # cycles later: what is kept is not asked for so soon
            used = delayed(m, Value.cast(used), Const(1), 1)
            keeps = delayed(m, self.works & beat.keeps, Const(1), 1, reset_less=False)
        m.d.comb += [
            weights.again.eq(step.again),
            weights.taken.eq(taken),
            weights.keeps.eq(keeps),
            weights.used.eq(used),
        ]
        with m.If(enters):
            names = ("first", "last", "again", "keeps", "about")
            m.d.sync += [*(beat[name].eq(i.p[name]) for name in names), *self._tables(beat.tables)]
            m.d.sync += [
                fine.eq(value) for fine, value in zip(beat.fine, self._fine(), strict=True)
            ]
        return m

    def _fine(self):
        limits = self.parameters.fine_limits
        for row in self.i.p.terms:
            below = (Cat(term[:limit] for term in row) for limit in limits)
            yield Cat(bits.any() | self.i.p.first for bits in below)

    def _tables(self, tables):
        for terms, table in zip(self.i.p.terms, tables, strict=True):
            for pair, values in enumerate(table):
                one, other = terms[2 * pair], terms[2 * pair + 1]
                yield from [
                    values.one.eq(~one), values.other.eq(~other), values.both.eq(~(one + other)),
                ]  # fmt: skip
