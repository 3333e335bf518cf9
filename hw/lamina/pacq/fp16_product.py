"""Stages of FP16 times FP16, whose product is an FP32 number without any rounding."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from lamina.arith.leading_zeros import count_leading_zeros
from lamina.arith.products import partial_products
from lamina.arith.rounding import keep
from lamina.arith.unpack import unpack
from lamina.formats.ieee import FP16, FP32, FP32_NAN

__all__ = ["multiply_parts", "normalise_product", "unpack_factors"]

#: Field of the product's top bit, for exponents that have FP16's bias twice: both factors are below
#: 2, the product below 4.
_BIAS = FP32.bias + 1 - 2 * FP16.bias

_PASSED = ("product_exponent", "product_minus", "product_nan", "product_inf")


def unpack_factors(m: Module, a: Value, b: Value) -> dict[str, Value]:
    """Return significands, how far each is from its normal form, and what else decides."""
    a, b = unpack(FP16, a), unpack(FP16, b)
    exponent = Signal(FP16.exponent_bits + 1)
    m.d.comb += exponent.eq(a.exponent + b.exponent)
    return {
        "factor": a.significand,
        "other_factor": b.significand,
        "zeros": count_leading_zeros(m, a.significand),
        "other_zeros": count_leading_zeros(m, b.significand),
        "product_exponent": exponent,
        "product_minus": a.sign ^ b.sign,
        "product_nan": a.nan | b.nan | (a.inf & b.zero) | (a.zero & b.inf),
        "product_inf": a.inf | b.inf,
    }


def multiply_parts(m: Module, x) -> dict[str, Value]:
    """Multiply the significands in parts, which `join_parts` adds up."""
    zeros = x.zeros + x.other_zeros
    parts = partial_products("product", x.factor, x.other_factor)
    return keep(x, *_PASSED) | {"product_zeros": zeros} | parts


def normalise_product(m: Module, x) -> Value:
    """Return the FP32 pattern of the product."""
    width = 2 * FP16.precision
    shifted = Signal(width)
    m.d.comb += shifted.eq(x.product << x.product_zeros)
    # Of two normal significands: the leading one is at the top or just below. A factor of 0 has
    # neither.
    top, next_ = shifted[-1], shifted[-2]
    fraction = Mux(top, shifted[:-1], Cat(Const(0, 1), shifted[:-2]))
    fraction = Cat(Const(0, FP32.fraction_bits - len(fraction)), fraction)
    field = Signal(FP32.exponent_bits)
    m.d.comb += field.eq(x.product_exponent + _BIAS - x.product_zeros - ~top)
    magnitude = Signal(FP32.width - 1)
    m.d.comb += magnitude.eq(Mux(top | next_, Cat(fraction, field), 0))
    with m.If(x.product_nan):
        m.d.comb += magnitude.eq(FP32_NAN)
    with m.Elif(x.product_inf):
        m.d.comb += magnitude.eq(FP32.exponent_ones << FP32.fraction_bits)
    return Cat(magnitude, x.product_minus & ~x.product_nan)
