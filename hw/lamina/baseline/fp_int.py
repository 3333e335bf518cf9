"""FP-INT: one FP16 by integer multiplier, accumulating in FP32."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned

from lamina.arith.pipeline import PipelineParameters
from lamina.arith.unpack import unpack
from lamina.baseline.lane import EXACT_STAGES, Lane, LaneParameters
from lamina.formats.ieee import FP16, FP32
from lamina.parameters import check_range, narrowed

__all__ = ["FpInt", "FpIntParameters"]


@dataclass(frozen=True, kw_only=True)
class _ProductParameters(PipelineParameters):
    """From an FP16 pattern and an integer of ``weight_bits`` to their product, which is exact."""

    weight_bits: int

    @property
    def stages(self):
        return (self._multiply, *EXACT_STAGES)

    @property
    def operands(self):
        return {"a": unsigned(FP16.width), "b": signed(self.weight_bits)}

    @property
    def results(self):
        return {"value": unsigned(FP32.width)}

    def _multiply(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        a = unpack(FP16, x.a)
        weight = Signal(self.weight_bits)
        # The largest magnitude, 2^(weight_bits - 1), needs all bits but no sign.
        m.d.comb += weight.eq(Mux(x.b[-1], -x.b, x.b))
        return {
            "sign": a.sign ^ x.b[-1],
            "magnitude": a.significand * weight,
            # The field of the product's top bit: a is below 2, the weight below 2^weight_bits.
            "exponent": a.exponent + (FP32.bias + self.weight_bits - FP16.bias),
            "nan": a.nan | (a.inf & ~x.b.any()),
            "inf": a.inf,
        }


@dataclass(frozen=True, kw_only=True)
class FpIntParameters(LaneParameters):
    """As `LaneParameters`; ``weight_bits`` of a weight after its zero point was taken off, 2 to 9.

    ``stages_per_rank``: as there.
    """

    weight_bits: int = 4

    def __post_init__(self):
        super().__post_init__()
        check_range("weight_bits", self.weight_bits, 2, 9)

    @property
    def product(self) -> _ProductParameters:
        """Parameters of the product."""
        return narrowed(_ProductParameters, self, tag_bits=self.tag_bits)


class FpInt(Lane):
    """FP16 times a small integer, accumulated in FP32: one multiply-accumulate a cycle.

    Ports and timing: `Lane`, with FP16 ``a`` and the signed integer ``b``.

    Numerics: acc = FP32(acc + a * b), from +0. The product is exact, each sum is rounded once to
    nearest even; subnormals are kept, Inf and NaN as in IEEE 754 (Inf times weight 0 is NaN).

    Source: the FP-INT baseline of Anda (HPCA 2025), section V.
    """
