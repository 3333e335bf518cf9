"""Column sums to FP32: offset and zero point out, segments joined, rounded once."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.compressor_tree import compress_rows
from lamina.arith.int_to_fp32 import IntToFp32, IntToFp32Parameters
from lamina.formats.ieee import FP32
from lamina.formats.packed import WORD_COLUMNS_MAX, scaled_sum_layout
from lamina.pacq.layouts import (
    COLUMN_BITS,
    TOTAL_BITS,
    UNIT_EXPONENT,
    column_sum_layout,
    segment_layout,
    special_layout,
)
from lamina.parameters import check_range
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["Finish", "FinishParameters"]


@dataclass(frozen=True, kw_only=True)
class FinishParameters:
    """``index_bits`` (0 to 12) of a word's outputs; ``stages_per_rank`` of the rounding."""

    index_bits: int = 6
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("index_bits", self.index_bits, 0, 12)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

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
            | {"group_first": 1, "group_last": 1, "valid": 1}
        )

    @property
    def multiplied(self) -> data.StructLayout:
        """A column sum with what is to be taken out of it."""
        fields = dict(column_sum_layout().members)
        fields = {name: fields[name] for name in ("total", "special", "row_sum")}
        return data.StructLayout({**fields, "offset": 4, "beside": self.beside})

    @property
    def partial(self) -> data.StructLayout:
        """The exact sum of a segment, or of a group up to a segment."""
        return data.StructLayout({"sum": signed(TOTAL_BITS), "special": special_layout()})

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
    def latency(self) -> int:
        """Cycles from the last segment of a group to its rounded sum."""
        return 3 + self.converter.latency

    @property
    def throughput(self) -> int:
        """Columns per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Flip-flops of the ranks and bits of the partial sums."""
        beside = self.partial.size + self.beside.size
        ranks = self.multiplied.size + 2 * beside + self.converter.storage_bits
        return ranks + self.memory.storage_bits + self.memory.width


class Finish(wiring.Component):
    """Turns the column sums of segments into the rounded sums of scale groups.

    Members
    -------
    i : In(stream) of `column_sum_layout`
        At least four columns for each segment.
    i_segment : In(stream) of `segment_layout`
        Taken with the last column of each segment.
    o : Out(stream) of `scaled_sum_layout`
        One for each column of the last segment of a group; ``index`` is index * 8 + column.

    Timing: one column a cycle; the ranks advance together. A segment's partial sum is read one rank
    before it is written, and the same output comes again four columns later at the earliest: it
    never meets itself, and no interlock is needed.

    Numerics: sum(A * B) = sum(A * code) - (offset + zero point) * sum(A), exact in 64 bits for up
    to 2^18 activations a group, rounded once to nearest even. Inf and NaN by IEEE's rules.
    """

    def __init__(self, parameters: FinishParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(column_sum_layout())),
                "i_segment": In(stream.Signature(segment_layout(p.index_bits))),
                "o": Out(stream.Signature(scaled_sum_layout(p.output_bits))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.converter = converter = IntToFp32(p.converter)
        sums = data.StructLayout({**p.partial.members, "beside": p.beside})
        taken, segment_sum, group_sum = Signal(p.multiplied), Signal(sums), Signal(sums)
        advance = Signal()
        m.d.comb += [
            advance.eq(converter.i.ready | ~converter.i.valid),
            self.i.ready.eq(advance & self.i_segment.valid),
            self.i_segment.ready.eq(advance & self.i.valid & self.i.p.last),
        ]
        without_offset = self._subtract(m, platform, taken)
        joined = self._join(m, advance, taken, segment_sum)
        with m.If(advance):
            m.d.sync += self._take(taken)
            m.d.sync += [
                segment_sum.sum.eq(without_offset),
                segment_sum.special.eq(taken.special),
                segment_sum.beside.eq(taken.beside),
                Cat(group_sum.sum, group_sum.special).eq(joined),
                group_sum.beside.eq(segment_sum.beside),
            ]
        self._round(m, converter, group_sum)
        return m

    def _take(self, taken):
        """Gather a column sum and what its segment says of that column."""
        column, segment, beside = self.i.p, self.i_segment.p, taken.beside
        yield from [taken[name].eq(column[name]) for name in ("total", "special", "row_sum")]
        names = ("group_first", "group_last", "begin", "end")
        yield from [beside[name].eq(segment[name]) for name in names]
        yield taken.offset.eq(segment.offsets[column.column])
        yield beside.scale.eq(segment.scales[column.column])
        yield beside.index.eq(Cat(column.column, segment.index))
        yield beside.valid.eq(self.i.valid & self.i_segment.valid)

    @staticmethod
    def _subtract(m, platform, taken):
        """Return total - offset * sum(A); the row sum is negative already."""
        rows = [
            Cat(Const(0, j), Mux(taken.offset[j], taken.row_sum, 0)).as_signed() for j in range(4)
        ]
        return compress_rows(m, platform, [taken.total, *rows], TOTAL_BITS)

    def _join(self, m, advance, taken, segment_sum):
        """Add the segments of a group: each but the last leaves its sum in memory."""
        p = self.parameters
        m.submodules.partial_sums = memory = BlockMemory(p.memory)
        beside = segment_sum.beside
        before = data.View(p.partial, memory.read_data)
        joined = Signal(p.partial)
        m.d.comb += [
            memory.read_enable.eq(advance & taken.beside.valid),
            memory.read_address.eq(taken.beside.index),
            memory.write_enable.eq(advance & beside.valid & ~beside.group_last),
            memory.write_address.eq(beside.index),
            memory.write_data.eq(joined),
            joined.sum.eq(segment_sum.sum),
            joined.special.eq(segment_sum.special),
        ]
        with m.If(~beside.group_first):
            m.d.comb += [
                joined.sum.eq(segment_sum.sum + before.sum),
                joined.special.eq(segment_sum.special.as_value() | before.special.as_value()),
            ]
        return joined

    def _round(self, m, converter, group_sum):
        """Round what is a number; flags go around the rounding and take the place of its result."""
        special, beside = group_sum.special, group_sum.beside
        nan = special.nan | (special.plus & special.minus)
        infinite = (special.plus | special.minus) & ~nan
        tag = Cat(beside.scale, beside.index, beside.begin, beside.end)
        m.d.comb += [
            converter.i.valid.eq(beside.valid & beside.group_last),
            converter.i.p.value.eq(group_sum.sum),
            converter.i.p.exponent.eq(UNIT_EXPONENT),
            converter.i.p.nan.eq(nan),
            converter.i.p.tag.eq(Cat(tag, special.minus, infinite)),
        ]
        rounded, o = converter.o.p, self.o.p
        infinite, minus = rounded.tag[-1], rounded.tag[-2]
        m.d.comb += [
            self.o.valid.eq(converter.o.valid),
            converter.o.ready.eq(self.o.ready),
            Cat(o.scale, o.index, o.begin, o.end).eq(rounded.tag),
            o.value.eq(rounded.value),
        ]
        with m.If(infinite):
            m.d.comb += o.value.eq(Cat(Const(FP32.exponent_ones << FP32.fraction_bits, 31), minus))
