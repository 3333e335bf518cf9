"""FP-FP: one FP16 by FP16 multiplier, accumulating in FP32."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Module, Value, unsigned

from lamina.arith.pipeline import PipelineParameters, Stage
from lamina.arith.products import join_parts, partial_products
from lamina.arith.rounding import keep
from lamina.arith.unpack import unpack
from lamina.baseline.lane import EXACT_STAGES, Lane, LaneParameters
from lamina.formats.ieee import FP16, FP32, Format

__all__ = ["FpLane", "FpLaneParameters", "multiply_stages", "unpack_factors"]


@dataclass(frozen=True, kw_only=True)
class _ProductParameters(PipelineParameters):
    """From two FP16 patterns to their product in FP32, which is exact."""

    @property
    def stages(self):
        return (unpack_factors, *multiply_stages(self), *EXACT_STAGES)

    @property
    def operands(self):
        return {"a": unsigned(FP16.width), "b": unsigned(FP16.width)}

    @property
    def results(self):
        return {"value": unsigned(FP32.width)}


def unpack_factors(m: Module, x: SimpleNamespace, fmt: Format = FP32) -> dict[str, Value]:
    """Find significands and exponent, before the stage that an FPGA's multiplier fills.

    The exponent is that of a product in ``fmt``.
    """
    a, b = unpack(FP16, x.a), unpack(FP16, x.b)
    return {
        "sign": a.sign ^ b.sign,
        "a": a.significand,
        "b": b.significand,
        # The field of the product's top bit: both factors are below 2, the product below 4.
        "exponent": a.exponent + b.exponent + (fmt.bias + 1 - 2 * FP16.bias),
        "nan": a.nan | b.nan | (a.inf & b.zero) | (a.zero & b.inf),
        "inf": a.inf | b.inf,
    }


def multiply_stages(parameters: PipelineParameters) -> tuple[Stage, ...]:
    """Return what follows `unpack_factors`: ``magnitude`` is the product of the significands."""
    # See `Fp32Multiply`: parts pay only with a register behind them.
    return (multiply_parts, join_parts) if parameters.stages_per_rank == 1 else (multiply,)


def multiply(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Multiply the significands."""
    return keep(x, "sign", "exponent", "nan", "inf") | {"magnitude": x.a * x.b}


def multiply_parts(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Multiply one significand by parts of the other."""
    products = partial_products("magnitude", x.a, x.b)
    return keep(x, "sign", "exponent", "nan", "inf") | products


@dataclass(frozen=True, kw_only=True)
class FpLaneParameters(LaneParameters):
    """As `LaneParameters`."""

    @property
    def product(self) -> PipelineParameters:
        """Parameters of the product."""
        return _ProductParameters(tag_bits=self.tag_bits, stages_per_rank=self.stages_per_rank)


class FpLane(Lane):
    """FP16 times FP16, accumulated in FP32: one multiply-accumulate a cycle.

    Ports and timing: `Lane`, with FP16 operands ``a`` and ``b``.

    Numerics: acc = FP32(acc + a * b), from +0. The product is exact, each sum is rounded once to
    nearest even; subnormals are kept, Inf and NaN as in IEEE 754, NaN is 0x7FC00000.

    Source: the FP-FP baseline of Anda (HPCA 2025), section V: INT4 weights dequantised to FP16.
    """
