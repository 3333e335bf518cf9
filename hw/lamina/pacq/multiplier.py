"""One FP16 activation times all weights of a packed word."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.arith.products import join_parts
from lamina.formats.packed import (
    WORD_COLUMNS_MAX,
    multiplicand_layout,
    products_layout,
    weights_per_word,
)
from lamina.pacq.fp16_product import multiply_parts, normalise_product, unpack_factors
from lamina.pacq.unpack import SIGNIFICAND_BITS, Unpacked
from lamina.parameters import check_flag

__all__ = ["Multiplier", "MultiplierParameters"]


@dataclass(frozen=True, kw_only=True)
class MultiplierParameters(PipelineParameters):
    """``fp16``: words are also multiplied as FP16 numbers, beside the array; one stage more.

    Both weight widths share the one array: otherwise there is nothing to choose but ranks and tag.
    """

    fp16: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_flag("fp16", self.fp16)

    @property
    def stages(self):
        """Unpack the activation, multiply by the word's 2-bit digits, join the digits."""
        if self.fp16:
            return (_unpack_both, _multiply_both, join_parts, _join_both)
        return (_unpack, _multiply_digits, _join_digits)

    @property
    def operands(self):
        """Fields of `multiplicand_layout`."""
        return dict(multiplicand_layout().members)

    @property
    def results(self):
        """Fields of `products_layout`."""
        return dict(products_layout(fp16=self.fp16).members)


class Multiplier(Pipeline):
    """FP16 times 4 INT4 or 8 INT2 weights a cycle, exact.

    Members
    -------
    i : In(stream) of `multiplicand_layout` and ``tag``
        An activation and a word of weights.
    o : Out(stream) of `products_layout` and ``tag``
        Per weight j the signed significand (-1)^s * F * B_j; once, the exponent max(e, 1) and the
        flags of the activation. INT4 fills ``products[0..3]`` and leaves the others 0. With
        ``parameters.fp16`` also ``value``, the activation times the word taken as FP16.

    Timing: three cycles of latency, with FP16 four; one word a cycle.

    Numerics: nothing is rounded; the product is ``products[j] * 2^(exponent - 25)``. An infinite or
    NaN activation sets its flag; the products then follow the formula and mean nothing. ``value``
    is exact too, as FP32 holds 22 bits at any exponent of a product: IEEE 754, subnormal factors
    kept, NaN 0x7FC00000.

    Source: the parallel FP-INT-16 multiplier of PacQ (DAC 2025, section III) without its 1024 term:
    the array's 12 adders serve both widths, and there is no hidden bit to add.
    """


def _unpack(m: Module, i) -> dict[str, Value]:
    a = Unpacked(i.a)
    beside = {"exponent": a.exponent, "inf": a.inf, "nan": a.nan}
    return {"significand": a.significand, "word": i.word, "int2": i.int2, **beside}


def _multiply_digits(m: Module, i) -> dict[str, Value]:
    """First adders: F times each of the eight 2-bit digits of the word."""
    significand = i.significand.as_unsigned()
    digits = {}
    for field in range(WORD_COLUMNS_MAX):
        low, high = i.word[2 * field], i.word[2 * field + 1]
        # The high digit of an INT4 code, and each INT2 code, is stored with 2 added: its top bit
        # stands for bit - 1. That makes the row -(F & ~bit), whose + 1 is the adder's carry-in.
        offset = i.int2 if field % 2 == 0 else Const(1)
        top = significand & (high ^ offset).replicate(SIGNIFICAND_BITS)
        top = (top ^ offset.replicate(SIGNIFICAND_BITS)).as_signed()
        row = (significand & low.replicate(SIGNIFICAND_BITS)).as_signed()
        # F * d, d from -2 to 3. Bit 0 of the lower row has nothing to be added to.
        product = Signal(signed(SIGNIFICAND_BITS + 2), name=f"digit_product_{field}")
        m.d.comb += product.eq(Cat(row[0], row[1:].as_signed() + top + offset))
        digits[f"digit{field}"] = product
    return {"int2": i.int2, "exponent": i.exponent, "inf": i.inf, "nan": i.nan, **digits}


def _join_digits(m: Module, i) -> dict[str, Value]:
    """Second adders: an INT4 product is four times its high digit's plus its low digit's."""
    digits = [getattr(i, f"digit{field}") for field in range(WORD_COLUMNS_MAX)]
    products = []
    for column, alone in enumerate(digits):
        joined = Const(0)
        if column < weights_per_word(4):
            low, high = digits[2 * column : 2 * column + 2]
            joined = Cat(low[:2], (low >> 2) + high).as_signed()
        product = Signal(signed(16), name=f"product_{column}")
        m.d.comb += product.eq(Mux(i.int2, alone, joined))
        products.append(product)
    return {"products": Cat(products), "exponent": i.exponent, "inf": i.inf, "nan": i.nan}


def _unpack_both(m: Module, i) -> dict[str, Value]:
    return _unpack(m, i) | unpack_factors(m, i.a, i.word)


def _multiply_both(m: Module, i) -> dict[str, Value]:
    return _multiply_digits(m, i) | multiply_parts(m, i)


def _join_both(m: Module, i) -> dict[str, Value]:
    return _join_digits(m, i) | {"value": normalise_product(m, i)}
