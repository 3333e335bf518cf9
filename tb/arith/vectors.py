"""FP32 operands for the arithmetic tests, as uint32 patterns: where rounding and ranges turn."""

import numpy as np

#: Both ends and the middle of a 23-bit fraction, and single bits that make ties and sticky bits.
FRACTIONS = np.array(
    [0, 1, 2, 3, 0x3FFFFF, 0x400000, 0x400001, 0x555555, 0x7FFFFD, 0x7FFFFE, 0x7FFFFF], np.uint32
)

#: Subnormals, the least normals, around 1.0, both sides of overflow, Inf and NaN.
EXPONENTS = np.array([0, 1, 2, 23, 24, 25, 103, 126, 127, 128, 150, 230, 253, 254, 255], np.uint32)


def pattern(sign, exponent, fraction) -> np.ndarray:
    """Join fields, which broadcast, to FP32 patterns."""
    parts = np.broadcast_arrays(sign, exponent, fraction)
    sign, exponent, fraction = (part.astype(np.uint32) for part in parts)
    return sign << 31 | exponent << 23 | fraction


def grid(*axes) -> list[np.ndarray]:
    """Return every combination of ``axes`` as one flat array per axis."""
    return [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]


def corners() -> np.ndarray:
    """All signs, turning exponents and turning fractions."""
    return pattern(*grid([0, 1], EXPONENTS, FRACTIONS))


def all_pairs(patterns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every ordered pair."""
    a, b = grid(patterns, patterns)
    return a, b


def aligned_pairs() -> tuple[np.ndarray, np.ndarray]:
    """Sums whose smaller operand lies at every distance, with one bit at every place below.

    So guard, round and sticky bits are each set alone and together, with and without a carry and a
    cancellation, in the subnormal range, in the middle and near overflow.
    """
    bits = np.concatenate([[0, 0x7FFFFF], 1 << np.arange(23)]).astype(np.uint32)
    top, distance, sign, large, small = grid(
        [1, 2, 24, 100, 254], np.arange(30), [0, 1], [0, 1, 2, 0x7FFFFE, 0x7FFFFF], bits
    )
    return pattern(0, top, large), pattern(sign, np.maximum(top - distance, 0), small)


def cancelling_pairs(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences of neighbours: the leading one of the result falls to every place."""
    a = random_patterns(rng, count)
    offset = np.int64(1) << rng.integers(0, 25, count)
    near = a.astype(np.int64) + offset * rng.choice([-1, 0, 1], count)
    return a, (near & 0xFFFFFFFF).astype(np.uint32) ^ np.uint32(1 << 31)


def product_pairs() -> tuple[np.ndarray, np.ndarray]:
    """Products over every depth of the subnormal range and past both its ends, and overflow."""
    # Factors 1.5 and 2^n times a short significand make exact ties at each depth.
    fractions = np.array([0, 1, 0x400000, 0x600000, 0x7FFFFF], np.uint32)
    exponents = np.concatenate([np.arange(100, 130), np.arange(378, 386)])
    total, a, b = grid(exponents, fractions, FRACTIONS)
    first = np.clip(total // 2, 1, 254)
    a, b = pattern(0, first, a), pattern(1, np.clip(total - first, 0, 254), b)
    subnormal, shift, fraction = grid(1 << np.arange(23), np.arange(96, 160), fractions)
    return (
        np.concatenate([a, pattern(0, 0, subnormal)]),
        np.concatenate([b, pattern(0, shift, fraction)]),
    )


def random_patterns(rng: np.random.Generator, count: int) -> np.ndarray:
    """Uniform bits, one in eight with the exponent of a subnormal."""
    drawn = rng.integers(0, 1 << 32, count, dtype=np.uint32)
    subnormal = rng.random(count) < 1 / 8
    return np.where(subnormal, drawn & np.uint32(0x807FFFFF), drawn)


def near_pairs(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random pairs whose exponents differ by at most 27, so that their sum has work to do."""
    a, b = random_patterns(rng, count), random_patterns(rng, count)
    exponent = (a >> 23 & 255).astype(np.int64) + rng.integers(-27, 28, count)
    return a, pattern(b >> 31, np.clip(exponent, 0, 254), b & 0x7FFFFF)


def range_edge_pairs(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random pairs whose product lies around the subnormal range or around overflow."""
    a, b = random_patterns(rng, count), random_patterns(rng, count)
    total = np.where(
        rng.random(count) < 0.8, *rng.integers([[100], [376]], [[135], [386]], (2, count))
    )
    exponent = total - (a >> 23 & 255).astype(np.int64)
    return a, pattern(b >> 31, np.clip(exponent, 0, 254), b & 0x7FFFFF)


def joined(*pairs) -> tuple[np.ndarray, np.ndarray]:
    """Put sets of pairs one after the other."""
    a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return a, b


def integers(
    rng: np.random.Generator, width: int, exponent_bits: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Integers of ``width`` bits (to 64) with exponents: corners, then ``count`` random ones.

    Corners: each power of two and its neighbours, both signs, and 25 ones with every tail, so that
    rounding carries; with the exponents at which results turn subnormal, vanish and overflow.
    """
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    powers = [1 << place for place in range(width)]
    runs = [(0x1FFFFFF << place) + tail for place in range(width) for tail in (-1, 0, 1, 2)]
    near = {s * (p + d) for p in (*powers, *runs) for d in (-1, 0, 1) for s in (-1, 1)}
    values = np.array(sorted(v for v in near if low <= v <= high), np.int64)
    bound = 1 << (exponent_bits - 1)
    turning = [-bound, 1 - bound, 0, bound - 1]
    turning += [e - place for e in (-150, -149, -126, 103, 127) for place in range(0, width, 3)]
    exponents = np.array(sorted({e for e in turning if -bound <= e < bound}))
    value, exponent = grid(values, exponents)
    drawn = rng.integers(low, high, count, dtype=np.int64, endpoint=True)
    drawn >>= rng.integers(0, width, count)
    return (
        np.concatenate([value, drawn]),
        np.concatenate([exponent, rng.integers(-bound, bound, count)]),
    )
