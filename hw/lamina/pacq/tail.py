"""Behind the exact sums of DP-4 units: rounding, scale, and accumulation in FP32."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.scale_accumulate import ScaleAccumulate, ScaleAccumulateParameters
from lamina.pacq.finish import Finish, FinishParameters
from lamina.pacq.layouts import summed_layout
from lamina.parameters import check_choice, check_range
from lamina.stream.buffer import SkidBufferParameters, sliced

__all__ = ["Tail", "TailParameters"]


@dataclass(frozen=True, kw_only=True)
class TailParameters:
    """``index_bits`` of a DP-4's outputs; ``sources``: units that share this, 1 or 2.

    ``stages_per_rank`` as in `PipelineParameters`.
    """

    index_bits: int = 5
    sources: int = 2
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("index_bits", self.index_bits, 1, 11)
        check_choice("sources", self.sources, (1, 2))
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def finish(self) -> FinishParameters:
        """Parameters of the one rounding."""
        return FinishParameters(
            index_bits=self.index_bits + self.sources - 1, stages_per_rank=self.stages_per_rank
        )

    @property
    def accumulate(self) -> ScaleAccumulateParameters:
        """Parameters of the scaled accumulation."""
        return ScaleAccumulateParameters(
            outputs=self.finish.outputs, stages_per_rank=self.stages_per_rank
        )

    @property
    def source(self) -> SkidBufferParameters | None:
        """Of the register slice behind each source, if they take turns and every stage has a rank.

        The turn would have to reach all of a unit's enables in one cycle.
        """
        if self.sources == 1 or self.stages_per_rank > 1:
            return None
        return SkidBufferParameters(shape=summed_layout(self.index_bits))

    @property
    def latency(self) -> int:
        """Cycles from the last sum of an output to its result."""
        slices = self.source.latency if self.source else 0
        return slices + self.finish.latency + self.accumulate.latency

    @property
    def throughput(self) -> int:
        """Columns per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Both parts, the slices, and whose turn it is."""
        slices = self.sources * self.source.storage_bits if self.source else 0
        parts = self.finish.storage_bits + self.accumulate.storage_bits
        return slices + parts + self.sources - 1


class Tail(wiring.Component):
    """Turns the sums of segments into finished outputs.

    Members
    -------
    i_0, i_1 : In(stream) of `summed_layout`
        Of each source; two take turns, a segment each, as they come from units in step.
    o : Out(stream) of `output_layout`
        ``index``: column, index of the segment, source.

    Numerics: see `Finish` and `ScaleAccumulate`.
    """

    def __init__(self, parameters: TailParameters):
        self.parameters = p = parameters
        summed = In(stream.Signature(summed_layout(p.index_bits)))
        super().__init__(
            {
                **{f"i_{source}": summed for source in range(p.sources)},
                "o": Out(stream.Signature(p.accumulate.output_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.finish = finish = Finish(p.finish)
        m.submodules.accumulate = accumulate = ScaleAccumulate(p.accumulate)
        wiring.connect(m, finish.o, accumulate.i)
        wiring.connect(m, accumulate.o, wiring.flipped(self.o))
        sources = [
            sliced(m, f"source_{source}", wiring.flipped(getattr(self, f"i_{source}")), p.source)
            for source in range(p.sources)
        ]
        if p.sources == 1:
            self._take(m, finish.i, sources[0], Const(0, 0))
            return m
        turn = Signal()
        for number, source in enumerate(sources):
            with m.If(turn == number):
                self._take(m, finish.i, source, turn)
        with m.If(finish.i.valid & finish.i.ready & finish.i.p.sum.last):
            m.d.sync += turn.eq(~turn)
        return m

    def _take(self, m, into, source, number):
        names = [name for name in into.p.shape().members if name != "index"]
        m.d.comb += [
            into.valid.eq(source.valid),
            source.ready.eq(into.ready),
            *(into.p[name].eq(source.p[name]) for name in names),
            into.p.index.eq(Cat(source.p.index, number)),
        ]
