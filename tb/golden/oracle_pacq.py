"""PacQ as exact rational arithmetic, and as printed with FP16 at every step; no NumPy."""

from fractions import Fraction

from tb.golden import oracle


def _columns(matrix):
    return list(zip(*matrix, strict=True))


def gemm(x, codes, scales, zeros, *, scale_group):
    """FP32 patterns [m][n] of x (FP16 patterns [m][k]) times codes [k][n]."""
    columns = list(zip(_columns(codes), _columns(scales), _columns(zeros), strict=True))
    return [[_element(row, *column, scale_group) for column in columns] for row in x]


def _element(row, codes, scales, zeros, scale_group):
    acc = 0
    for g, start in enumerate(range(0, len(row), scale_group)):
        finite, special = Fraction(0), 0.0
        for a, code in zip(
            row[start : start + scale_group], codes[start : start + scale_group], strict=True
        ):
            number, weight = oracle.value(a, "fp16"), code - zeros[g]
            if oracle.is_special(number):
                special += number * weight
            else:
                finite += number * weight
        # A sum of infinities starts at 0.0, which any Inf or NaN leaves behind.
        total = finite if special == 0.0 else special
        acc = oracle.scaled_accumulate(acc, total, scales[g])
    return acc


def gemm_as_printed(x, codes, scales, *, bits, scale_group):
    """FP16 patterns [m][n]; every operation is one IEEE FP16 operation on patterns."""
    columns = list(zip(_columns(codes), _columns(scales), strict=True))
    return [[_printed_element(row, *column, bits, scale_group) for column in columns] for row in x]


def _printed_element(row, codes, scales, bits, scale_group):
    def add(a, b):
        return oracle.add(a, b, "fp16")

    def multiply(a, b):
        return oracle.multiply(a, b, "fp16")

    offset = 1024 + 2 ** (bits - 1)
    total = 0
    for g, start in enumerate(range(0, len(row), scale_group)):
        group = list(
            zip(row[start : start + scale_group], codes[start : start + scale_group], strict=True)
        )
        group += [(0, 0)] * (-len(group) % 4)
        dot = activation_sum = 0
        for first in range(0, len(group), 4):
            p = [
                multiply(a, oracle.pattern(Fraction(code + offset), "fp16"))
                for a, code in group[first : first + 4]
            ]
            dot = add(dot, add(add(p[0], p[1]), add(p[2], p[3])))
        for a, _ in group:
            activation_sum = add(activation_sum, a)
        correction = multiply(oracle.pattern(Fraction(offset), "fp16"), activation_sum)
        total = add(total, multiply(add(dot, correction ^ 0x8000), scales[g]))
    return total
