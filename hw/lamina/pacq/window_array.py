"""All outputs of a tile: elements side by side, and their finished sums one after another."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.cell import Cell
from lamina.formats.ieee import FP16
from lamina.formats.packed import weights_per_word
from lamina.pacq.select import select_one
from lamina.pacq.window_bank import WindowBank, WindowBankParameters
from lamina.pacq.window_element import WindowElementParameters, pair_layout
from lamina.pacq.window_passes import WindowPassesParameters
from lamina.pacq.window_words import WindowWords, WindowWordsParameters
from lamina.parameters import narrowed

__all__ = ["WindowArray", "WindowArrayParameters"]


@dataclass(frozen=True, kw_only=True)
class WindowArrayParameters(WindowPassesParameters):
    """As `WindowPassesParameters`; ``words`` of weights of a step.

    Of the elements: ``weight_bits``, ``carry_limit``.
    """

    words: int = 2
    weight_bits: int = 4
    carry_limit: int = 130

    def __post_init__(self):
        super().__post_init__()
        _ = self.element, self.weights  # whose own checks hold here too

    @property
    def element(self) -> WindowElementParameters:
        """Parameters of an element."""
        return narrowed(WindowElementParameters, self)

    @property
    def bank(self) -> WindowBankParameters:
        """Parameters of elements that are synthesized together."""
        return narrowed(WindowBankParameters, self, columns=min(_BANK, self.columns))

    @property
    def weights(self) -> WindowWordsParameters:
        """Parameters of what gives the steps their weights."""
        return narrowed(WindowWordsParameters, self)

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
        element = self.element
        return data.StructLayout(
            {
                "total": unsigned(element.total_bits),
                "late": unsigned(len(element.late_places)),
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
    def latency(self) -> int:
        """Cycles from the last step of a pass to its first sum: tables, elements."""
        return 2

    @property
    def throughput(self) -> str:
        """Steps and sums."""
        return "1 step and 1 sum per cycle"

    @property
    def storage_bits(self) -> int:
        """Tables, accumulators, the sums that wait to leave, and weights that come again."""
        tables = self.rows * self.lanes // 2 * pair_layout(self.window_bits).size
        elements = self.outputs * 2 * self.element.storage_bits
        rows = 2 * self.rows * self.row_sum_bits
        beside = 2 * self.pass_shape.size + 5 + 2 * self.steps.bit_length() + 1
        place = (self.columns - 1).bit_length() + (self.outputs - 1).bit_length()
        return tables + elements + rows + beside + place + self.weights.storage_bits


#: Elements of a bank: the tables' bits then have few banks to drive.
_BANK = 8
_OF_STEP = ("first", "last", "again", "keeps")
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
        p, i = self.parameters, self.i
        # Data needs no reset: nothing looks at it before there is a step.
        shape = data.StructLayout({**dict.fromkeys(_OF_STEP, 1), "about": p.pass_shape})
        beat = Signal(shape, reset_less=True)
        valid, works, ends, free = Signal(), Signal(), Signal(), Signal()
        m.submodules.weights = weights = WindowWords(p.weights)
        wiring.connect(m, wiring.flipped(self.i_words), weights.i)
        m.d.comb += [
            weights.again.eq(beat.again),
            weights.keeps.eq(beat.keeps),
            weights.taken.eq(works),
            works.eq(valid & weights.valid & (free | ~beat.last)),
            ends.eq(works & beat.last),
            i.ready.eq(works | ~valid),
        ]
        with m.If(i.ready):
            m.d.sync += valid.eq(i.valid)
        taken = i.valid & i.ready
        with m.If(taken):
            m.d.sync += [beat[name].eq(i.p[name]) for name in (*_OF_STEP, "about")]
        tables = [self._table(m, row, taken) for row in range(p.rows)]
        sums = self._elements(m, tables, weights.words, works, beat.first)
        row_sums = [self._row_sum(m, row, tables[row], works, beat.first) for row in range(p.rows)]
        steps = Signal(p.steps.bit_length(), reset_less=True)
        following = Signal.like(steps)
        m.d.comb += following.eq(Mux(beat.first, 1, steps + 1))
        with m.If(works):
            m.d.sync += steps.eq(following)
        self._leave(m, sums, row_sums, following, beat.about, ends, free)
        return m

    def _table(self, m, row, taken):
        """Register what the weight bits of a row choose from, inverted, as banks take it."""
        p = self.parameters
        shape = data.ArrayLayout(pair_layout(p.window_bits), p.lanes // 2)
        table = Signal(shape, name=f"table_{row}", reset_less=True)
        terms = self.i.p.terms[row]
        with m.If(taken):
            for pair, values in enumerate(table):
                one, other = terms[2 * pair], terms[2 * pair + 1]
                m.d.sync += [
                    values.one.eq(~one), values.other.eq(~other), values.both.eq(~(one + other)),
                ]  # fmt: skip
        return table

    def _elements(self, m, tables, codes, works, first):
        """Return total and late carries of each output with the step in them."""
        p = self.parameters
        per_word = weights_per_word(p.weight_bits)
        sums = []
        for row, table in enumerate(tables):
            for start in range(0, p.columns, p.bank.columns):
                bank = Cell(WindowBank, p.bank)
                m.submodules[f"bank_{row}_{start}"] = bank
                m.d.comb += [bank.enable.eq(works), bank.first.eq(first), bank.pairs.eq(table)]
                for place in range(p.bank.columns):
                    word, code = divmod(start + place, per_word)
                    for lane in range(p.lanes):
                        stored = codes.words[word][lane].word_select(code, p.weight_bits)
                        m.d.comb += bank.codes[place][lane].eq(stored)
                    sums.append((bank.totals[place], bank.lates[place]))
        return sums

    def _row_sum(self, m, row, table, works, first):
        shape = signed(self.parameters.row_sum_bits)
        total = Signal(shape, name=f"row_sum_{row}", reset_less=True)
        following = Signal.like(total, name=f"next_row_sum_{row}")
        step = sum((~pair.both).as_signed() for pair in table)
        m.d.comb += following.eq(Mux(first, 0, total) + step)
        with m.If(works):
            m.d.sync += total.eq(following)
        return following

    def _leave(self, m, sums, row_sums, steps, about, ends, free):
        """Keep the sums of a finished pass until they have left, one a cycle."""
        p, o = self.parameters, self.o
        held = []
        for number, (total, late) in enumerate(sums):
            waiting = Signal(len(total) + len(late), name=f"sum_{number}", reset_less=True)
            with m.If(ends):
                m.d.sync += waiting.eq(Cat(total, late))
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
        output, column, row = self._place(m, ends, free)
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

    def _place(self, m, ends, free):
        """Count the outputs of a pass as they leave."""
        p, o = self.parameters, self.o
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
