"""Passes over a scale group: what lies below a window comes again in a lower one."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import Pipeline
from lamina.formats.ieee import FP16
from lamina.pacq.window_lookahead import WindowLookaheadParameters
from lamina.pacq.window_rows import LOWEST, WindowRow, shifted, window_below
from lamina.pacq.window_stages import LookParameters, PlaceParameters
from lamina.parameters import narrowed
from lamina.stream.buffer import Queue, QueueParameters, SkidBuffer, SkidBufferParameters, sliced

__all__ = ["WindowPasses", "WindowPassesParameters"]


@dataclass(frozen=True, kw_only=True)
class WindowPassesParameters(WindowLookaheadParameters):
    """As `WindowLookaheadParameters`."""

    @property
    def a_shape(self) -> data.ArrayLayout:
        """Activations of a step."""
        return data.ArrayLayout(data.ArrayLayout(unsigned(16), self.lanes), self.rows)

    @property
    def kept(self) -> QueueParameters:
        """Of the steps that come again: all of a group, and one that leaves while it comes."""
        found = self.look.results if self.split else {}
        shape = data.StructLayout(found | {"a": self.a_shape})
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
    def beside_shape(self) -> data.StructLayout:
        """A step of a pass without its terms."""
        fields = dict(self.result_shape.members)
        del fields["terms"]
        return data.StructLayout(fields)

    @property
    def look(self) -> LookParameters:
        """Parameters of the rank that looks for what a fresh step leaves to later passes."""
        return narrowed(LookParameters, self, tag_bits=1 + self.group_shape.size)

    @property
    def look_again(self) -> LookParameters:
        """Parameters of those that look for what a step leaves to the pass behind the next one."""
        return narrowed(LookParameters, self, again=True)

    @property
    def fresh(self) -> SkidBufferParameters:
        """Of the slice behind the former."""
        return SkidBufferParameters(shape=self.look.output_layout)

    @property
    def decided(self) -> SkidBufferParameters:
        """Of the slice behind the choice of steps."""
        return SkidBufferParameters(
            shape=data.StructLayout(
                {"a": self.a_shape, "alone": unsigned(1), "beside": self.beside_shape}
            )
        )

    @property
    def place(self) -> PlaceParameters:
        """Parameters of the ranks that align."""
        return narrowed(PlaceParameters, self, tag_bits=self.beside_shape.size)

    @property
    def placed(self) -> SkidBufferParameters:
        """Of the slice behind these."""
        return SkidBufferParameters(shape=self.place.output_layout)

    @property
    def latency(self) -> int:
        """Cycles from a step to itself aligned: none without ranks."""
        ways = (self.look, self.fresh, self.decided, self.place, self.placed)
        return sum(part.latency for part in ways) if self.split else 0

    @property
    def storage_bits(self) -> int:
        """The queue of steps that come again, and the state; ranks and slices."""
        state = self.rows * FP16.exponent_bits + 4 + 2 * self.steps.bit_length()
        parts = (self.look, self.look_again, self.fresh, self.decided, self.place, self.placed)
        ranks = sum(part.storage_bits for part in parts) if self.split else 0
        return self.kept.storage_bits + state + ranks


class WindowPasses(wiring.Component):
    """Steps of a group seen through windows, from the top down, until nothing is left.

    Members
    -------
    i : In(stream) of ``parameters.output_shape`` of the lookahead
    o : Out(stream) of ``parameters.result_shape``

    Timing: no register on the way, or ``parameters.latency`` ranks and slices. The first pass has
    all steps of the group; each further one has those of which the pass before has left something,
    and its window ends where the one before began. When the windows have come to the least
    exponent, only infinities are left: each pass then has one step and in each row one infinity, as
    1 of its sign.

    Which step is next depends on whether the one before is to come again. With ranks that is found
    before the choice: for fresh steps on their way to it, for others on their way into the queue.
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
        p = self.parameters
        m.submodules.kept = kept = Queue(p.kept)
        again, alone, starts = Signal(), Signal(), Signal(init=1)
        fresh = self._look(m) if p.split else self.i
        decided = self._place(m, alone) if p.split else self.o
        step = decided.p.beside if p.split else decided.p
        m.d.comb += [
            decided.valid.eq(Mux(again, kept.o.valid, fresh.valid)),
            kept.o.ready.eq(again & decided.ready),
            fresh.ready.eq(~again & decided.ready),
            step.again.eq(again),
            step.first.eq(starts),
            step.about.start.eq(~again),
        ]
        taken = decided.valid & decided.ready
        bases = self._bases(m, again, fresh, step, taken & step.last)
        m.d.comb += Cat(step.about.bases).eq(Cat(bases))
        a = Mux(again, kept.o.p.a.as_value(), fresh.p.a.as_value())
        if p.split:
            m.d.comb += [
                decided.p.a.eq(a),
                step.keeps.eq(Mux(again, kept.o.p.keeps, fresh.p.keeps)),
            ]
            leaves = Mux(again, kept.o.p.kept, fresh.p.kept)
            self._keep(m, kept.i, decided.p, leaves, taken)
        else:
            rows = [
                WindowRow(
                    m, f"row_{row}", a.word_select(row, 16 * p.lanes), base, alone, p.window_bits
                )
                for row, base in enumerate(bases)
            ]
            self._align(m, rows, kept.i, taken)
        left, ends = self._count(m, again, alone, step.keeps, taken, fresh.p.last)
        lowest = Cat(base == LOWEST for base in bases).all()
        m.d.comb += [step.last.eq(ends), step.about.done.eq(~left)]
        with m.If(taken):
            m.d.sync += starts.eq(ends)
        with m.If(taken & ends):
            m.d.sync += [again.eq(left), alone.eq(left & lowest)]
        self._about(m, again, fresh, step.about)
        return m

    def _align(self, m, rows, kept, taken):
        """Put a step out as it is chosen, and keep what is below."""
        o = self.o
        for number, row in enumerate(rows):
            for lane, (significand, shift) in enumerate(
                zip(row.significands, row.shifts, strict=True)
            ):
                m.d.comb += o.p.terms[number][lane].eq(
                    shifted(significand, shift, self.parameters.window_bits).as_signed()
                )
            # Lane by lane: then a memory macro has one port for all of them.
            m.d.comb += [kept.p.a[number][lane].eq(a) for lane, a in enumerate(row.kept)]
            m.d.comb += o.p.about.infinite[number].eq(row.infinite)
        m.d.comb += [
            o.p.keeps.eq(Cat(row.keeps for row in rows).any()),
            kept.valid.eq(taken & o.p.keeps),
        ]

    def _look(self, m):
        """Return fresh steps with what says whether they are to come again."""
        p, i = self.parameters, self.i
        m.submodules.look = look = Pipeline(p.look)
        m.d.comb += [
            look.i.valid.eq(i.valid),
            i.ready.eq(look.i.ready),
            look.i.p.a.eq(i.p.a),
            look.i.p.bases.eq(i.p.group.bases),
            look.i.p.alone.eq(0),
            look.i.p.tag.eq(Cat(i.p.last, i.p.group)),
        ]
        looked = sliced(m, "fresh", look.o, p.fresh)
        shape = data.StructLayout(
            {
                **p.kept.shape.members,
                "last": unsigned(1),
                "group": p.group_shape,
            }
        )
        fresh = stream.Signature(shape).create(path=("looked",))
        m.d.comb += [
            fresh.valid.eq(looked.valid),
            looked.ready.eq(fresh.ready),
            fresh.p.eq(looked.p),
        ]
        return fresh

    def _keep(self, m, kept, step, leaves, taken):
        """Keep what a chosen step leaves, and what that will leave in turn."""
        p = self.parameters
        m.submodules.look_again = look = Pipeline(p.look_again)
        m.d.comb += [
            look.i.valid.eq(taken & step.beside.keeps),
            look.i.p.a.eq(step.a),
            look.i.p.bases.eq(step.beside.about.bases),
            look.i.p.alone.eq(step.alone),
            look.i.p.kept.eq(leaves),
            kept.valid.eq(look.o.valid),
            look.o.ready.eq(1),  # there is room for all of a group
            *(kept.p[name].eq(look.o.p[name]) for name in ("a", "kept", "keeps")),
        ]

    def _place(self, m, alone):
        """Align chosen steps on their way to ``o``; return where they go."""
        p, o = self.parameters, self.o
        m.submodules.decided = decided = SkidBuffer(p.decided)
        m.submodules.place = place = Pipeline(p.place)
        step = decided.o.p
        placed = sliced(m, "placed", place.o, p.placed)
        m.d.comb += [
            decided.i.p.alone.eq(alone),
            place.i.valid.eq(decided.o.valid),
            decided.o.ready.eq(place.i.ready),
            place.i.p.a.eq(step.a),
            place.i.p.bases.eq(step.beside.about.bases),
            place.i.p.alone.eq(step.alone),
            place.i.p.tag.eq(step.beside),
            o.valid.eq(placed.valid),
            placed.ready.eq(o.ready),
            o.p.terms.eq(placed.p.terms),
        ]
        beside = data.View(p.beside_shape, placed.p.tag)
        for name in ("again", "keeps", "first", "last"):
            m.d.comb += o.p[name].eq(beside[name])
        for name in o.p.about.shape().members:
            source = placed.p.infinite if name == "infinite" else beside.about[name]
            m.d.comb += o.p.about[name].eq(source)
        return decided.i

    def _bases(self, m, again, fresh, step, ends):
        """Return where the windows of the rows begin."""
        bases = []
        for number in range(self.parameters.rows):
            later = Signal(FP16.exponent_bits, name=f"base_{number}", reset_less=True)
            base = Signal(FP16.exponent_bits, name=f"window_{number}")
            m.d.comb += base.eq(Mux(again, later, fresh.p.group.bases[number]))
            with m.If(ends):
                m.d.sync += later.eq(window_below(base, self.parameters.window_bits))
            bases.append(base)
        return bases

    def _count(self, m, again, alone, keeps, taken, last):
        """Return whether steps are left for another pass, and whether this one ends the pass."""
        limit = range(self.parameters.steps + 1)
        remaining, found = Signal(limit), Signal(limit)
        total, ends = Signal(limit), Signal()
        m.d.comb += [
            ends.eq(Mux(again, alone | (remaining == 1), last)),
            total.eq(found + keeps + Mux(alone, remaining - 1, 0)),
        ]
        with m.If(taken):
            m.d.sync += found.eq(Mux(ends, 0, found + keeps))
            with m.If(ends):
                m.d.sync += remaining.eq(total)
            with m.Else():
                m.d.sync += remaining.eq(remaining - 1)
        if self.parameters.split:  # as the total, but not behind its carries
            return keeps | Mux(alone, remaining != 1, found.any()), ends
        return total.any(), ends

    def _about(self, m, again, fresh, about):
        """Keep what the group says for its later passes."""
        group = fresh.p.group
        for name in ("nan", "index", "begin", "end"):
            held = Signal(len(group[name]), name=f"held_{name}", reset_less=True)
            m.d.comb += about[name].eq(Mux(again, held, group[name]))
            with m.If(~again & fresh.valid & fresh.ready):
                m.d.sync += held.eq(group[name])
