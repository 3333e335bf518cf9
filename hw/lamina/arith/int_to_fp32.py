"""Integer times a power of two, to FP32."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Const, Module, Mux, Value, signed, unsigned

from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.arith.rounding import ROUND_NORMAL_STAGES, ROUND_STAGES, ROUND_WIDE_STAGES
from lamina.formats.ieee import FP32
from lamina.parameters import check_range

__all__ = ["IntToFp32", "IntToFp32Parameters"]

#: Widest integer that a stage shifts to normal form.
_SHIFT_WIDTH = 48


@dataclass(frozen=True, kw_only=True)
class IntToFp32Parameters(PipelineParameters):
    """``width`` (2 to 128) bits of the integer, ``exponent_bits`` (2 to 16) of its exponent.

    Beside `PipelineParameters`. Up to 7 exponent bits no result is subnormal, and the stage that
    makes them is left out; then integers of over 48 bits are shifted in two stages.
    """

    width: int = 32
    exponent_bits: int = 8

    def __post_init__(self):
        super().__post_init__()
        check_range("width", self.width, 2, 128)
        check_range("exponent_bits", self.exponent_bits, 2, 16)

    @property
    def stages(self):
        always_normal = -(1 << (self.exponent_bits - 1)) > -FP32.bias
        normal = ROUND_WIDE_STAGES if self.width > _SHIFT_WIDTH else ROUND_NORMAL_STAGES
        return (take_magnitude, *(normal if always_normal else ROUND_STAGES))

    @property
    def operands(self):
        return {
            "value": signed(self.width),
            "exponent": signed(self.exponent_bits),
            "nan": unsigned(1),
        }

    @property
    def results(self):
        return {"value": unsigned(FP32.width)}


def take_magnitude(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Split sign from magnitude; find the exponent field of the magnitude's top bit."""
    sign = x.value[-1]
    return {
        "sign": sign,
        "magnitude": Mux(sign, -x.value, x.value)[: len(x.value)],
        "exponent": x.exponent + (FP32.bias + len(x.value) - 1),
        "nan": x.nan,
        "inf": Const(0),
    }


class IntToFp32(Pipeline):
    """Rounds ``value * 2^exponent`` to FP32.

    Members
    -------
    i : {value: signed(width), exponent: signed(exponent_bits), nan: 1, tag}
    o : {value: 32, tag}

    Parameters: `IntToFp32Parameters`. Timing: see `Pipeline`.
    Numerics: to nearest even; subnormals kept, overflow to Inf, 0 to +0; ``nan`` gives 0x7FC00000.
    """
