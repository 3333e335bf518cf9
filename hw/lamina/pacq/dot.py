"""PacQ's dot product unit: four activations times four words of weights a step."""

from dataclasses import dataclass

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.packed import WORD_COLUMNS_MAX, dot_step_layout, scaled_sum_layout
from lamina.pacq.finish import Finish, FinishParameters
from lamina.pacq.sums import Sums, SumsParameters
from lamina.parameters import check_power_of_two, check_range

__all__ = ["Dot", "DotParameters"]


@dataclass(frozen=True, kw_only=True)
class DotParameters:
    """Size of a dot product unit.

    Parameters
    ----------
    trees : int, 1, 2, 4 or 8
        Columns a cycle: a step takes ceil(columns / trees) cycles.
    index_bits : int, 0 to 12
        Bits of a step's ``index``. Each index has eight outputs, with an exact partial sum each.
    stages_per_rank : int, 1 to 16
        Of the alignment and of the rounding, as in `PipelineParameters`. 1, for FPGAs, also adds
        ranks to the trees and to the sums of segments.
    """

    trees: int = 2
    index_bits: int = 6
    stages_per_rank: int = 1

    def __post_init__(self):
        check_power_of_two("trees", self.trees, 1, WORD_COLUMNS_MAX)
        check_range("index_bits", self.index_bits, 0, 12)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def sums(self) -> SumsParameters:
        """Parameters of the exact half: alignment, trees, accumulators."""
        return SumsParameters(
            trees=self.trees, index_bits=self.index_bits, stages_per_rank=self.stages_per_rank
        )

    @property
    def finish(self) -> FinishParameters:
        """Parameters of the rounding."""
        return FinishParameters(index_bits=self.index_bits, stages_per_rank=self.stages_per_rank)

    @property
    def outputs(self) -> int:
        """Outputs that can be told apart; an output's index is step index * 8 + column."""
        return self.finish.outputs

    def cycles(self, steps: int, bits: int) -> int:
        """Cycles that a segment of so many steps takes in steady state."""
        return self.sums.cycles(steps, bits)

    @property
    def latency(self) -> int:
        """Cycles from the last step of a group to the first of its sums."""
        return self.sums.latency + self.finish.latency

    @property
    def throughput(self) -> str:
        """In weights: four per column."""
        return self.sums.throughput

    @property
    def storage_bits(self) -> int:
        """Flip-flops and memory bits of all parts."""
        return self.sums.storage_bits + self.finish.storage_bits


class Dot(wiring.Component):
    """Exact dot products of FP16 activations with INT4 or INT2 weights, rounded once a scale group.

    Members
    -------
    i : In(stream) of `dot_step_layout`
        Four activations of a row and the four words of weights at their k.
    o : Out(stream) of `scaled_sum_layout`
        At the end of each scale group the sum of each column, in ascending order, as FP32, with the
        scale and the flags that `arith.scale_accumulate` wants.

    Timing: INT4 takes ceil(4 / trees), INT2 ceil(8 / trees) cycles a step without a gap; a segment
    takes at least as many cycles as it has columns.

    Numerics: the sum over a scale group of A * (code - zero point) is exact, for groups of up to
    2^18, however many segments it comes in, and is rounded once to nearest even; an exact zero is
    +0. Inf and NaN follow IEEE's rules for the products and their sum.

    Source: the DP-4 of PacQ (DAC 2025, section III), with aligned activations in place of floating
    point trees; see docs/modules/pacq.md.
    """

    def __init__(self, parameters: DotParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(dot_step_layout(p.index_bits))),
                "o": Out(stream.Signature(scaled_sum_layout(p.finish.output_bits))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.sums = sums = Sums(p.sums)
        m.submodules.finish = finish = Finish(p.finish)
        wiring.connect(m, wiring.flipped(self.i), sums.i)
        wiring.connect(m, sums.o_0, finish.i)
        wiring.connect(m, finish.o, wiring.flipped(self.o))
        return m
