"""The arithmetic of a sum unit: from what beat sums hold to FP32, times the scale."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned

from lamina.anda.multiples import multiply
from lamina.arith import rounding
from lamina.arith.booth import booth_columns
from lamina.arith.compressor_tree import (
    carry_save,
    compress_rows,
    reduce_levels,
)
from lamina.arith.int_to_fp32 import IntToFp32Parameters
from lamina.arith.leading_zeros import count_leading_zeros
from lamina.arith.pipeline import PipelineParameters, Stage
from lamina.arith.rounding import (
    ROUND_STAGES,
    jam,
    keep,
    round_bounded,
    round_chained,
    round_to_nearest_even,
    rounded_bits,
    shift_left,
)
from lamina.arith.unpack import unpack
from lamina.formats.anda import MANTISSA_BITS_MAX, WIDE_SCALE
from lamina.formats.ieee import FP32

__all__ = ["NORMALISED", "ConvertParameters", "ScaleParameters", "exponent_of", "rounding_of"]


#: What `round_to_nearest_even` takes, with the exponent as wide as sums may make it, and ``zeros``
#: to be taken off it: that would be late where they are counted.
NORMALISED = {
    "sign": unsigned(1),
    "exponent": signed(FP32.exponent_bits + 4),
    "zeros": range(64),
    "significand": unsigned(rounded_bits()),
    "nan": unsigned(1),
}


@dataclass(frozen=True, kw_only=True)
class ConvertParameters(IntToFp32Parameters):
    """`IntToFp32Parameters` of the sums of ``planes`` a beat, corrected, and not rounded yet.

    ``exact``: they are the sums of groups already, and need no correction.

    `ScaleParameters` begin with that, and if `carryless`, with the exponents, which are not here.
    """

    planes: int = 1
    exact: bool = False

    @property
    def stages(self):
        if self.carryless:
            return (_correct, _invert_negative, _count_zeros, _normalise)
        return (_correct_and_keep, *super().stages[:-1])

    @property
    def carryless(self) -> bool:
        """Whether negative sums are inverted only, and so one too small: see `_round_later`."""
        return self.stages_per_rank > 1 and rounding.normalise in super().stages

    @property
    def results(self):
        return {name: shape for name, shape in NORMALISED.items() if name not in self.late}

    @property
    def late(self) -> dict:
        """What is no operand, but comes with the results."""
        exponent = {"exponent": unsigned(FP32.exponent_bits), "nan": unsigned(1)}
        return exponent if self.carryless else {}

    @property
    def operands(self):
        fraction = self.planes - 1
        high = self.width - MANTISSA_BITS_MAX
        # What makes sums of groups: carries, at their places beside ``high``, and corrections.
        completing = {"carries": unsigned(high + fraction), "correction": unsigned(high)}
        return {
            "high": unsigned(high + fraction),
            "low": unsigned(MANTISSA_BITS_MAX - fraction),
            "mask": unsigned(MANTISSA_BITS_MAX - fraction),
            **({} if self.exact else completing),
            **({} if self.late else {"exponent": signed(self.exponent_bits), "nan": unsigned(1)}),
        }


def _correct(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Complete the sum: NOT of what the beat sum holds, plus what belongs to its top plane.

    Of a `ChainSum`: what it holds, as it is.
    """
    if not hasattr(x, "correction"):
        return {"value": Cat(x.low & x.mask, x.high).as_signed()}
    fraction = len(x.high) - len(x.correction)
    high = Signal(len(x.correction))
    m.d.comb += high.eq(x.correction + ~x.high[fraction:] - x.carries[fraction:])
    value = Cat(~x.low & x.mask, ~x.high[:fraction], high)
    return {"value": value.as_signed()}


def _correct_and_keep(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    return _correct(m, x) | keep(x, "exponent", "nan")


def _invert_negative(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Split sign from magnitude, but for one: that of a negative sum is so much larger.

    So no carry runs. What is shifted in from below belongs to it: ones.
    """
    sign = x.value[-1]
    magnitude = x.value.as_unsigned() ^ sign.replicate(len(x.value))
    return {"sign": sign, "magnitude": magnitude}


def _count_zeros(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    zeros = count_leading_zeros(m, x.magnitude)
    return keep(x, "sign", "magnitude") | {"zeros": zeros}


def _normalise(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Move the leading one of ``magnitude`` to the top.

    The last bit says whether any below the guard bit differs from what is shifted in.
    """
    width = rounded_bits()
    magnitude = Cat(x.sign.replicate(max(width - len(x.magnitude), 0)), x.magnitude)
    shifted = shift_left(m, magnitude, x.zeros, x.sign)
    lost = len(shifted) - width + 1
    sticky = (shifted[:lost] ^ x.sign.replicate(lost)).any()
    return keep(x, "sign", "zeros") | {"significand": Cat(sticky, shifted[lost:])}


@dataclass(frozen=True, kw_only=True)
class ScaleParameters(PipelineParameters):
    """A sum, rounded to FP32, times a `WIDE_SCALE`.

    ``bounded``: neither sums nor products are subnormal or Inf. That is so for FP16 activations,
    whose products are multiples of 2^-53 and below 2^60. ``multiples``: rows of the product are
    multiples of the scale, whose threefold comes as ``triple``: the smallest on cells. Else they
    are Booth's.
    """

    bounded: bool = True
    multiples: bool = False

    @property
    def stages(self):
        return self.on(None)

    def on(self, platform) -> tuple[Stage, ...]:
        """Return the stages with the full adders of ``platform``."""
        bounded = rounding_of(self)
        to_nearest = bounded if self.bounded else round_to_nearest_even
        normal = (_add_normalised, bounded)
        return (
            _round_later if self.rounds_later else _rounded_first(to_nearest),
            *self._rows(platform),
            *(normal if self.bounded else (_add_rows, *ROUND_STAGES)),
        )

    @property
    def rounds_later(self) -> bool:
        """Whether the sum is rounded by a row of the product: subnormals would need to be first."""
        return self.bounded and self.multiples

    @property
    def operands(self):
        triple = {"triple": unsigned(WIDE_SCALE.precision + 2)} if self.multiples else {}
        return NORMALISED | {"b": unsigned(WIDE_SCALE.width)} | triple

    @property
    def results(self):
        return {"value": unsigned(FP32.width)}

    def _rows(self, platform) -> tuple[Stage, ...]:
        def multiply_rows(m: Module, x: SimpleNamespace) -> dict[str, Value]:
            """Multiply the significands; of Booth's product rows are still to be added."""
            a, b = x if self.rounds_later else self._unpacked(x), unpack(WIDE_SCALE, x.b)
            significand, scale = Signal(FP32.precision), Signal(WIDE_SCALE.precision)
            m.d.comb += [significand.eq(a.significand), scale.eq(b.significand)]
            if self.multiples:
                product = multiply(m, platform, significand, scale, x.triple, a.up)
                # Normal factors leave one bit more than what is rounded; the rest is but sticky.
                rows = {"rows_0": jam(product, rounded_bits() + 1) if self.bounded else product}
            else:
                columns = booth_columns(m, significand, scale)
                rows = {f"column_{place}": Cat(bits) for place, bits in enumerate(columns)}
            return rows | {
                "sign": a.sign ^ b.sign,
                # The field of the product's top bit: both factors are below 2, it is below 4.
                "exponent": a.exponent + b.exponent - (WIDE_SCALE.bias - 1),
                "nan": a.nan | (a.inf & b.zero),
                "inf": a.inf,
            }

        return (multiply_rows,) if self.multiples else (multiply_rows, _reduce_rows)

    def _unpacked(self, x: SimpleNamespace) -> SimpleNamespace:
        """Return the parts of a rounded sum."""
        a = unpack(FP32, x.a)
        if self.bounded:
            a.nan, a.inf = exponent_of(x.a).all(), Const(0)
        a.up = Const(0)
        return a


def _reduce_rows(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Add what there is of each weight, up to three rows."""
    columns = [list(bits) for name, bits in vars(x).items() if name.startswith("column_")]
    rows = carry_save(m, None, columns, reduce_levels, 3)
    numbered = {f"rows_{number}": row for number, row in enumerate(rows)}
    return numbered | keep(x, "sign", "exponent", "nan", "inf")


def rounding_of(parameters: PipelineParameters) -> Callable:
    """Return what rounds values that are known to be neither subnormal nor too large."""
    return round_chained if parameters.stages_per_rank == 1 else round_bounded


def _rounded_first(to_nearest: Stage) -> Stage:
    def round_sum(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        """Round the sum, which is no infinity before that."""
        ready = SimpleNamespace(**vars(x) | {"exponent": x.exponent - x.zeros, "inf": Const(0)})
        return {"a": to_nearest(m, ready)["value"]} | _scale(x)

    return round_sum


def _round_later(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Find whether the sum is rounded up: that is a row of the product.

    What a negative sum lacks is a carry that ends below the guard bit, but if all is ones there.
    """
    sticky, guard, lowest = x.significand[:3]
    up = Mux(x.sign, guard | (~sticky & lowest), guard & (sticky | lowest))
    return keep(x, "sign", "nan") | _scale(x) | {
        "exponent": (x.exponent - x.zeros)[: FP32.exponent_bits],
        "significand": x.significand[2:],
        "up": up,
        "inf": Const(0),
    }  # fmt: skip


def _scale(x: SimpleNamespace) -> dict[str, Value]:
    return {name: value for name, value in vars(x).items() if name in ("b", "triple")}


def exponent_of(pattern: Value) -> Value:
    """Return the exponent field of an FP32 pattern."""
    return pattern[FP32.fraction_bits : -1]


def _product(m: Module, x: SimpleNamespace) -> Value:
    """Return the product of the significands, complete."""
    rows = [value for name, value in vars(x).items() if name.startswith("rows_")]
    return compress_rows(m, None, rows, len(rows[0]))


def _add_rows(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Complete the product."""
    return keep(x, "sign", "exponent", "nan", "inf") | {"magnitude": _product(m, x)}


def _add_normalised(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """As that, with the leading one at the top: of two normal factors it is there or below."""
    product = _product(m, x)
    high = product[-1]
    significand = Mux(high, product, Cat(Const(0, 1), product[:-1]))
    return keep(x, "sign", "nan", "inf") | {
        "exponent": x.exponent - 1 + high,
        "significand": jam(significand, rounded_bits()),
    }
