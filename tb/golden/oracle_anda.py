"""Anda as exact rational arithmetic: no NumPy, no golden model."""

from fractions import Fraction

from tb.golden import oracle

BIAS = {"fp16": 15, "bf16": 127}


def encode_group(patterns, mantissa_bits, rounding, fmt="fp16"):
    """(signs, shared exponent, mantissas) of the 16-bit patterns of a group."""
    fraction_bits = oracle.FORMATS[fmt][1]
    parts = [oracle.fields(p, fmt) for p in patterns]
    shared = max(max(exponent, 1) for _, exponent, _ in parts)
    mantissas = []
    for _, exponent, fraction in parts:
        # Inf and NaN take part as if their exponent went on counting.
        significand = fraction + (2**fraction_bits if exponent else 0)
        # The element over the unit of the group, as a ratio of integers.
        numerator = significand * 2**mantissa_bits * 2 ** max(exponent, 1)
        denominator = 2 * 2**fraction_bits * 2**shared
        count, rest = divmod(numerator, denominator)
        if rounding == "nearest":
            up = 2 * rest > denominator or (2 * rest == denominator and count % 2 == 1)
            count = min(count + up, 2**mantissa_bits - 1)
        mantissas.append(count)
    return [sign for sign, _, _ in parts], shared, mantissas


def decode_group(signs, shared, mantissas, mantissa_bits, fmt="fp16"):
    """The numbers of a group; all NaN if its exponent is all ones."""
    if shared == 2 ** oracle.FORMATS[fmt][0] - 1:
        return [oracle.NAN] * len(signs)
    unit = Fraction(2) ** (shared - BIAS[fmt] - mantissa_bits + 1)
    return [(-1) ** s * m * unit for s, m in zip(signs, mantissas, strict=True)]


def gemm(x, codes, scales, zeros, *, mantissa_bits, scale_group, rounding, fmt="fp16"):
    """FP32 patterns [m][n] of x (patterns [m][k]) times codes [k][n]; scales are FP16 patterns."""
    return [
        [
            _element(
                row,
                [line[j] for line in codes],
                [line[j] for line in scales],
                [line[j] for line in zeros],
                mantissa_bits,
                scale_group,
                rounding,
                fmt,
            )
            for j in range(len(codes[0]))
        ]
        for row in x
    ]


def _element(row, codes, scales, zeros, mantissa_bits, scale_group, rounding, fmt):
    acc = 0
    for start in range(0, len(row), 64):
        g = start // scale_group
        group = row[start : start + 64]
        numbers = decode_group(
            *encode_group(group, mantissa_bits, rounding, fmt), mantissa_bits, fmt
        )
        weights = [code - zeros[g] for code in codes[start : start + 64]]
        if any(oracle.is_special(number) for number in numbers):
            total = oracle.NAN
        else:
            total = sum((a * b for a, b in zip(numbers, weights, strict=True)), Fraction(0))
        acc = oracle.scaled_accumulate(acc, total, scales[g])
    return acc
