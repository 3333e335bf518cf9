"""Accumulator: exact group sums become FP32, are scaled, and add up to outputs."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.int_to_fp32 import IntToFp32, IntToFp32Parameters
from lamina.arith.scale_accumulate import ScaleAccumulate, ScaleAccumulateParameters
from lamina.formats.anda import (
    FORMATS,
    MANTISSA_BITS_MAX,
    group_sum_bits,
    group_sum_layout,
    output_layout,
)
from lamina.parameters import check_choice, check_range
from lamina.select import select_one
from lamina.stream.buffer import SkidBuffer, SkidBufferParameters, sliced

__all__ = ["Accumulator", "AccumulatorParameters"]

#: Bits of a column's sum and scale that one register chooses, for FPGAs.
_CHOSEN = 14


@dataclass(frozen=True, kw_only=True)
class AccumulatorParameters:
    """What an accumulator is built for.

    ``columns``, ``weight_bits``, ``index_bits``: of the elements that feed it; it keeps
    columns * 2^index_bits sums. ``format``: "fp16" or "bf16", of the activations.
    ``stages_per_rank``: registers in the arithmetic, as in `PipelineParameters`.
    """

    columns: int = 1
    weight_bits: int = 4
    index_bits: int = 6
    format: str = "fp16"
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("columns", self.columns, 1, 64)
        check_range("weight_bits", self.weight_bits, 2, 8)
        check_range("index_bits", self.index_bits, 1, 16)
        check_choice("format", self.format, tuple(FORMATS))
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def outputs(self) -> int:
        """Sums kept: one per row index and column."""
        return self.columns << self.index_bits

    @property
    def output_index_bits(self) -> int:
        """Width of an output's index, row * columns + column."""
        return (self.outputs - 1).bit_length()

    @property
    def tag(self) -> data.StructLayout:
        """What travels beside a sum while it is converted."""
        return data.StructLayout(
            {
                "scale": unsigned(16),
                "index": unsigned(self.output_index_bits),
                "begin": unsigned(1),
                "end": unsigned(1),
            }
        )

    @property
    def convert(self) -> IntToFp32Parameters:
        """Parameters of the conversion."""
        form = FORMATS[self.format]
        # The unit's exponent, E - bias - 15, is most negative for E = 1.
        lowest = 1 - form.bias - MANTISSA_BITS_MAX + 1
        return IntToFp32Parameters(
            width=group_sum_bits(self.weight_bits),
            exponent_bits=(-lowest - 1).bit_length() + 1,
            tag_bits=self.tag.size,
            stages_per_rank=self.stages_per_rank,
        )

    @property
    def chosen(self) -> SkidBufferParameters | None:
        """Of the register slice behind the choice of a column, where that and ranks are."""
        if self.columns == 1 or self.convert.slice is None:
            return None
        return SkidBufferParameters(shape=self.convert.input_layout)

    @property
    def accumulate(self) -> ScaleAccumulateParameters:
        """Parameters of the scaled accumulation."""
        return ScaleAccumulateParameters(outputs=self.outputs, stages_per_rank=self.stages_per_rank)

    @property
    def accumulate_latency(self) -> int:
        """Cycles after which the same index can come again without being stalled."""
        return self.accumulate.accumulate_latency

    @property
    def latency(self) -> int:
        """Cycles from sums with ``end`` accepted to the output of their first column valid."""
        chosen = self.chosen.latency if self.chosen else 0
        return chosen + self.convert.sliced_latency + self.accumulate.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one column of a group a cycle"

    @property
    def storage_bits(self) -> int:
        """Of both units, of the slices before and between them, and what counts columns."""
        parts = (self.chosen, self.convert, self.convert.slice, self.accumulate)
        held = sum(part.storage_bits for part in parts if part)
        rings = -(-(group_sum_bits(self.weight_bits) + 16) // _CHOSEN) if self.chosen else 0
        return held + (self.columns - 1).bit_length() + rings * self.columns


class Accumulator(wiring.Component):
    """Add scaled group sums to their outputs, column by column.

    Members
    -------
    i : In(stream of `group_sum_layout`)
        Exact sums; one beat is taken in ``columns`` cycles, column 0 first.
    o : Out(stream of `output_layout`)
        One beat for each column of a beat with ``end``: index = index * columns + column.

    Timing
    ------
    One column a cycle. The same index may come again ``parameters.accumulate_latency`` cycles
    later; sooner, it is stalled, never wrong.

    Numerics
    --------
    f = FP32(P * 2^(E - bias - M + 1)), NaN where E is all ones; r = FP32(f * scale);
    acc = FP32(acc + r), starting at +0 with ``begin``. Three roundings to nearest even, in the
    order in which the groups come.

    Source: Anda, HPCA 2025, section IV; that passes the group sum through FP16, this does not.
    """

    def __init__(self, parameters: AccumulatorParameters):
        self.parameters = p = parameters
        sums = group_sum_layout(p.columns, p.weight_bits, p.index_bits)
        super().__init__(
            {
                "i": In(stream.Signature(sums)),
                "o": Out(stream.Signature(output_layout(p.output_index_bits))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.convert = convert = IntToFp32(self.parameters.convert)
        m.submodules.accumulate = accumulate = ScaleAccumulate(self.parameters.accumulate)
        columns = convert.i
        if self.parameters.chosen:
            m.submodules.chosen = chosen = SkidBuffer(self.parameters.chosen)
            wiring.connect(m, chosen.o, convert.i)
            columns = chosen.i
        self._serialise(m, columns)
        converted = sliced(m, "slice", convert.o, self.parameters.convert.slice)
        tag = Signal(self.parameters.tag)
        m.d.comb += [
            tag.eq(converted.payload.tag),
            accumulate.i.payload.value.eq(converted.payload.value),
            accumulate.i.payload.scale.eq(tag.scale),
            accumulate.i.payload.index.eq(tag.index),
            accumulate.i.payload.begin.eq(tag.begin),
            accumulate.i.payload.end.eq(tag.end),
            accumulate.i.valid.eq(converted.valid),
            converted.ready.eq(accumulate.i.ready),
        ]
        wiring.connect(m, accumulate.o, wiring.flipped(self.o))
        return m

    def _serialise(self, m, to):
        """Send one column a cycle ``to`` be converted; the beat on ``i`` stays until its last."""
        p = self.parameters
        form = FORMATS[p.format]
        group = self.i.payload
        column = Signal(range(p.columns))
        final = Signal(init=p.columns == 1)  # at the last column; many bits wait for it
        unit = Signal(signed(p.convert.exponent_bits))
        tag, moves = Signal(p.tag), Signal()
        total, scale = group.sums[column], group.scales[column]
        if p.chosen:  # of short ranks, to which the decoder of a number is long
            beats = [Cat(group.sums[n], group.scales[n]) for n in range(p.columns)]
            some = []
            for first in range(0, len(beats[0]), _CHOSEN):
                # Rings of their own, alike: the columns lie far from each other.
                at = Signal(p.columns, init=1, name=f"at_{first}")
                some.append(select_one(at, [beat[first : first + _CHOSEN] for beat in beats]))
                with m.If(moves):
                    m.d.sync += at.eq(at.rotate_left(1))
            total, scale = Cat(*some)[: len(total)], Cat(*some)[len(total) :]
        m.d.comb += [
            moves.eq(to.valid & to.ready),
            unit.eq(group.exponent + (1 - form.bias) - MANTISSA_BITS_MAX),
            tag.scale.eq(scale),
            tag.index.eq(group.index * p.columns + column),
            tag.begin.eq(group.begin),
            tag.end.eq(group.end),
            to.payload.value.eq(total),
            to.payload.exponent.eq(unit),
            to.payload.nan.eq(group.exponent == form.exponent_ones),
            to.payload.tag.eq(tag),
            to.valid.eq(self.i.valid),
            self.i.ready.eq(to.ready & final),
        ]
        with m.If(moves):
            m.d.sync += column.eq(column + 1)
            with m.If(final):
                m.d.sync += column.eq(0)
            if p.columns > 1:
                m.d.sync += final.eq(column == p.columns - 2)
