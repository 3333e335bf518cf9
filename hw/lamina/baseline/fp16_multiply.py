"""FP16 times FP16, rounded to FP16."""

from dataclasses import dataclass

from amaranth.hdl import unsigned

from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.arith.rounding import of_format, round_stages
from lamina.baseline.fp_lane import multiply_stages, unpack_factors
from lamina.formats.ieee import FP16

__all__ = ["Fp16Multiply", "Fp16MultiplyParameters"]


@dataclass(frozen=True, kw_only=True)
class Fp16MultiplyParameters(PipelineParameters):
    """As `PipelineParameters`."""

    @property
    def stages(self):
        """Unpack, multiply, round."""
        unpacked = of_format(unpack_factors, FP16)
        return (unpacked, *multiply_stages(self), *round_stages(FP16))

    @property
    def operands(self):
        """Two patterns."""
        return {"a": unsigned(FP16.width), "b": unsigned(FP16.width)}

    @property
    def results(self):
        """That of the product."""
        return {"value": unsigned(FP16.width)}


class Fp16Multiply(Pipeline):
    """Multiplies two FP16 numbers a cycle, rounded once to nearest even.

    Members
    -------
    i : In(stream) of ``a``, ``b`` and ``tag``
    o : Out(stream) of ``value`` and ``tag``

    Timing: a product a cycle. Numerics: IEEE 754; subnormals are kept, overflow is Inf, NaN is
    0x7E00.

    Source: the FP16 multiplier that PacQ (DAC 2025, figure 8) compares its own with.
    """
