"""PacQ's dot products, dense: activations in an alignment window, the rest replayed."""

from dataclasses import dataclass

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.scale_accumulate import ScaleAccumulate, ScaleAccumulateParameters
from lamina.formats.window import window_scale_layout, window_step_layout, window_words_layout
from lamina.pacq.window_array import WindowArray, WindowArrayParameters
from lamina.pacq.window_finish import WindowFinish, WindowFinishParameters
from lamina.pacq.window_lookahead import WindowLookahead, WindowLookaheadParameters
from lamina.pacq.window_passes import WindowPasses, WindowPassesParameters
from lamina.parameters import narrowed

__all__ = ["WindowDot", "WindowDotParameters"]


@dataclass(frozen=True, kw_only=True)
class WindowDotParameters(WindowFinishParameters):
    """Size of a tile of outputs and of what is summed exactly.

    Parameters
    ----------
    rows : int, 1 to 8
        Rows of activations, which share the weights.
    words : int, 1 to 16
        16-bit words of weights of a step, whose columns share the activations.
    lanes : int, 2 to 16
        Activations of a row, and words at as many k, of a step: DP-4 has 4. A power of two.
    weight_bits : int, 2 or 4
        Of a weight code: a word has 8 or 4 columns.
    window_bits : int, 16 to 41
        Of an aligned activation, sign included. It holds exponents from the largest of a row's
        scale group down to window_bits - 12 below; 41 holds all of FP16.
    steps : int, 1 to 65536
        Longest scale group, in steps of ``lanes`` k.
    index_bits : int, 0 to 12
        Tiles whose sums over k are kept at a time.
    carry_limit : int, 40 to 1000
        Tenths of a full adder's delay after which a carry waits for the next cycle.
    stages_per_rank : int, 1 to 16
        Of rounding, scaling and accumulation, as in `PipelineParameters`.
    """

    def __post_init__(self):
        super().__post_init__()
        if self.outputs < 4:
            raise ValueError(f"A tile must have at least 4 outputs, not {self.outputs}.")

    @property
    def parts(self) -> tuple[WindowLookaheadParameters, ...]:
        """Parameters of the parts that are exact, in the order of the data."""
        kinds = (
            WindowLookaheadParameters,
            WindowPassesParameters,
            WindowArrayParameters,
            WindowFinishParameters,
        )
        return tuple(narrowed(kind, self) for kind in kinds)

    @property
    def accumulate(self) -> ScaleAccumulateParameters:
        """Parameters of scale and FP32 sums."""
        return ScaleAccumulateParameters(
            outputs=1 << self.index_width, stages_per_rank=self.stages_per_rank
        )

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates of a step."""
        return self.lanes * self.outputs

    @property
    def latency(self) -> int:
        """Cycles from the only step of a group to its first result, if nothing stalls it."""
        return sum(part.latency for part in self.parts) + self.accumulate.latency

    @property
    def throughput(self) -> str:
        """In products."""
        return f"{self.macs_per_cycle} products per cycle"

    @property
    def storage_bits(self) -> int:
        """Flip-flops and memory bits of all parts."""
        return sum(part.storage_bits for part in self.parts) + self.accumulate.storage_bits


class WindowDot(wiring.Component):
    """Exact dot products of FP16 activations with INT4 or INT2 weights, a tile of outputs at once.

    Members
    -------
    i : In(stream) of `window_step_layout`
        ``lanes`` activations of each row, k ascending; any number of scale groups.
    i_words : In(stream) of `window_words_layout`
        The weights at the same k, one beat a step.
    i_scales : In(stream) of `window_scale_layout`
        For each scale group, scale and zero point of each column, in ascending order.
    o : Out(stream) of `output_layout`
        Behind the last group of a tile its outputs, row by row: FP32, ``index`` is tile *
        outputs + row * columns + column.

    Timing: a step a cycle. A group has one pass with all its steps, and one more for each window
    that is needed below, with the steps that have activations in it or below. A pass takes as many
    cycles as it has steps, and at least one per output of the tile.

    Numerics: those of `golden.pacq.gemm`, whatever the window: per group the exact sum of A *
    (code - zero point), rounded once to FP32, times the scale, added up in FP32. Inf and NaN follow
    IEEE's rules; each step with an infinity takes a pass of its own.

    Source: the DP-4 of PacQ (DAC 2025, section III), with aligned activations in place of floating
    point trees; see docs/modules/pacq.md.
    """

    def __init__(self, parameters: WindowDotParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(window_step_layout(p.rows, p.index_bits, p.lanes))),
                "i_words": In(stream.Signature(window_words_layout(p.words, p.lanes))),
                "i_scales": In(stream.Signature(window_scale_layout())),
                "o": Out(stream.Signature(p.accumulate.output_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        kinds = (WindowLookahead, WindowPasses, WindowArray, WindowFinish)
        lookahead, passes, array, finish = (
            kind(part) for kind, part in zip(kinds, p.parts, strict=True)
        )
        m.submodules.lookahead, m.submodules.passes = lookahead, passes
        m.submodules.array, m.submodules.finish = array, finish
        m.submodules.accumulate = accumulate = ScaleAccumulate(p.accumulate)
        wiring.connect(m, wiring.flipped(self.i), lookahead.i)
        wiring.connect(m, wiring.flipped(self.i_words), array.i_words)
        wiring.connect(m, wiring.flipped(self.i_scales), finish.i_scales)
        for source, sink in ((lookahead, passes), (passes, array), (array, finish)):
            wiring.connect(m, source.o, sink.i)
        wiring.connect(m, finish.o, accumulate.i)
        wiring.connect(m, accumulate.o, wiring.flipped(self.o))
        return m
