"""IEEE 754 from first principles: Python integers and fractions, no NumPy, no golden model.

A number is a Fraction, or one of the Python floats inf, -inf and nan. Patterns are Python ints.
"""

import math
from fractions import Fraction

#: name: (exponent bits, fraction bits)
FORMATS = {"fp16": (5, 10), "bf16": (8, 7), "fp32": (8, 23)}
INF = math.inf
NAN = math.nan


def fields(pattern, fmt):
    """(sign, exponent field, fraction field) of a pattern."""
    exponent_bits, fraction_bits = FORMATS[fmt]
    text = f"{pattern:0{1 + exponent_bits + fraction_bits}b}"
    return int(text[0]), int(text[1 : 1 + exponent_bits], 2), int(text[1 + exponent_bits :], 2)


def value(pattern, fmt):
    """The number that a pattern stands for; -0 is 0."""
    exponent_bits, fraction_bits = FORMATS[fmt]
    sign, exponent, fraction = fields(pattern, fmt)
    bias = 2 ** (exponent_bits - 1) - 1
    if exponent == 2**exponent_bits - 1:
        return NAN if fraction else (-INF if sign else INF)
    if exponent == 0:
        magnitude = Fraction(fraction, 2**fraction_bits) * Fraction(2) ** (1 - bias)
    else:
        magnitude = (1 + Fraction(fraction, 2**fraction_bits)) * Fraction(2) ** (exponent - bias)
    return -magnitude if sign else magnitude


def is_special(number):
    return isinstance(number, float)


def pattern(number, fmt, negative_zero=False):
    """Rounds a number to the nearest pattern of ``fmt``, ties to even.

    ``negative_zero``: the sign that an exact zero takes.
    """
    exponent_bits, fraction_bits = FORMATS[fmt]
    bias = 2 ** (exponent_bits - 1) - 1
    infinity = (2**exponent_bits - 1) << fraction_bits
    top = 1 << (exponent_bits + fraction_bits)
    if is_special(number):
        if math.isnan(number):
            return infinity | (1 << (fraction_bits - 1))
        return infinity | (top if number < 0 else 0)
    if number == 0:
        return top if negative_zero else 0
    magnitude = abs(number)
    # The quotient of an i-bit by a j-bit integer lies above 2^(i - j - 1).
    guess = magnitude.numerator.bit_length() - magnitude.denominator.bit_length() - 1
    exponent = max(1 - bias, min(guess, bias + 1))
    while Fraction(2) ** (exponent + 1) <= magnitude and exponent <= bias:
        exponent += 1
    # Python rounds a Fraction to the nearest integer, ties to even. Neighbouring patterns count
    # neighbouring values, so a carry into the exponent, or into Inf, needs no special care.
    units = round(magnitude / Fraction(2) ** (exponent - fraction_bits))
    result = min(((exponent + bias - 1) << fraction_bits) + units, infinity)
    return result | (top if number < 0 else 0)


def add(a, b, fmt):
    """IEEE sum of two patterns, but that an exact zero is +0 whatever its terms."""
    x, y = value(a, fmt), value(b, fmt)
    if is_special(x) or is_special(y):
        return pattern(float(x if is_special(x) else 0) + float(y if is_special(y) else 0), fmt)
    return pattern(x + y, fmt)


def multiply(a, b, fmt):
    """IEEE product of two patterns."""
    x, y = value(a, fmt), value(b, fmt)
    if is_special(x) or is_special(y):
        # Only the sign and being zero of the finite factor matter.
        signs = [z if is_special(z) else float((z > 0) - (z < 0)) for z in (x, y)]
        return pattern(signs[0] * signs[1], fmt)
    return pattern(x * y, fmt, negative_zero=fields(a, fmt)[0] != fields(b, fmt)[0])


def scaled_accumulate(acc, number, scale):
    """FP32(acc + FP32(FP32(number) * scale)) on FP32 patterns; ``scale`` is an FP16 pattern."""
    scale32 = pattern(value(scale, "fp16"), "fp32", negative_zero=scale >> 15 == 1)
    return add(acc, multiply(pattern(number, "fp32"), scale32, "fp32"), "fp32")
