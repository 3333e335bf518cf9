"""FP32 to FP16 or BF16."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Module, Signal, Value, signed, unsigned

from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.arith.rounding import (
    denormalise,
    depth_of,
    jam,
    of_format,
    round_to_nearest_even,
    rounded_bits,
)
from lamina.arith.unpack import unpack
from lamina.formats.anda import FORMATS
from lamina.formats.ieee import FP32, Format
from lamina.parameters import check_choice

__all__ = ["Fp32Narrow", "Fp32NarrowParameters"]


def _rebias(m: Module, x: SimpleNamespace, fmt: Format) -> dict[str, Value]:
    """Take the number apart, its exponent as a field of ``fmt``, which may be outside of it."""
    parts = unpack(FP32, x.value)
    exponent = Signal(signed(FP32.exponent_bits + 1))
    m.d.comb += exponent.eq(parts.exponent - (FP32.bias - fmt.bias))
    found = {
        "sign": parts.sign,
        "exponent": exponent,
        "significand": jam(parts.significand, rounded_bits(fmt)),
        "nan": parts.nan,
        "inf": parts.inf,
    }
    if fmt.bias == FP32.bias:  # then what is subnormal stays so
        return found
    return found | {"depth": depth_of(m, 1 - exponent, fmt)}


@dataclass(frozen=True, kw_only=True)
class Fp32NarrowParameters(PipelineParameters):
    """``format`` of the result, "fp16" or "bf16", beside `PipelineParameters`."""

    format: str = "fp16"

    def __post_init__(self):
        super().__post_init__()
        check_choice("format", self.format, tuple(FORMATS))

    @property
    def stages(self):
        fmt = FORMATS[self.format]
        between = () if fmt.bias == FP32.bias else (denormalise,)
        return (of_format(_rebias, fmt), *between, of_format(round_to_nearest_even, fmt))

    @property
    def operands(self):
        return {"value": unsigned(FP32.width)}

    @property
    def results(self):
        return {"value": unsigned(FORMATS[self.format].width)}


class Fp32Narrow(Pipeline):
    """Rounds FP32 to FP16 or BF16.

    Members
    -------
    i : {value: 32, tag}
    o : {value: 16, tag}

    Parameters: `Fp32NarrowParameters`. Timing: three stages, for BF16 two; see `Pipeline`.
    Numerics: to nearest even; subnormals and the sign of zero kept, overflow to Inf; a NaN gives
    0x7E00 or 0x7FC0.
    """
