"""The plane store on strings of binary digits, most significant first; no NumPy."""

from fractions import Fraction
from functools import cache

from tb.golden import oracle


def digits(code, bits):
    """A code's planes, plane 0 first: two's complement, or a float's pattern."""
    return f"{code % 2**bits:0{bits}b}"


def planes(codes, bits):
    """Planes of the codes of one block, each as bytes."""
    texts = [digits(code, bits) for code in codes]
    result = []
    for p in range(bits):
        number = sum(1 << i for i, text in enumerate(texts) if text[p] == "1")
        result.append(number.to_bytes(len(codes) // 8, "little"))
    return result


def narrow_integer(code, bits, keep, rounding):
    """What ``keep`` planes of an integer stand for, at the scale of the whole code."""
    step = 2 ** (bits - keep)
    if rounding == "truncate" or step == 1:
        return code // step * step
    half_up = (Fraction(code, step) + Fraction(1, 2)).__floor__()
    return min(half_up, 2 ** (keep - 1) - 1) * step


number_of = cache(oracle.value)


def narrow_float(pattern, fmt, keep, rounding):
    """What ``keep`` planes of a float stand for, as a pattern."""
    return pattern // 2**15 * 2**15 + _narrow_magnitude(pattern % 2**15, fmt, keep, rounding)


@cache
def _narrow_magnitude(magnitude, fmt, keep, rounding):
    exponent_bits, fraction_bits = oracle.FORMATS[fmt]
    infinity = (2**exponent_bits - 1) << fraction_bits
    step = 2 ** (16 - keep)
    below = magnitude // step * step
    if magnitude > infinity and below == infinity:
        return infinity + 2 ** (fraction_bits - 1)
    above = below + step
    if rounding == "truncate" or step == 1 or above >= infinity:
        return below
    # By value, not by bits: the nearer of the two neighbours, the upper one on a tie.
    exact, low, high = (number_of(p, fmt) for p in (magnitude, below, above))
    return above if high - exact <= exact - low else below


def read(codes, bits, narrow, kind, keep):
    """The lines of a block as one byte string; ``narrow`` maps a code to what is read of it."""
    narrowed = [narrow(code) for code in codes]
    if kind in ("full", "container"):
        width = 16 if bits == 16 else 8
        return b"".join((code % 2**width).to_bytes(width // 8, "little") for code in narrowed)
    lines = 1
    while lines < keep:
        lines *= 2
    if kind == "planes":
        data = b"".join(planes(narrowed, bits)[:keep])
    else:
        string = "".join(digits(code, bits)[:keep] for code in reversed(narrowed))
        data = int(string, 2).to_bytes(64 * keep, "little")
    return data.ljust(64 * lines, b"\0")
