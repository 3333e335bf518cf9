"""The shared end of all floating-point units: normalise, denormalise, round to nearest even, pack.

A value on its way through is {sign, exponent, significand}: ``significand`` has the bits of the
format, FP32 where nothing is said (`of_format`), a guard bit and a sticky bit; ``exponent`` is the
exponent field that its top bit stands for. Flags ``nan`` and ``inf`` override it.
"""

import functools
from collections.abc import Callable
from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from lamina.arith.leading_zeros import count_leading_zeros
from lamina.formats.ieee import FP32, Format

__all__ = [
    "ROUND_NORMAL_STAGES",
    "ROUND_STAGES",
    "ROUND_WIDE_STAGES",
    "denormalise",
    "depth_of",
    "jam",
    "keep",
    "of_format",
    "round_bounded",
    "round_chained",
    "round_stages",
    "round_to_nearest_even",
    "rounded_bits",
    "shift_left",
    "shift_right",
]

#: Low bits of a wide shift to normal form, left to its second half.
_FINE_BITS = 4

_ZERO = Const(0, 1)

#: Bits of an incremented number that a carry skips at a time.
_SKIPPED = 4


def rounded_bits(fmt: Format = FP32) -> int:
    """Significand, guard and sticky bit: all that rounding to nearest even looks at."""
    return fmt.precision + 2


def _shift_bits(fmt: Format) -> int:
    """Return log2 of a right shift that leaves no more than the sticky bit of `rounded_bits`."""
    return rounded_bits(fmt).bit_length()


def of_format(stage: Callable, fmt: Format) -> Callable:
    """Return a stage that is FP32's where nothing is said as that of ``fmt``."""

    @functools.wraps(stage)
    def formatted(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        return stage(m, x, fmt)

    return formatted


def keep(x: SimpleNamespace, *names: str) -> dict[str, Value]:
    """Return the values of ``x`` that a stage only passes on."""
    return {name: getattr(x, name) for name in names}


def jam(value: Value, width: int) -> Value:
    """Return the top ``width`` bits of ``value``, the last of them ORed with all bits below.

    Shorter values get zeros below. What is rounded later is rounded as if nothing were lost.
    """
    value = Cat(Const(0, max(width - len(value), 0)), value)
    cut = len(value) - width
    return Cat(value[: cut + 1].any(), value[cut + 1 :])


def shift_right(m: Module, value: Value, amount: Value, unit: int = 1) -> Value:
    """Return ``value >> amount * unit``, the bits lost ORed into bit 0. ``unit``: power of two.

    The longest step comes first: zeros of a last one would be resets of a rank behind it, which an
    FPGA brings there slowly.
    """
    for number, selected in reversed(list(enumerate(amount))):
        step = min(unit << number, len(value) - 1)
        lost = value[: step + 1].any()
        shifted = Signal(len(value))
        m.d.comb += shifted.eq(Mux(selected, Cat(lost, value[step + 1 :]), value))
        value = shifted
    return value


def shift_left(m: Module, value: Value, amount: Value, fill: Value = _ZERO) -> Value:
    """Return ``value << amount``, no longer than ``value``; the longest step first, as there.

    ``fill``, a bit, comes in from below.
    """
    for number, selected in reversed(list(enumerate(amount))):
        shifted = Signal(len(value))
        m.d.comb += shifted.eq(Mux(selected, Cat(fill.replicate(1 << number), value), value))
        value = shifted
    return value


def count_zeros(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Find the distance of ``magnitude`` (any width) from its normal form."""
    zeros = count_leading_zeros(m, x.magnitude)
    return keep(x, "sign", "exponent", "magnitude", "nan", "inf") | {"zeros": zeros}


def count_zeros_and_depth(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """As `count_zeros`; at the same time find how far below the normal range an exponent is."""
    return count_zeros(m, x) | {"depth": 1 - x.exponent}


def normalise_coarse(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Shift by all but the low bits of ``zeros``; those, and what they shift, go to `normalise`."""
    coarse = Cat(Const(0, _FINE_BITS), x.zeros[_FINE_BITS:])
    shifted = shift_left(m, x.magnitude, coarse)
    return keep(x, "sign", "nan", "inf") | {
        "exponent": x.exponent - coarse,
        "magnitude": jam(shifted, rounded_bits() + (1 << _FINE_BITS) - 1),
        "zeros": x.zeros[:_FINE_BITS],
    }


def normalise(m: Module, x: SimpleNamespace, fmt: Format = FP32) -> dict[str, Value]:
    """Move the leading one of ``magnitude`` to the top and cut it to `rounded_bits`."""
    shifted = shift_left(m, x.magnitude, x.zeros)
    return keep(x, "sign", "nan", "inf") | {
        "exponent": x.exponent - x.zeros,
        "significand": jam(shifted, rounded_bits(fmt)),
    }


def normalise_and_measure(m: Module, x: SimpleNamespace, fmt: Format = FP32) -> dict[str, Value]:
    """As `normalise`; at the same time find how far below the normal range the result is."""
    distance = Signal(signed(len(x.depth) + 1))
    m.d.comb += distance.eq(x.depth + x.zeros)
    return normalise(m, x, fmt) | {"depth": depth_of(m, distance, fmt)}


def depth_of(m: Module, distance: Value, fmt: Format = FP32) -> Value:
    """Return how far to shift what is ``distance`` (signed) below the normal range, if it is."""
    bits = _shift_bits(fmt)
    depth = Signal(bits)
    with m.If(distance >= 0):
        far = distance[bits:].any()
        m.d.comb += depth.eq(distance[:bits] | far.replicate(bits))
    return depth


def denormalise(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Below the normal range, move the significand down to the weight of a subnormal's."""
    significand = shift_right(m, x.significand, x.depth)
    return keep(x, "sign", "exponent", "nan", "inf") | {"significand": significand}


def round_to_nearest_even(m: Module, x: SimpleNamespace, fmt: Format = FP32) -> dict[str, Value]:
    """Round and pack. A significand without its leading one is a subnormal or zero.

    Exponent and fraction are incremented as one number: the carry out of the fraction is right, up
    to Inf. Special values go in before the increment, so that nothing has to be selected after it.
    """
    field, above = x.exponent[: fmt.exponent_bits], x.exponent[fmt.exponent_bits :]
    # With a leading one the exponent is positive: too large a one shows in single bits.
    infinite = x.inf | (x.significand[-1] & (above.any() | field.all()))
    return _round(m, x, fmt, infinite, lambda base, carry: base + carry)


def round_bounded(m: Module, x: SimpleNamespace, fmt: Format = FP32) -> dict[str, Value]:
    """As `round_to_nearest_even`, for what is never infinite and never becomes so; for cells.

    NaN is told by its exponent: sign and fraction of it have no meaning.
    """
    return _round(m, x, fmt, Const(0), _incremented, marked=True)


def round_chained(m: Module, x: SimpleNamespace, fmt: Format = FP32) -> dict[str, Value]:
    """As `round_bounded` with all of a NaN, in a carry chain; for FPGAs."""
    return _round(m, x, fmt, Const(0), lambda base, carry: base + carry)


def _incremented(base: Value, carry: Value) -> Value:
    """Return ``base + carry`` without its carry out, which skips from block to block of bits.

    What synthesis makes of ``+`` for the fewest cells is one gate after the other.
    """
    bits = []
    for start in range(0, len(base), _SKIPPED):
        block = base[start : start + _SKIPPED]
        bits += [bit ^ (carry & block[:place].all()) for place, bit in enumerate(block)]
        carry = carry & block.all()
    return Cat(bits)


def _round(
    m: Module,
    x: SimpleNamespace,
    fmt: Format,
    too_large: Value,
    incremented: Callable,
    marked: bool = False,
) -> dict[str, Value]:
    sticky, guard, leading = x.significand[0], x.significand[1], x.significand[-1]
    fraction, field = x.significand[2:-1], x.exponent[: fmt.exponent_bits]
    infinite, base, increment = Signal(), Signal(fmt.width - 1), Signal()
    m.d.comb += [
        infinite.eq(too_large),
        base.eq(Cat(fraction, field & leading.replicate(len(field)))),
        increment.eq(guard & (sticky | fraction[0]) & ~infinite & ~x.nan),
    ]
    with m.If(x.nan):
        if marked:
            m.d.comb += base[fmt.fraction_bits :].eq(fmt.exponent_ones)
        else:
            m.d.comb += base.eq(fmt.nan)
    with m.Elif(infinite):
        m.d.comb += base.eq(fmt.exponent_ones << fmt.fraction_bits)
    magnitude = Signal(fmt.width - 1)
    m.d.comb += magnitude.eq(incremented(base, increment))
    return {"value": Cat(magnitude, x.sign if marked else x.sign & ~x.nan)}


#: From {sign, magnitude, exponent, nan, inf} to {value}; ``exponent`` is signed.
ROUND_STAGES = (count_zeros_and_depth, normalise_and_measure, denormalise, round_to_nearest_even)

#: The same for values that are never below the normal range.
ROUND_NORMAL_STAGES = (count_zeros, normalise, round_to_nearest_even)

#: The same for magnitudes so wide that a stage does not shift them.
ROUND_WIDE_STAGES = (count_zeros, normalise_coarse, normalise, round_to_nearest_even)


def round_stages(fmt: Format) -> tuple[Callable, ...]:
    """Return `ROUND_STAGES` of another format."""
    formatted = (normalise_and_measure, round_to_nearest_even)
    return tuple(of_format(s, fmt) if s in formatted else s for s in ROUND_STAGES)
