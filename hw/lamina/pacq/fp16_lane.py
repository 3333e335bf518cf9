"""The baseline lane of an octet: FP16 times FP16, as dequantized weights want it."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.int_to_fp32 import IntToFp32, IntToFp32Parameters
from lamina.arith.scale_accumulate import ScaleAccumulate, ScaleAccumulateParameters
from lamina.formats.ieee import FP32
from lamina.formats.packed import scaled_sum_layout
from lamina.pacq.finish import round_sum
from lamina.pacq.fp16_sums import (
    FP16_TOTAL_BITS,
    FP16_UNIT_EXPONENT,
    Fp16Sums,
    Fp16SumsParameters,
    fp16_total_layout,
)
from lamina.pacq.layouts import special_layout
from lamina.pacq.rank import Rank, RankParameters
from lamina.parameters import check_range
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["Fp16Lane", "Fp16LaneParameters"]

#: DP-4 units, which take turns in what comes behind their sums.
_UNITS = 2


@dataclass(frozen=True, kw_only=True)
class Fp16LaneParameters:
    """``index_bits`` of a unit's outputs; ``stages_per_rank`` as in `PipelineParameters`."""

    index_bits: int = 5
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("index_bits", self.index_bits, 1, 11)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def sums(self) -> Fp16SumsParameters:
        """Parameters of a unit's products and sums."""
        return Fp16SumsParameters(index_bits=self.index_bits, stages_per_rank=self.stages_per_rank)

    @property
    def output_bits(self) -> int:
        """Bits of an output's number: index, unit."""
        return self.index_bits + 1

    @property
    def total(self) -> RankParameters:
        """Parameters of the ranks of a segment's, and of a group's sum."""
        return RankParameters(shape=fp16_total_layout(self.output_bits))

    @property
    def memory(self) -> BlockMemoryParameters:
        """Parameters of the sums of groups that go on."""
        width = FP16_TOTAL_BITS + special_layout().size
        return BlockMemoryParameters(width=width, depth=1 << self.output_bits)

    @property
    def converter(self) -> IntToFp32Parameters:
        """Parameters of the one rounding."""
        tag = scaled_sum_layout(self.output_bits).size - FP32.width + 2
        return IntToFp32Parameters(
            width=FP16_TOTAL_BITS,
            exponent_bits=7,
            tag_bits=tag,
            stages_per_rank=self.stages_per_rank,
        )

    @property
    def accumulate(self) -> ScaleAccumulateParameters:
        """Parameters of the scaled accumulation."""
        return ScaleAccumulateParameters(
            outputs=1 << self.output_bits, stages_per_rank=self.stages_per_rank
        )

    @property
    def latency(self) -> int:
        """Cycles from the last step of an output to its result."""
        behind = 2 * self.total.latency + self.converter.latency + self.accumulate.latency
        return self.sums.latency + behind

    @property
    def throughput(self) -> str:
        """Of both units."""
        return "2 steps per cycle; 1 segment per cycle"

    @property
    def storage_bits(self) -> int:
        """Units, ranks, memory, rounding and accumulation."""
        parts = [self.sums] * _UNITS + [self.total] * 2
        parts += [self.memory, self.converter, self.accumulate]
        return sum(part.storage_bits for part in parts) + 1


class Fp16Lane(wiring.Component):
    """Exact dot products of FP16 with FP16, rounded once a scale group, scaled and accumulated.

    Members
    -------
    i_0, i_1 : In(stream) of ``parameters.sums.step``
        Steps of both units, in step.
    o : Out(stream) of `output_layout`
        ``index``: index of the segment, unit.

    Numerics: the exact sum over a scale group, rounded once to FP32 to nearest even, times the
    scale, accumulated in FP32. Inf and NaN by IEEE's rules for the products and their sum.
    """

    def __init__(self, parameters: Fp16LaneParameters):
        self.parameters = p = parameters
        step = In(stream.Signature(p.sums.step))
        super().__init__(
            {"i_0": step, "i_1": step, "o": Out(stream.Signature(p.accumulate.output_layout))}
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.segment = segment = Rank(p.total)
        m.submodules.group = group = Rank(p.total)
        m.submodules.partial_sums = memory = BlockMemory(p.memory)
        m.submodules.converter = converter = IntToFp32(p.converter)
        m.submodules.accumulate = accumulate = ScaleAccumulate(p.accumulate)
        self._take_turns(m, segment.i)
        kept = data.StructLayout({"total": signed(FP16_TOTAL_BITS), "special": special_layout()})
        before, fresh = data.View(kept, memory.read_data), segment.o.p.group_first
        total, special = segment.o.p.total, segment.o.p.special.as_value()
        m.d.comb += [
            memory.read_enable.eq(segment.i.valid & segment.i.ready),
            memory.read_address.eq(segment.i.p.index),
            segment.o.ready.eq(group.i.ready),
            group.i.valid.eq(segment.o.valid),
            group.i.p.eq(segment.o.p),
            group.i.p.total.eq(total + Mux(fresh, 0, before.total)),
            group.i.p.special.eq(special | Mux(fresh, 0, before.special.as_value())),
        ]
        done = group.o.p
        m.d.comb += [
            memory.write_enable.eq(group.o.valid & ~done.group_last),
            memory.write_address.eq(done.index),
            memory.write_data.eq(Cat(done.total, done.special)),
            group.o.ready.eq(converter.i.ready | ~done.group_last),
            converter.i.valid.eq(group.o.valid & done.group_last),
            converter.i.p.value.eq(done.total),
            converter.i.p.exponent.eq(FP16_UNIT_EXPONENT),
        ]
        tag = Cat(done.scale, done.index, done.begin, done.end)
        round_sum(m, converter, done.special, tag, accumulate.i)
        wiring.connect(m, accumulate.o, wiring.flipped(self.o))
        return m

    def _take_turns(self, m, into):
        """Take the sums of both units, one after the other."""
        turn = Signal()
        for number in range(_UNITS):
            m.submodules[f"unit_{number}"] = unit = Fp16Sums(self.parameters.sums)
            wiring.connect(m, wiring.flipped(getattr(self, f"i_{number}")), unit.i)
            with m.If(turn == number):
                names = (name for name in unit.o.p.shape().members if name != "index")
                m.d.comb += [
                    into.valid.eq(unit.o.valid),
                    unit.o.ready.eq(into.ready),
                    into.p.index.eq(Cat(unit.o.p.index, turn)),
                    *(into.p[name].eq(unit.o.p[name]) for name in names),
                ]
        with m.If(into.valid & into.ready):
            m.d.sync += turn.eq(~turn)
