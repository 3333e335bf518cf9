"""Column sums to FP32: offset and zero point out, segments joined, rounded once."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.compressor_tree import compress_rows, reduce_rows
from lamina.arith.int_to_fp32 import IntToFp32, IntToFp32Parameters
from lamina.formats.ieee import FP32
from lamina.formats.packed import WORD_COLUMNS_MAX, scaled_sum_layout
from lamina.pacq.layouts import (
    COLUMN_BITS,
    TOTAL_BITS,
    UNIT_EXPONENT,
    column_sum_layout,
    special_layout,
    summed_layout,
)
from lamina.pacq.rank import Rank, RankParameters
from lamina.parameters import check_range
from lamina.stream.buffer import SkidBuffer, SkidBufferParameters
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["Finish", "FinishParameters", "round_sum"]

#: Rows in the rank within the sum of a segment.
_RANK_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class FinishParameters:
    """``index_bits`` (0 to 12) of a word's outputs; ``stages_per_rank`` of the rounding.

    With one stage a rank, for FPGAs, there is also a rank within the sum of a segment and one
    behind the memory, and the columns see from a register that they have to wait.
    """

    index_bits: int = 6
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("index_bits", self.index_bits, 0, 12)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def split(self) -> bool:
        """Whether there are the ranks and the register that FPGAs want."""
        return self.stages_per_rank == 1

    @property
    def outputs(self) -> int:
        """Outputs: one per index and column."""
        return WORD_COLUMNS_MAX << self.index_bits

    @property
    def output_bits(self) -> int:
        """Bits of an output's number, index * 8 + column."""
        return self.index_bits + COLUMN_BITS

    @property
    def beside(self) -> data.StructLayout:
        """What goes with a sum through the ranks."""
        fields = dict(scaled_sum_layout(self.output_bits).members)
        return data.StructLayout(
            {name: fields[name] for name in ("scale", "index", "begin", "end")}
            | {"group_first": 1, "group_last": 1}
        )

    @property
    def multiplied(self) -> data.StructLayout:
        """A column sum with what is to be taken out of it."""
        fields = dict(column_sum_layout().members)
        fields = {name: fields[name] for name in ("total", "special", "row_sum")}
        return data.StructLayout({**fields, "offset": 4, "beside": self.beside})

    @property
    def entry(self) -> RankParameters:
        """Parameters of the rank that takes column sums."""
        return RankParameters(shape=self.multiplied, cut=self.split)

    @property
    def rows(self) -> data.StructLayout:
        """The rows that add to the sum of a segment."""
        rows = data.ArrayLayout(unsigned(TOTAL_BITS), _RANK_ROWS)
        fields = {"rows": rows, "special": special_layout(), "beside": self.beside, "valid": 1}
        return data.StructLayout(fields)

    @property
    def partial(self) -> data.StructLayout:
        """The exact sum of a segment, or of a group up to a segment."""
        return data.StructLayout({"sum": signed(TOTAL_BITS), "special": special_layout()})

    @property
    def sums(self) -> data.StructLayout:
        """A sum on its way."""
        return data.StructLayout({**self.partial.members, "beside": self.beside, "valid": 1})

    @property
    def converter(self) -> IntToFp32Parameters:
        """Parameters of the one rounding."""
        tag = scaled_sum_layout(self.output_bits).size - FP32.width + 2
        return IntToFp32Parameters(
            width=TOTAL_BITS,
            exponent_bits=6,
            tag_bits=tag,
            stages_per_rank=self.stages_per_rank,
        )

    @property
    def memory(self) -> BlockMemoryParameters:
        """Parameters of the partial sums."""
        return BlockMemoryParameters(width=self.partial.size, depth=self.outputs)

    @property
    def result(self) -> SkidBufferParameters | None:
        """Of the register slice behind the rounding, which lets the ranks before it move."""
        layout = scaled_sum_layout(self.output_bits)
        return SkidBufferParameters(shape=layout) if self.split else None

    @property
    def latency(self) -> int:
        """Cycles from the last segment of a group to its rounded sum."""
        slice_ = self.result.latency if self.result else 0
        return 3 + self.split + self.converter.latency + slice_

    @property
    def throughput(self) -> int:
        """Columns per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Flip-flops of the ranks and bits of the partial sums."""
        ranks = self.entry.storage_bits + 2 * self.sums.size + self.converter.storage_bits
        if self.split:
            ranks += self.rows.size + self.partial.size + self.result.storage_bits
        return ranks + self.memory.storage_bits + self.memory.width


class Finish(wiring.Component):
    """Turns the column sums of segments into the rounded sums of scale groups.

    Members
    -------
    i : In(stream) of `summed_layout`
        At least four columns for each segment, or as long until its output comes again.
    o : Out(stream) of `scaled_sum_layout`
        One for each column of the last segment of a group; ``index`` is index * 8 + column.

    Timing: one column a cycle; the ranks advance together. A segment's partial sum is read two or
    three ranks before it is written, and the same output comes again four columns later at the
    earliest: it never meets itself, and no interlock is needed.

    Numerics: sum(A * B) = sum(A * code) - (offset + zero point) * sum(A), exact in 64 bits for up
    to 2^18 activations a group, rounded once to nearest even. Inf and NaN by IEEE's rules.
    """

    def __init__(self, parameters: FinishParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(summed_layout(p.index_bits))),
                "o": Out(stream.Signature(scaled_sum_layout(p.output_bits))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.converter = converter = IntToFp32(p.converter)
        # Whether anything enters the converter or not: hundreds of registers wait for this.
        o, advance, enters = self.o, converter.i.ready, Const(1)
        if p.result:  # straight from a register then; the converter may run ahead of the ranks
            m.submodules.result = result = SkidBuffer(p.result)
            wiring.connect(m, result.o, wiring.flipped(self.o))
            o = result.i
            advance = enters = o.ready
        taken = self._take(m, advance)
        beat, valid, rows = taken.p, taken.valid, self._rows(taken.p)
        if p.split:
            rows = reduce_rows(m, platform, rows, TOTAL_BITS, _RANK_ROWS)
            beat = self._rank(m, advance, p.rows, beat, valid=valid, rows=Cat(rows))
            valid, rows = beat.valid, list(beat.rows)
        without_offset = compress_rows(m, platform, rows, TOTAL_BITS)
        segment_sum = self._rank(m, advance, p.sums, beat, valid=valid, sum=without_offset)
        m.submodules.partial_sums = memory = BlockMemory(p.memory)
        joined = self._join(segment_sum, self._read(m, advance, memory, taken))
        group_sum = self._rank(m, advance, p.sums, segment_sum, **joined)
        self._write(m, memory, group_sum)
        self._round(m, converter, group_sum, enters, o)
        return m

    @staticmethod
    def _rank(m, advance, layout, beat, **values):
        """Register ``values``, and the rest of ``layout`` from the ``beat`` before."""
        rank = Signal(layout)
        with m.If(advance):
            for name in layout.members:
                value = values[name] if name in values else beat[name]
                m.d.sync += Value.cast(rank[name]).eq(value)
        return rank

    def _take(self, m, advance):
        """Register a column sum and what its segment says of that column."""
        p = self.parameters
        m.submodules.entry = entry = Rank(p.entry)
        m.d.comb += [
            *self._gather(entry.i.p),
            entry.i.valid.eq(self.i.valid),
            self.i.ready.eq(entry.i.ready),
            entry.o.ready.eq(advance),
        ]
        return entry.o

    def _gather(self, entering):
        summed, column, beside = self.i.p, self.i.p.sum, entering.beside
        yield from [entering[name].eq(column[name]) for name in ("total", "special", "row_sum")]
        names = ("scale", "group_first", "group_last", "begin", "end")
        yield from [beside[name].eq(summed[name]) for name in names]
        yield entering.offset.eq(summed.offset)
        yield beside.index.eq(Cat(column.column, summed.index))

    @staticmethod
    def _rows(taken):
        """Return the rows of total - offset * sum(A); the row sum is negative already."""
        return [taken.total] + [
            Cat(Const(0, j), Mux(taken.offset[j], taken.row_sum, 0)).as_signed() for j in range(4)
        ]

    def _read(self, m, advance, memory, taken):
        """Return what the segments before have left in memory, as the segment's sum is there."""
        m.d.comb += [
            memory.read_enable.eq(advance & taken.valid),
            memory.read_address.eq(taken.p.beside.index),
        ]
        before = data.View(self.parameters.partial, memory.read_data)
        # A block RAM's output is too slow to be added to.
        return self._rank(m, advance, before.shape(), before) if self.parameters.split else before

    @staticmethod
    def _join(segment_sum, before):
        """Add what is there of the group."""
        fresh = segment_sum.beside.group_first
        special = segment_sum.special.as_value() | Mux(fresh, 0, before.special.as_value())
        return {"sum": segment_sum.sum + Mux(fresh, 0, before.sum), "special": special}

    @staticmethod
    def _write(m, memory, group_sum):
        """Keep the sum for the group's next segment, if there is one: then no rank waits."""
        beside = group_sum.beside
        m.d.comb += [
            memory.write_enable.eq(group_sum.valid & ~beside.group_last),
            memory.write_address.eq(beside.index),
            memory.write_data.eq(Cat(group_sum.sum, group_sum.special)),
        ]

    def _round(self, m, converter, group_sum, enters, o):
        beside = group_sum.beside
        m.d.comb += [
            converter.i.valid.eq(group_sum.valid & beside.group_last & enters),
            converter.i.p.value.eq(group_sum.sum),
            converter.i.p.exponent.eq(UNIT_EXPONENT),
        ]
        tag = Cat(beside.scale, beside.index, beside.begin, beside.end)
        round_sum(m, converter, group_sum.special, tag, o)


def round_sum(m: Module, converter: IntToFp32, special: data.View, tag: Value, o) -> None:
    """Give the results of ``converter`` to ``o``, a stream of `scaled_sum_layout`.

    What is no number goes around the rounding and takes the place of its result; ``tag``: the other
    fields of ``o`` in their order.
    """
    nan = special.nan | (special.plus & special.minus)
    infinite = (special.plus | special.minus) & ~nan
    m.d.comb += [
        converter.i.p.nan.eq(nan),
        converter.i.p.tag.eq(Cat(tag, special.minus, infinite)),
    ]
    rounded = converter.o.p
    infinite, minus = rounded.tag[-1], rounded.tag[-2]
    m.d.comb += [
        o.valid.eq(converter.o.valid),
        converter.o.ready.eq(o.ready),
        Cat(o.p.scale, o.p.index, o.p.begin, o.p.end).eq(rounded.tag),
        o.p.value.eq(rounded.value),
    ]
    with m.If(infinite):
        m.d.comb += o.p.value.eq(Cat(Const(FP32.exponent_ones << FP32.fraction_bits, 31), minus))
