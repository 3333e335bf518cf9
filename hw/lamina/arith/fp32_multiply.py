"""FP32 multiplication, by FP32 or by FP16."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Value, unsigned

from lamina.arith.pipeline import Pipeline, PipelineParameters, Stage
from lamina.arith.products import join_parts, partial_products
from lamina.arith.rounding import ROUND_STAGES, keep
from lamina.arith.unpack import unpack
from lamina.formats.ieee import FP16, FP32, Format
from lamina.parameters import check_choice

__all__ = ["Fp32Multiply", "Fp32MultiplyParameters"]

_FORMATS = {"fp32": FP32, "fp16": FP16}

#: Significands are multiplied in digits of this many bits: a DSP block takes two of them.
_DIGIT = FP32.precision // 2


@dataclass(frozen=True, kw_only=True)
class Fp32MultiplyParameters(PipelineParameters):
    """``b_format`` ("fp32" or "fp16") of the second factor, beside `PipelineParameters`."""

    b_format: str = "fp32"

    def __post_init__(self):
        super().__post_init__()
        check_choice("b_format", self.b_format, tuple(_FORMATS))

    @property
    def stages(self):
        b = _FORMATS[self.b_format]
        # An FP16 significand is a single digit: there is only one product in the middle.
        middle = (add_middle,) if b.precision > _DIGIT else ()
        # In LUTs a product of digits takes two cycles; without a register between, parts of it
        # would only be larger.
        split = (_multiply_parts(b), join_parts)
        products = split if self.stages_per_rank == 1 else (_multiply_digits(b),)
        return (_unpack(b), *products, *middle, _add_products(b), *ROUND_STAGES)

    @property
    def operands(self):
        return {"a": unsigned(FP32.width), "b": unsigned(_FORMATS[self.b_format].width)}

    @property
    def results(self):
        return {"value": unsigned(FP32.width)}


def _unpack(b_format: Format) -> Stage:
    """Return the stage from the operands to their significands and what else decides the result."""

    def unpack_factors(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        a, b = unpack(FP32, x.a), unpack(b_format, x.b)
        return {
            "a": a.significand,
            "b": b.significand,
            "sign": a.sign ^ b.sign,
            # The field of the product's top bit: both factors are below 2, the product below 4.
            "exponent": a.exponent + b.exponent - (b_format.bias - 1),
            "nan": a.nan | b.nan | (a.inf & b.zero) | (a.zero & b.inf),
            "inf": a.inf | b.inf,
        }

    return unpack_factors


def _pairs(b_format: Format, x: SimpleNamespace) -> dict[str, tuple[Value, Value]]:
    """Return the pairs of digits to be multiplied, by the name of the product."""
    a_low, a_high = x.a[:_DIGIT], x.a[_DIGIT:]
    b_low, b_high = x.b[:_DIGIT], x.b[_DIGIT:]
    pairs = {"low": (a_low, b_low), "middle": (a_high, b_low)}
    if b_format.precision > _DIGIT:
        pairs |= {"high": (a_high, b_high), "other_middle": (a_low, b_high)}
    return pairs


def _multiply_digits(b_format: Format) -> Stage:
    """Return the stage from the significands to the products of their digits."""

    def multiply_digits(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        products = {name: a * b for name, (a, b) in _pairs(b_format, x).items()}
        return keep(x, "sign", "exponent", "nan", "inf") | products

    return multiply_digits


def _multiply_parts(b_format: Format) -> Stage:
    """Return the stage from the significands to digits times parts of digits."""

    def multiply_parts(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        products = keep(x, "sign", "exponent", "nan", "inf")
        for name, (a, b) in _pairs(b_format, x).items():
            products |= partial_products(name, a, b)
        return products

    return multiply_parts


def add_middle(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Add the two products of unlike digits, which have equal weight."""
    middle = x.middle + x.other_middle
    return keep(x, "low", "high", "sign", "exponent", "nan", "inf") | {"middle": middle}


def _add_products(b_format: Format) -> Stage:
    """Return the stage that completes the product of the significands."""
    width = FP32.precision + b_format.precision

    def add_products(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        # The lowest digit of the outer products meets nothing: the addition is above it.
        outer = Cat(x.low, x.high) if b_format.precision > _DIGIT else x.low
        low, high = outer[:_DIGIT], outer[_DIGIT:] + x.middle
        return keep(x, "sign", "exponent", "nan", "inf") | {"magnitude": Cat(low, high)[:width]}

    return add_products


class Fp32Multiply(Pipeline):
    """Multiplies FP32 ``a`` by ``b``, FP32 or FP16.

    Members
    -------
    i : {a: 32, b: 32 or 16, tag}
    o : {value: 32, tag}

    Parameters: `Fp32MultiplyParameters`. Timing: see `Pipeline`.
    Numerics: IEEE 754, one rounding to nearest even, subnormals kept in and out, overflow to Inf;
    NaN operands and 0 * Inf give 0x7FC00000; a zero product has the sign of IEEE 754.
    """
