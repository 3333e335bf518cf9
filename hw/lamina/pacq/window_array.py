"""All outputs of a tile: elements side by side, and their finished sums one after another."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import delayed
from lamina.cell import Cell
from lamina.formats.ieee import FP16
from lamina.formats.packed import weights_per_word
from lamina.pacq.rank import Rank, RankParameters
from lamina.pacq.window_bank import WindowBank, WindowBankParameters
from lamina.pacq.window_element import WindowElementParameters
from lamina.pacq.window_entry import WindowEntry, WindowEntryParameters
from lamina.parameters import narrowed
from lamina.select import select_one
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["WindowArray", "WindowArrayParameters"]


@dataclass(frozen=True, kw_only=True)
class WindowArrayParameters(WindowEntryParameters):
    """As `WindowEntryParameters`; of the elements ``weight_bits``, ``carry_limit``."""

    weight_bits: int = 4
    carry_limit: int = 130

    def __post_init__(self):
        super().__post_init__()
        _ = self.element  # whose own checks hold here too

    @property
    def entry(self) -> WindowEntryParameters:
        """Parameters of what is in front of the elements."""
        return narrowed(WindowEntryParameters, self)

    @property
    def element(self) -> WindowElementParameters:
        """Parameters of an element."""
        return narrowed(WindowElementParameters, self)

    @property
    def bank(self) -> WindowBankParameters:
        """Parameters of elements that are synthesized together."""
        return narrowed(WindowBankParameters, self, columns=min(_BANK, self.columns))

    @property
    def columns(self) -> int:
        """Columns of a tile."""
        return self.words * weights_per_word(self.weight_bits)

    @property
    def outputs(self) -> int:
        """Outputs of a tile, row by row."""
        return self.rows * self.columns

    @property
    def row_sum_bits(self) -> int:
        """Width of the sum of a row's activations over a pass."""
        return self.window_bits + (self.lanes * self.steps - 1).bit_length()

    @property
    def sum_shape(self) -> data.StructLayout:
        """One output's sum over a pass.

        ``total``, ``late``: as of `WindowElement`. ``row_sum``: minus the sum of the row's
        activations. ``steps`` of the pass. ``base``: least exponent of the row's window. ``column``
        of the tile, and its place ``output`` in it. ``nan``, ``infinite``: of the row. ``last``
        output of the pass. The rest as in ``pass_shape``.
        """
        return data.StructLayout(
            {
                **self.element.total_shape.members,
                "row_sum": signed(self.row_sum_bits),
                "steps": unsigned(self.steps.bit_length()),
                "base": unsigned(FP16.exponent_bits),
                "column": unsigned((self.columns - 1).bit_length()),
                "output": unsigned((self.outputs - 1).bit_length()),
                "nan": unsigned(1),
                "infinite": unsigned(1),
                "last": unsigned(1),
                **{name: self.pass_shape.members[name] for name in _OF_PASS},
            }
        )

    @property
    def leaving(self) -> RankParameters:
        """Parameters of the rank behind the choice of a sum."""
        return RankParameters(shape=self.sum_shape)

    @property
    def left(self) -> QueueParameters:
        """Of the sums that have left: of a pass, and of the next one while they go on."""
        return QueueParameters(shape=self.sum_shape, depth=self.outputs + max(8, self.outputs))

    @property
    def latency(self) -> int:
        """Cycles from the last step of a pass to its first sum: tables, elements, the way out."""
        out = self.leaving.latency + self.left.latency if self.split else 0
        return self.entry.latency + self.element.latency + out

    @property
    def throughput(self) -> str:
        """Steps and sums."""
        return "1 step and 1 sum per cycle"

    @property
    def storage_bits(self) -> int:
        """The entry, elements, and the sums that wait to leave; ranks beside and behind these."""
        elements = self.outputs * (self.element.storage_bits + self.element.total_shape.size)
        rows = 2 * self.rows * self.row_sum_bits
        beside = self.pass_shape.size + 2 * self.steps.bit_length() + 1
        place = (self.columns - 1).bit_length() + (self.outputs - 1).bit_length()
        ranks = self.element.latency - 1
        bits = ranks * (self.pass_shape.size + 3 + self.rows * (self.window_bits + 3))
        if self.split:
            bits += self.leaving.storage_bits + self.left.storage_bits
            bits += 2 * self.outputs.bit_length() + 3
        return self.entry.storage_bits + elements + rows + beside + place + bits


#: Elements of a bank: the tables' bits then have few banks to drive.
_BANK = 8
_OF_PASS = ("start", "done", "index", "begin", "end")


class WindowArray(wiring.Component):
    """Adds the steps of a pass up for all outputs of a tile, and puts out their sums.

    Members
    -------
    i : In(stream) of ``parameters.result_shape`` of the passes
    i_words : In(stream) of `window_words_layout`
        Of each step that no pass had before.
    o : Out(stream) of ``parameters.sum_shape``
        The sums of each pass, row by row.

    Timing: a step a cycle, a sum a cycle. A pass can end when the sums of the one before have left:
    it takes as many cycles as it has steps or the tile has outputs, whichever is more.

    Without ranks a stall stops the elements. With them nothing does: a pass ends when there will be
    room for its sums, which leave into a queue.
    """

    def __init__(self, parameters: WindowArrayParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.result_shape)),
                "i_words": In(stream.Signature(p.weights.shape)),
                "o": Out(stream.Signature(p.sum_shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.entry = entry = WindowEntry(p.entry)
        wiring.connect(m, wiring.flipped(self.i), entry.i)
        wiring.connect(m, wiring.flipped(self.i_words), entry.i_words)
        sums = self._elements(m, entry)
        # Beside the ranks of the elements; with none these are the entry's own.
        ranks = p.element.latency - 1
        first, about = (
            delayed(m, Value.cast(value), Const(1), ranks) for value in (entry.first, entry.about)
        )
        works, ends = (
            delayed(m, value, Const(1), ranks, reset_less=False)
            for value in (entry.works, entry.works & entry.last)
        )
        row_sums = [
            self._row_sum(m, row, table, ranks, works, first)
            for row, table in enumerate(entry.tables)
        ]
        steps = Signal(p.steps.bit_length(), reset_less=True)
        following = Signal.like(steps)
        m.d.comb += following.eq(Mux(first, 1, steps + 1))
        with m.If(works):
            m.d.sync += steps.eq(following)
        o, free = self.o, Signal()
        if p.split:
            o = self._way_out(m)
            m.d.comb += entry.may_end.eq(self._room(m))
        else:
            m.d.comb += entry.may_end.eq(free)
        about = data.View(p.pass_shape, about)
        self._leave(m, o, sums, row_sums, following, about, ends, free)
        return m

    def _way_out(self, m):
        """Let sums leave without a stall; return where they go."""
        m.submodules.leaving = leaving = Rank(self.parameters.leaving)
        m.submodules.left = left = Queue(self.parameters.left)
        wiring.connect(m, leaving.o, left.i)
        wiring.connect(m, left.o, wiring.flipped(self.o))
        return leaving.i

    def _room(self, m):
        """Return whether a pass may end: those before have left the elements when its sums come.

        There is room for these behind the elements then, whatever stalls.
        """
        p, i, o = self.parameters, self.i, self.o
        may, ends = Signal(init=1), i.valid & i.ready & i.p.last
        waits, owed = Signal(range(p.outputs)), Signal(range(p.left.depth + 1))
        ended = Signal()  # counted a cycle late: meanwhile none may end in any case
        m.d.sync += [
            ended.eq(ends),
            owed.eq(owed + Mux(ended, p.outputs, 0) - (o.valid & o.ready)),
            may.eq(~ends & (waits <= 1) & (owed <= p.left.depth - p.outputs)),
        ]
        with m.If(ends):
            m.d.sync += waits.eq(p.outputs - 1)
        with m.Elif(waits != 0):
            m.d.sync += waits.eq(waits - 1)
        return may

    def _elements(self, m, entry):
        """Return the sum of each output with the step in it."""
        p = self.parameters
        per_word = weights_per_word(p.weight_bits)
        sums = []
        for row, table in enumerate(entry.tables):
            for start in range(0, p.columns, p.bank.columns):
                bank = Cell(WindowBank, p.bank)
                m.submodules[f"bank_{row}_{start}"] = bank
                m.d.comb += [
                    bank.enables.eq(entry.enables[row]),
                    bank.first.eq(entry.first),
                    bank.pairs.eq(table),
                ]
                for place in range(p.bank.columns):
                    word, code = divmod(start + place, per_word)
                    for lane in range(p.lanes):
                        stored = entry.words.words[word][lane].word_select(code, p.weight_bits)
                        m.d.comb += bank.codes[place][lane].eq(stored)
                    sums.append(bank.sums[place].as_value())
        return sums

    def _row_sum(self, m, row, table, ranks, works, first):
        shape = signed(self.parameters.row_sum_bits)
        total = Signal(shape, name=f"row_sum_{row}", reset_less=True)
        following = Signal.like(total, name=f"next_row_sum_{row}")
        step = delayed(m, sum((~pair.both).as_signed() for pair in table), Const(1), ranks)
        m.d.comb += following.eq(Mux(first, 0, total) + step)
        with m.If(works):
            m.d.sync += total.eq(following)
        return following

    def _leave(self, m, o, sums, row_sums, steps, about, ends, free):
        """Keep the sums of a finished pass until they have left to ``o``, one a cycle."""
        p = self.parameters
        held = []
        for number, total in enumerate(sums):
            waiting = Signal.like(total, name=f"sum_{number}", reset_less=True)
            with m.If(ends):
                m.d.sync += waiting.eq(total)
            held.append(waiting)
        rows = [
            Signal.like(value, name=f"held_row_{row}", reset_less=True)
            for row, value in enumerate(row_sums)
        ]
        held_about = Signal(p.pass_shape, reset_less=True)
        held_steps = Signal.like(steps, reset_less=True)
        with m.If(ends):
            m.d.sync += [held_about.eq(about), held_steps.eq(steps)]
            m.d.sync += [row.eq(value) for row, value in zip(rows, row_sums, strict=True)]
        output, column, row = self._place(m, o, ends, free)
        chosen = [output == number for number in range(p.outputs)]
        of_row = [row == number for number in range(p.rows)]
        m.d.comb += [
            Cat(o.p.total, o.p.late).eq(select_one(chosen, held)),
            o.p.row_sum.eq(select_one(of_row, rows)),
            o.p.base.eq(select_one(of_row, held_about.bases)),
            o.p.nan.eq(select_one(of_row, held_about.nan)),
            o.p.infinite.eq(select_one(of_row, held_about.infinite)),
            o.p.steps.eq(held_steps),
            o.p.column.eq(column),
            o.p.output.eq(output),
            *(o.p[name].eq(held_about[name]) for name in _OF_PASS),
        ]

    def _place(self, m, o, ends, free):
        """Count the outputs of a pass as they leave."""
        p = self.parameters
        output = Signal.like(o.p.output, name="output")
        column = Signal.like(o.p.column, name="column")
        row = Signal(max(1, (p.rows - 1).bit_length()))
        m.d.comb += [
            o.p.last.eq(output == p.outputs - 1),
            free.eq(~o.valid | (o.ready & o.p.last)),
        ]
        with m.If(o.valid & o.ready):
            m.d.sync += [output.eq(output + 1), column.eq(column + 1)]
            with m.If(column == p.columns - 1):
                m.d.sync += row.eq(row + 1)
        with m.If(free):
            m.d.sync += [o.valid.eq(ends), output.eq(0), column.eq(0), row.eq(0)]
        return output, column, row
