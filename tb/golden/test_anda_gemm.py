"""golden.anda's products against exact rational arithmetic on every kind of bit pattern."""

import dataclasses

import numpy as np
import pytest

from lamina_sim.golden import anda
from tb.golden import oracle_anda
from tb.golden.patterns import ALL, FINITE, ROUNDINGS, as_input


def weights(rng, k, n, bits, scale_group):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    groups = -(-k // scale_group)
    finite = FINITE[(FINITE & 0x7FFF) != 0]
    scales = rng.choice(finite, (groups, n)).view(np.float16)
    scales[0, 0] = 0
    return (
        rng.integers(low, high, (k, n)).astype(np.int8),
        scales,
        rng.integers(low, high, (groups, n)).astype(np.int8),
    )


def check_gemm(x, codes, scales, zeros, bits, **options):
    fmt = options.get("fmt", "fp16")
    got = anda.gemm(as_input(x, fmt), codes, scales, bits=bits, zero_points=zeros, **options)
    if zeros is None:
        zeros = np.zeros_like(scales, np.int8)
    options.setdefault("rounding", "truncate")
    wanted = oracle_anda.gemm(
        x.tolist(), codes.tolist(), scales.view(np.uint16).tolist(), zeros.tolist(), **options
    )
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.view(np.uint32), np.array(wanted, np.uint32))
    return got


@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
@pytest.mark.parametrize("mantissa_bits", range(1, 17))
def test_gemm(mantissa_bits, fmt, rng):
    """Every M, with the rounding, weight bits and shapes in rotation, all patterns as data."""
    bits = 2 + mantissa_bits % 7
    rounding = ROUNDINGS[mantissa_bits // 2 % 2]
    k, n = int(rng.integers(1, 300)), int(rng.integers(1, 6))
    special = 0x7C00 if fmt == "fp16" else 0x7F80
    x = rng.choice(ALL[(ALL & special) != special], (4, k))
    x[1] = x[1] & 0x83FF | 0x3800
    scale_group = (64, 128, k)[mantissa_bits % 3]
    codes, scales, zeros = weights(rng, k, n, bits, scale_group)
    check_gemm(
        x, codes, scales, zeros if mantissa_bits % 4 else None, bits,
        mantissa_bits=mantissa_bits, rounding=rounding, scale_group=scale_group, fmt=fmt,
    )  # fmt: skip


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("mantissa_bits", [13, 14, 15, 16])
def test_gemm_at_the_largest_sums(mantissa_bits, bits, rng):
    """Sums near the bound, odd in their lowest bit, where float32 sums are no longer exact."""
    k = 128
    # Most elements at the top of the range, the others just low enough to use the low bits.
    x = rng.integers(0x7B00, 0x7C00, (16, k)).astype(np.uint16)
    x[:, ::4] -= 0x400 * rng.integers(2, 6, (16, k // 4)).astype(np.uint16)
    x[:, ::4] |= 1
    low = -(2 ** (bits - 1))
    codes = rng.integers(low, low + 2, (k, 3)).astype(np.int8)
    zeros = np.full((1, 3), -low - 1, np.int8)
    scales = np.array([[1.0, -0.3337, 3.0]], np.float16)
    check_gemm(x, codes, scales, zeros, bits, mantissa_bits=mantissa_bits, scale_group=k)


def test_gemm_with_inf_and_nan(rng):
    k = 130
    x = rng.standard_normal((4, k)).astype(np.float16).view(np.uint16)
    x[0, 3], x[1, 70], x[2, 129] = 0x7C00, 0xFC00, 0x7E01
    codes, scales, zeros = weights(rng, k, 3, 4, 64)
    got = check_gemm(x, codes, scales, zeros, 4, mantissa_bits=8, scale_group=64)
    assert (got[:3].view(np.uint32) == 0x7FC00000).all()
    assert np.isfinite(got[3]).all()


def test_gemm_overflows_to_inf_and_nan():
    """BF16 at the top: f, r and the accumulator overflow by IEEE's rules."""
    x = np.full((2, 128), 0x7F7F, np.uint16)
    x[1, 64:] |= 0x8000
    codes = np.full((128, 2), 7, np.int8)
    scales = np.array([[2.0, 0.0]], np.float16)
    got = check_gemm(x, codes, scales, None, 4, mantissa_bits=8, scale_group=128, fmt="bf16")
    assert got[0, 0] == np.inf
    assert np.isnan(got[1, 0])
    assert np.isnan(got[0, 1])


def test_gemm_tiles_agree_with_slices(rng):
    """Rows and columns beyond one tile of the model's own blocking."""
    x = rng.standard_normal((300, 70)).astype(np.float16)
    codes = rng.integers(-8, 8, (70, 2100)).astype(np.int8)
    scales = rng.standard_normal((1, 2100)).astype(np.float16)
    whole = anda.gemm(x, codes, scales, mantissa_bits=6)
    part = anda.gemm(x[250:], codes[:, 2000:].copy(), scales[:, 2000:], mantissa_bits=6)
    np.testing.assert_array_equal(whole[250:, 2000:], part)


def test_dot_and_accumulate_make_the_gemm(rng):
    """The steps of the hardware, element then accumulator, give the same bits as ``gemm``."""
    x = rng.choice(FINITE, (3, 192)).view(np.float16)
    x[2, 100] = np.nan
    codes, scales, zeros = weights(rng, 192, 5, 4, 64)
    a = anda.encode(x, 7)
    acc = np.zeros((3, 5), np.float32)
    for g in range(3):
        b = codes[64 * g : 64 * g + 64].astype(np.int64) - zeros[g]
        group = dataclasses.replace(
            a,
            sign=a.sign[:, None, g],
            exponent=a.exponent[:, None, g],
            mantissa=a.mantissa[:, None, g],
        )
        dots = anda.dot(group, b.T[None])
        wanted = [
            [sum(int(m) * int(w) for m, w in zip(row[0], column, strict=True)) for column in b.T]
            for row in group.integers
        ]
        np.testing.assert_array_equal(dots, wanted)
        acc = anda.accumulate(acc, dots, group.exponent, scales[g : g + 1], mantissa_bits=7)
    whole = anda.gemm(x, codes, scales, mantissa_bits=7, zero_points=zeros, scale_group=64)
    np.testing.assert_array_equal(acc.view(np.uint32), whole.view(np.uint32))


X = np.ones((2, 128), np.float16)
CODES = np.ones((128, 3), np.int8)
SCALES = np.ones((1, 3), np.float16)


def product(x=X, codes=CODES, scales=SCALES, mantissa_bits=8, **options):
    return anda.gemm(x, codes, scales, mantissa_bits=mantissa_bits, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: product(x=X[0]), ValueError, "x must have 2 dimensions, not 1"),
        (lambda: product(x=X.astype(np.float32)), TypeError, "x must be float16, not float32"),
        (lambda: product(codes=CODES[:5]), ValueError, "as many rows as x has columns, 128, not 5"),
        (lambda: product(codes=CODES.astype(np.int16)), TypeError, "codes must be int8, not int16"),
        (
            lambda: product(codes=CODES * np.int8(8)),
            ValueError,
            "codes must be between -8 and 7 for 4 bits, not 8",
        ),
        (
            lambda: product(codes=CODES * np.int8(-9)),
            ValueError,
            "codes must be between -8 and 7 for 4 bits, not -9",
        ),
        (lambda: product(bits=9), ValueError, "bits must be between 2 and 8, not 9"),
        (lambda: product(scales=SCALES * np.float16("nan")), ValueError, "scales must be finite"),
        (lambda: product(scales=SCALES * np.float16("inf")), ValueError, "scales must be finite"),
        (lambda: product(scales=SCALES.astype(float)), TypeError, "scales must be float16, not"),
        (
            lambda: product(scale_group=64),
            ValueError,
            r"scales must have shape \(2, 3\), not \(1, 3\)",
        ),
        (
            lambda: product(scale_group=100),
            ValueError,
            r"scale_group must be a multiple of 64 or k itself \(128\), not 100",
        ),
        (
            lambda: product(zero_points=np.full((1, 3), 8, np.int8)),
            ValueError,
            "zero_points must be between -8 and 7 for 4 bits, not 8",
        ),
        (
            lambda: product(zero_points=np.zeros((2, 3), np.int8)),
            ValueError,
            r"zero_points must have shape \(1, 3\), not \(2, 3\)",
        ),
        (
            lambda: product(zero_points=np.zeros((1, 3), np.uint8)),
            TypeError,
            "zero_points must be int8, not uint8",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
