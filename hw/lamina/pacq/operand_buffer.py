"""Operand buffer: a weight tile and the rows that meet it become the steps of a dot product."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.packed import (
    LANES,
    STEPS,
    WORD_COLUMNS_MAX,
    dot_step_layout,
    row_group_layout,
    weights_per_word,
)
from lamina.formats.planes import TILE_COLUMNS, TILE_ROWS, tile_layout, tile_scales_layout
from lamina.parameters import check_range
from lamina.select import select_one
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["OperandBuffer", "OperandBufferParameters"]

#: Codes come from the store as INT4 operands; INT2 ones fit, sign-extended.
CODE_BITS = 4

#: Columns of a tile that one word of INT4 weights covers: half of them.
_INT4_COLUMNS = weights_per_word(4)
#: Registers of the step for a tile's columns: each serves as many of them.
_TURNS = 4


@dataclass(frozen=True, kw_only=True)
class OperandBufferParameters:
    """``row_bits``: bits of a row index; a step's index has one more, for its word of columns."""

    row_bits: int = 6

    def __post_init__(self):
        check_range("row_bits", self.row_bits, 1, 16)

    @property
    def index_bits(self) -> int:
        """Bits of the index of a step: row, then word of columns (least significant)."""
        return self.row_bits + 1

    @property
    def latency(self) -> int:
        """Cycles from a row group at hand, its tile loaded, to the first step."""
        return 1

    @property
    def throughput(self) -> str:
        """Steps per cycle, and what a tile costs."""
        return "1 step per cycle; 2 cycles and one per scale group to load a tile"

    @property
    def storage_bits(self) -> int:
        """Tile, scales, the step on its way out, and where the next one is."""
        scales = STEPS * tile_scales_layout(CODE_BITS).size
        rows = LANES * CODE_BITS * (TILE_COLUMNS - _INT4_COLUMNS)
        rest = dot_step_layout(self.index_bits).size + rows + (3 + _TURNS) * STEPS
        return tile_layout(CODE_BITS).size + scales + rest


class OperandBuffer(wiring.Component):
    """Steps each row group through a weight tile: 16 steps per word of columns.

    Parameters
    ----------
    parameters : OperandBufferParameters

    Members
    -------
    i_tile : In(stream of tile_layout(4))
        A tile is taken when a row group says ``load``; so are its scale groups from ``i_scales``.
    i_scales : In(stream of tile_scales_layout(4))
        At most 16 for a tile, in ascending k; the one marked ``last`` ends them.
    i : In(stream of row_group_layout(row_bits))
        Taken with its last step.
    o : Out(stream of dot_step_layout(index_bits))
        For each word of columns (two for INT4, one for INT2) the steps in ascending k. ``index`` is
        row * 2 + word of columns.

    Timing
    ------
    One step a cycle. The scales are read together with the register that holds a step.
    """

    def __init__(self, parameters: OperandBufferParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i_tile": In(stream.Signature(tile_layout(CODE_BITS))),
                "i_scales": In(stream.Signature(tile_scales_layout(CODE_BITS))),
                "i": In(stream.Signature(row_group_layout(p.row_bits))),
                "o": Out(stream.Signature(dot_step_layout(p.index_bits))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        tile = Signal.like(self.i_tile.payload.codes)
        loaded, take = Signal(), Signal()
        # One-hot, because a number would have to be decoded for hundreds of multiplexers. And once
        # more for every few columns of the tile: each turns by itself, so that none is merged.
        step, *turns = (Signal(STEPS, init=1, name=f"step_{n}") for n in range(1 + _TURNS))
        word, entry = Signal(), Signal(range(STEPS))
        group, go, advance = self.i.payload, Signal(), Signal()
        scales = self._scale_memory(m, read=advance, entry=entry)

        wait = group.load & ~loaded
        m.d.comb += [
            advance.eq(self.o.ready | ~self.o.valid),
            go.eq(advance & self.i.valid & ~wait),
        ]
        with m.FSM(name="state"):
            with m.State("STEPS"):
                with m.If(self.i.valid & wait):
                    m.next = "TILE"
            with m.State("TILE"):
                m.d.sync += take.eq(self.i_tile.valid)
                with m.If(self.i_tile.valid):
                    m.next = "SCALES"
            with m.State("SCALES"):
                m.d.comb += self.i_scales.ready.eq(1)
                with m.If(self.i_scales.valid & self.i_scales.payload.last):
                    m.d.sync += loaded.eq(1)
                    m.next = "STEPS"

        # 2,048 registers wait for this: so it is one itself.
        m.d.comb += self.i_tile.ready.eq(take)
        with m.If(take):
            m.d.sync += [tile.eq(self.i_tile.payload.codes), take.eq(0)]

        # Bit 0: a scale group ends with this step; above it, with those to come.
        ends_left, ends_later = Signal(STEPS), Signal(STEPS - 1)
        first_step, last_step, last_word = step[0], step[-1], word | group.int2
        m.d.comb += ends_left.eq(Mux(first_step, group.ends, ends_later))
        m.d.comb += self.i.ready.eq(go & last_step & last_word)
        with m.If(go):
            m.d.sync += [
                *(turn.eq(turn.rotate_left(1)) for turn in (step, *turns)),
                ends_later.eq(ends_left[1:]),
                entry.eq(entry + ends_left[0]),
            ]
            with m.If(last_step):
                m.d.sync += [word.eq(~last_word), entry.eq(0)]
            with m.If(self.i.ready):
                m.d.sync += loaded.eq(0)
        turns = [turn for turn in turns for _ in range(TILE_COLUMNS // _TURNS)]
        place = {"step": step, "turns": turns, "word": word, "ends_left": ends_left}
        self._output(m, tile=tile, advance=advance, go=go, scales=scales, **place)
        return m

    def _scale_memory(self, m, *, read, entry):
        """Write a tile's scale groups, from entry 0, and return the one that a step reads."""
        shape = self.i_scales.payload.shape()
        m.submodules.scales = memory = BlockMemory(
            BlockMemoryParameters(width=shape.size, depth=STEPS)
        )
        write = Signal(range(STEPS))
        taken = self.i_scales.valid & self.i_scales.ready
        m.d.comb += [
            memory.write_enable.eq(taken),
            memory.write_address.eq(write),
            memory.write_data.eq(self.i_scales.payload),
            memory.read_enable.eq(read),
            memory.read_address.eq(entry),
        ]
        with m.If(taken):
            m.d.sync += write.eq(write + 1)
            with m.If(self.i_scales.payload.last):
                m.d.sync += write.eq(0)
        return shape(memory.read_data)

    def _output(self, m, *, tile, advance, go, scales, step, turns, word, ends_left):
        """Register the operands of a step while its scales are read."""
        group, out = self.i.payload, self.o.payload
        held = Signal(dot_step_layout(self.parameters.index_bits))
        # All columns' codes; to select a word of them before would take too long on an FPGA.
        rows = Signal(LANES * TILE_COLUMNS * CODE_BITS)
        # Of the segment that this step belongs to; after the end of a scale group a fresh one.
        resume, begin, first = Signal(), Signal(), Signal()
        resume_held, begin_held, ended = Signal(), Signal(), Signal()
        ends_held, end_held = Signal(STEPS), Signal()
        m.d.comb += [
            resume.eq(Mux(step[0], group.resume, resume_held)),
            begin.eq(Mux(step[0], group.begin, begin_held)),
            first.eq(step[0] | ended),
        ]
        ends = ends_left[0]
        with m.If(go):
            m.d.sync += [
                resume_held.eq(resume & ~ends),
                begin_held.eq(begin & ~ends),
                ended.eq(ends),
            ]
        # Whether there is a step or not: hundreds of registers wait for this, so it is known early.
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(go),
                Value.cast(held.a).eq(_of_step(group.values, step)),
                rows.eq(Cat(map(_of_step, _by_column(tile), turns))),
                held.int2.eq(group.int2),
                held.index.eq(Cat(word, group.index)),
                held.first.eq(first),
                held.last.eq(ends | step[-1]),
                held.group_first.eq(~resume),
                ends_held.eq(ends_left),
                held.begin.eq(begin),
                end_held.eq(group.end),
            ]
        m.d.comb += [
            out.eq(held),
            out.group_last.eq(ends_held != 0),
            out.end.eq(end_held & ~_many(ends_held)),
            Value.cast(out.words).eq(_words(rows, held.index[0], held.int2)),
            *_columns(out, scales, held.int2, held.index[0]),
        ]


def _many(bits) -> Value:
    """Return whether two bits or more are set; a tree, because a subtraction is slower."""
    parts = [(bit, Const(0, 1)) for bit in bits]  # any and many of each part
    while len(parts) > 1:
        parts = [
            (any_low | any_high, many_low | many_high | (any_low & any_high))
            for (any_low, many_low), (any_high, many_high) in zip(
                parts[::2], parts[1::2], strict=True
            )
        ]
    return parts[0][1]


def _of_step(values, step) -> Value:
    """Select what four k of ``values``, in ascending k, belong to the step."""
    bits = Value.cast(values)
    width = len(bits) // STEPS
    return select_one(step, [bits[width * n : width * (n + 1)] for n in range(STEPS)])


def _words(rows, word, int2) -> Value:
    """Pack the weights of four k, as offset codes: one word of columns, or all of them."""
    int4_words, int2_words = [], []
    for lane in range(LANES):
        codes = [rows.word_select(lane + LANES * n, CODE_BITS) for n in range(TILE_COLUMNS)]
        int4 = [Cat(code[:3], ~code[3]) for code in codes]
        halves = (Cat(*int4[:_INT4_COLUMNS]), Cat(*int4[_INT4_COLUMNS:]))
        int4_words.append(Mux(word, halves[1], halves[0]))
        int2_words.append(Cat(Cat(code[0], ~code[1]) for code in codes))
    return Mux(int2, Cat(*int2_words), Cat(*int4_words))


def _by_column(tile) -> list[Value]:
    """Split a tile's codes into its columns, each in ascending k."""
    bits, width = Value.cast(tile), CODE_BITS * TILE_ROWS
    return [bits[width * column : width * (column + 1)] for column in range(TILE_COLUMNS)]


def _columns(out, scales, int2, word) -> list:
    """Give the columns of a step their zero points and scales."""
    assignments = []
    for column in range(WORD_COLUMNS_MAX):
        source = [scales.zeros[column], scales.scales[column]]
        if column < _INT4_COLUMNS:
            shifted = column + _INT4_COLUMNS
            use = ~int2 & word
            source = [
                Mux(use, scales.zeros[shifted], source[0]),
                Mux(use, scales.scales[shifted], source[1]),
            ]
        assignments += [out.zeros[column].eq(source[0]), out.scales[column].eq(source[1])]
    return assignments
