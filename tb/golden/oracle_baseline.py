"""The baselines as exact rational arithmetic: no NumPy, no golden model."""

from fractions import Fraction

from tb.golden import oracle


def lane(terms):
    """FP32 pattern of the sum, one rounding a term, of numbers that are exact or special."""
    acc = 0
    for term in terms:
        acc = oracle.add(acc, oracle.pattern(term, "fp32"), "fp32")
    return acc


def product(x, y):
    """x * y by IEEE's rules for two numbers, exact where it is finite."""
    if not (oracle.is_special(x) or oracle.is_special(y)):
        return x * y
    signs = [z if oracle.is_special(z) else float((z > 0) - (z < 0)) for z in (x, y)]
    return signs[0] * signs[1]


def fp_fp(a, b):
    """FP32 pattern of the dot product of FP16 patterns."""
    return lane(
        product(oracle.value(x, "fp16"), oracle.value(y, "fp16")) for x, y in zip(a, b, strict=True)
    )


def fp_int(a, b):
    """FP32 pattern of the dot product of FP16 patterns with integers."""
    return lane(product(oracle.value(x, "fp16"), Fraction(y)) for x, y in zip(a, b, strict=True))


def fp_dot(a, b, lanes, window_bits):
    """FP32 pattern of the windowed dot product of FP16 patterns."""
    starts = range(0, len(a), lanes)
    return lane(_window(a[s : s + lanes], b[s : s + lanes], window_bits) for s in starts)


def tree_dot(a, b, lanes, sums):
    """Pattern of the dot product of FP16 patterns with every step rounded to ``sums``."""
    acc = 0
    for start in range(0, len(a), lanes):
        pairs = zip(a[start : start + lanes], b[start : start + lanes], strict=True)
        level = [product(oracle.value(x, "fp16"), oracle.value(y, "fp16")) for x, y in pairs]
        level = [oracle.pattern(term, sums) for term in level]
        while len(level) > 1:
            level = [oracle.add(x, y, sums) for x, y in zip(level[::2], level[1::2], strict=True)]
        acc = oracle.add(acc, level[0], sums)
    return acc


def _window(a, b, window_bits):
    terms, weights = [], []
    for x, y in zip(a, b, strict=True):
        terms.append(product(oracle.value(x, "fp16"), oracle.value(y, "fp16")))
        # 2^weight: what the top bit of a product of these two stands for, 4 > product >= 0.
        weights.append(sum(max(oracle.fields(z, "fp16")[1], 1) - 15 for z in (x, y)) + 1)
    if any(map(oracle.is_special, terms)):
        return sum(float(t) if oracle.is_special(t) else 0.0 for t in terms)
    counted = [w for t, w in zip(terms, weights, strict=True) if t]
    if not counted:
        return Fraction(0)
    unit = Fraction(2) ** (max(counted) - window_bits + 1)
    # int() of a Fraction drops what is below one, toward zero.
    return sum((int(term / unit) * unit for term in terms), Fraction(0))
