"""golden.ieee against the fraction oracle, ml_dtypes and every pattern of the 16-bit formats."""

import ml_dtypes
import numpy as np
import pytest

from lamina_sim.golden import ieee
from tb.golden import oracle
from tb.golden.patterns import ALL

# Zeros, the ends of subnormals and normals, ones, ties in the last place, Inf and NaNs.
CORNERS = [
    *(0, 1, 2, 3, 0x7FFFFF, 0x800000, 0x800001, 0xFFFFFF, 0x1000000, 0x0C000001),
    *(0x33800000, 0x33800001, 0x34000000, 0x3F000000, 0x3F7FFFFF, 0x3F800000, 0x3F800001),
    *(0x40000000, 0x4B800001, 0x5F3504F3, 0x1FFFFFFF, 0x20000000, 0x7F000000, 0x7F7FFFFF),
    *(0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF),
]
CORNERS += [corner | 1 << 31 for corner in CORNERS]


@pytest.mark.parametrize("form", [ieee.FP16, ieee.BF16], ids=lambda form: form.name)
def test_unpack_every_pattern(form):
    parts = ieee.unpack(ALL, form)
    for i, pattern in enumerate(ALL.tolist()):
        number = oracle.value(pattern, form.name)
        assert parts.sign[i] == pattern >> 15
        assert parts.nan[i] == (number != number)
        assert parts.inf[i] == (abs(number) == oracle.INF)
        unit = oracle.Fraction(2) ** (int(parts.exponent[i]) - form.bias - form.precision + 1)
        if oracle.is_special(number):
            _, exponent, fraction = oracle.fields(pattern, form.name)
            assert parts.exponent[i] == exponent
            assert parts.significand[i] == fraction + (1 << form.fraction_bits)
        else:
            assert parts.significand[i] * unit == abs(number)
            assert parts.significand[i] >> form.fraction_bits or parts.exponent[i] == 1


def test_oracle_agrees_with_numpy_and_ml_dtypes():
    """The oracle itself against two independent float implementations, every pattern."""
    halves = ALL.view(np.float16)
    brains = ALL.view(ml_dtypes.bfloat16)
    for i in range(0, 1 << 16):
        for number, fmt in ((float(halves[i]), "fp16"), (float(brains[i]), "bf16")):
            mine = oracle.value(i, fmt)
            assert mine == number or (mine != mine and number != number)
            if number == number:
                assert oracle.pattern(mine, fmt, negative_zero=i >> 15 == 1) == i


@pytest.mark.parametrize("name", ["add", "multiply"])
def test_fp32_operations(name, rng):
    golden, model = getattr(ieee, f"fp32_{name}"), getattr(oracle, name)
    grid = np.array(CORNERS, np.uint32)
    a, b = (side.ravel() for side in np.meshgrid(grid, grid))
    wild = rng.integers(0, 1 << 32, (2, 4000), dtype=np.uint32)
    # Exponents near each other, where additions cancel and round.
    near = wild & np.uint32(0x81FFFFFF) | np.uint32(0x3E000000)
    a, b = np.concatenate([a, wild[0], near[0]]), np.concatenate([b, wild[1], near[1]])
    wanted = [model(x, y, "fp32") for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    np.testing.assert_array_equal(golden(a, b), np.array(wanted, np.uint32))


def test_fp32_nans_are_canonical():
    nan, one = np.array([0xFFABCDEF], np.uint32), np.array([0x3F800000], np.uint32)
    assert ieee.fp32_add(nan, one) == ieee.fp32_multiply(one, nan) == 0x7FC00000
    infinity = np.array([0x7F800000], np.uint32)
    assert ieee.fp32_add(infinity, infinity | np.uint32(1 << 31)) == 0x7FC00000
    assert ieee.fp32_multiply(infinity, np.array([0], np.uint32)) == 0x7FC00000


def test_fp32_from_int(rng):
    edges = [0, 1, 3, 2**23 - 1, 2**24 - 1, 2**24 + 1, 2**24 + 3, 2**25 - 1, 2**53 + 1, 2**62 + 1]
    edges += [2**63 - 1, 2**63 - 2**38, 2**63 - 2**38 - 1, 2**40 + 2**16, 2**40 + 2**16 + 1]
    # Just over a tie by a bit that float64 would drop.
    edges += [2**60 + 2**36 + 1, 2**60 + 2**36 - 1, 2**60 + 2**36]
    n = np.array(edges + [-e for e in edges] + [-(2**63)], np.int64)
    exponent = np.arange(-240, 140, dtype=np.int32)
    pairs = [(int(a), int(e)) for a in n for e in exponent[:: 3 if abs(int(a)) > 99 else 1]]
    sizes = rng.integers(1, 64, 6000)
    random = [
        int(v) >> (63 - int(s))
        for v, s in zip(rng.integers(-(2**63), 2**63, 6000), sizes, strict=True)
    ]
    pairs += [(v, int(e)) for v, e in zip(random, rng.integers(-220, 130, 6000), strict=True)]
    got = ieee.fp32_from_int(
        np.array([v for v, _ in pairs], np.int64), np.array([e for _, e in pairs], np.int32)
    )
    wanted = [oracle.pattern(v * oracle.Fraction(2) ** e, "fp32") for v, e in pairs]
    np.testing.assert_array_equal(got.view(np.uint32), np.array(wanted, np.uint32))


def test_fp32_from_int_far_exponents():
    n = np.array([1, -1, 0], np.int64)
    got = ieee.fp32_from_int(n, np.int64(1) << 40).view(np.uint32)
    np.testing.assert_array_equal(got, np.array([0x7F800000, 0xFF800000, 0], np.uint32))
    got = ieee.fp32_from_int(n, -(np.int64(1) << 40)).view(np.uint32)
    np.testing.assert_array_equal(got, np.array([0, 0x80000000, 0], np.uint32))


@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
def test_narrowing_of_fp32(rng, fmt):
    """Every value of the format, the ties above, what is just beside them, and any pattern."""
    values = ALL.view(np.float16 if fmt == "fp16" else ml_dtypes.bfloat16)
    exact = values.astype(np.float32).view(np.uint32)
    ties = exact + np.uint32(0x1000 if fmt == "fp16" else 0x8000)
    wild = rng.integers(0, 1 << 32, 4000, np.uint32)
    bits = [exact, ties, ties - np.uint32(1), ties + np.uint32(1), wild]
    bits = np.concatenate([np.unique(np.concatenate(bits))[::7], np.array(CORNERS, np.uint32)])
    narrow = {"fp16": ieee.fp16_from_fp32, "bf16": ieee.bf16_from_fp32}[fmt]
    got = narrow(bits.view(np.float32)).view(np.uint16)
    wanted = [
        oracle.pattern(oracle.value(b, "fp32"), fmt, negative_zero=b >> 31 == 1)
        for b in bits.tolist()
    ]
    np.testing.assert_array_equal(got, np.array(wanted, np.uint16))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ieee.format_of("fp8"), ValueError, "fmt must be 'fp16' or 'bf16', not 'fp8'"),
        (
            lambda: ieee.fp32_add(np.zeros(1, np.float32), np.zeros(1, np.uint32)),
            TypeError,
            "a must be uint32, not float32",
        ),
        (
            lambda: ieee.fp32_from_int(np.zeros(1, np.int32)),
            TypeError,
            "n must be int64, not int32",
        ),
        (
            lambda: ieee.fp32_from_int(np.zeros(1, np.int64), 0.5),
            TypeError,
            "exponent must be of an integer dtype, not float64",
        ),
        (
            lambda: ieee.fp16_from_fp32(np.zeros(1)),
            TypeError,
            "x must be float32, not float64",
        ),
        (
            lambda: ieee.bf16_from_fp32(np.zeros(1, np.float16)),
            TypeError,
            "x must be float32, not float16",
        ),
        (lambda: ieee.unpack([1], ieee.FP16), TypeError, "bits must be a NumPy array of uint16"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
