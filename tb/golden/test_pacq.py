"""golden.pacq against exact rational arithmetic, every product, and the FP16 form as printed."""

import numpy as np
import pytest

from lamina_sim.golden import pacq
from tb.golden import oracle, oracle_pacq
from tb.golden.patterns import ALL, FINITE


@pytest.mark.parametrize("bits", [2, 4])
def test_pack_and_unpack_every_word(bits):
    codes = pacq.unpack(ALL, bits)
    per_word = 16 // bits
    assert codes.dtype == np.int8
    assert codes.shape == (len(ALL) * per_word,)
    for word in range(0, 1 << 16, 97):
        wanted = [(word >> bits * j) % 2**bits - 2 ** (bits - 1) for j in range(per_word)]
        assert codes[word * per_word : (word + 1) * per_word].tolist() == wanted
    np.testing.assert_array_equal(pacq.pack(codes, bits), ALL)
    matrix = codes[: 24 * per_word].reshape(4, -1)
    assert pacq.pack(matrix, bits).tolist() == ALL[:24].reshape(4, -1).tolist()
    np.testing.assert_array_equal(pacq.unpack(pacq.pack(matrix, bits), bits), matrix)


def test_word_layout():
    """Column 0 in the low bits, as offset codes."""
    codes = np.array([[-8, 7, 0, -1]], np.int8)
    assert pacq.pack(codes, 4).tolist() == [[0x78F0]]
    codes = np.array([[-2, 1, 0, -1, 1, 1, -2, -2]], np.int8)
    assert pacq.pack(codes, 2).tolist() == [[0b00_00_11_11_01_10_11_00]]


@pytest.mark.parametrize("bits", [2, 4])
def test_multiply_every_activation_by_every_code(bits):
    """All 65,536 FP16 patterns x all codes: the parts stand for exactly the product."""
    per_word = 16 // bits
    low = -(2 ** (bits - 1))
    # INT2 has four codes and a word takes eight: each stands in both halves.
    codes = np.resize(np.arange(low, low + 2**bits), 16 if bits == 4 else 8).astype(np.int8)
    words = pacq.pack(codes.reshape(-1, per_word), bits)[:, 0]
    products = pacq.multiply(ALL.view(np.float16)[:, None], words[None], bits)
    assert products.significand.shape == (1 << 16, len(words), per_word)
    assert products.significand.dtype == np.int32
    halves = ALL.view(np.float16)
    np.testing.assert_array_equal(products.nan[:, 0], np.isnan(halves))
    np.testing.assert_array_equal(products.inf[:, 0], np.isinf(halves))
    finite = np.isfinite(halves)
    # Scaled to integers and back, float64 holds every product exactly.
    value = np.ldexp(
        products.significand.astype(np.float64), products.exponent.astype(int)[..., None] - 25
    ).reshape(len(ALL), -1)
    wanted = halves[finite].astype(np.float64)[:, None] * codes
    np.testing.assert_array_equal(value[finite], wanted)
    assert (products.exponent[~finite] == 31).all()
    magnitude = np.abs(products.significand.reshape(len(ALL), -1)[:, 0]) // -low
    fraction = ALL & 0x3FF
    np.testing.assert_array_equal(magnitude, np.where(ALL & 0x7C00, fraction + 1024, fraction))


def test_multiply_fp16_against_float64(rng):
    """float64 holds every product of two FP16 numbers exactly."""
    a, b = (rng.permutation(ALL).view(np.float16) for _ in range(2))
    product = pacq.multiply_fp16(a, b)
    with np.errstate(invalid="ignore"):
        want = a.astype(np.float64) * b.astype(np.float64)
    np.testing.assert_array_equal(product, want)
    assert set(product[np.isnan(product)].view(np.uint32)) == {0x7FC00000}
    assert pacq.multiply_fp16(np.array(a[0]), np.array(b[0])).shape == ()


def weights(rng, k, n, bits, scale_group):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    groups = -(-k // scale_group)
    scales = rng.choice(FINITE, (groups, n)).view(np.float16)
    return (
        rng.integers(low, high, (k, n)).astype(np.int8),
        scales,
        rng.integers(low, high, (groups, n)).astype(np.int8),
    )


def check_gemm(x, codes, scales, zeros, bits, scale_group):
    got = pacq.gemm(
        x.view(np.float16), codes, scales, bits=bits, zero_points=zeros, scale_group=scale_group
    )
    if zeros is None:
        zeros = np.zeros(scales.shape, np.int8)
    wanted = oracle_pacq.gemm(
        x.tolist(),
        codes.tolist(),
        scales.view(np.uint16).tolist(),
        zeros.tolist(),
        scale_group=scale_group,
    )
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.view(np.uint32), np.array(wanted, np.uint32))
    return got


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 2), (2, 63, 3), (4, 130, 5), (3, 400, 4)])
@pytest.mark.parametrize("scale_group", [4, 12, 128, "k"])
def test_gemm(scale_group, shape, bits, rng):
    m, k, n = shape
    scale_group = k if scale_group == "k" else scale_group
    x = rng.choice(FINITE, (m, k))
    if m > 1:
        x[1] = x[1] & 0x83FF | 0x3800
    if m > 2:
        x[2] &= 0x83FF
    codes, scales, zeros = weights(rng, k, n, bits, scale_group)
    check_gemm(x, codes, scales, zeros, bits, scale_group)
    check_gemm(x, codes, scales, None, bits, scale_group)


@pytest.mark.parametrize("exponent", [-24, -22, -20, -16])
@pytest.mark.parametrize("count", [1 << 8, 1 << 12, 1 << 17])
def test_gemm_keeps_every_bit_of_long_groups(count, exponent):
    """One small product breaks the tie of a sum far above it, beyond the 53 bits of float64."""
    big = count * 8 * 2**15
    tie = oracle.Fraction(big, 2**24)
    x = np.full((2, count + 2), 2.0**15, np.float16)
    x[:, -2] = float(tie)
    x[:, -1] = 2.0**exponent, -(2.0**exponent)
    codes = np.full((count + 2, 1), 7, np.int8)
    codes[-2:] = 0
    zeros, scales = np.full((1, 1), -1, np.int8), np.ones((1, 1), np.float16)
    got = pacq.gemm(x, codes, scales, zero_points=zeros, scale_group=count + 2)
    small = oracle.Fraction(2) ** exponent
    wanted = [oracle.pattern(big + tie + part, "fp32") for part in (small, -small)]
    assert got.view(np.uint32).ravel().tolist() == wanted
    assert wanted[0] == wanted[1] + 1


def test_gemm_of_the_longest_group():
    """2^18 rows of the largest products under one scale stay exact; one more is refused."""
    k = 1 << 18
    x = np.full((1, k), 65504, np.float16)
    x[0, -1] = 2.0**-24
    codes = np.full((k, 1), -8, np.int8)
    zeros = np.array([[7]], np.int8)
    scales = np.ones((1, 1), np.float16)
    got = pacq.gemm(x, codes, scales, zero_points=zeros, scale_group=k)
    exact = oracle.Fraction(65504 * -15 * (k - 1)) - oracle.Fraction(15, 2**24)
    assert got.view(np.uint32)[0, 0] == oracle.pattern(exact, "fp32")
    longer = np.ones((1, k + 4), np.float16)
    with pytest.raises(ValueError, match="between 1 and 262144, not 262148"):
        pacq.gemm(longer, np.ones((k + 4, 1), np.int8), scales, scale_group=k + 4)


@pytest.mark.parametrize("bits", [2, 4])
def test_gemm_with_inf_and_nan(bits, rng):
    """Inf and NaN in every combination of signs, weights of all signs and zero, several groups."""
    k, n = 24, 6
    x = rng.standard_normal((40, k)).astype(np.float16).view(np.uint16)
    specials = np.array([0x7C00, 0x7C00, 0xFC00, 0xFC00, 0x7E00, 0xFD01], np.uint16)
    for row in range(39):
        where = rng.choice(k, rng.integers(1, 4), replace=False)
        x[row, where] = rng.choice(specials[: 4 + 2 * (row % 4 == 0)], len(where))
    codes, scales, zeros = weights(rng, k, n, bits, 8)
    scales[0, 0] = 0
    got = check_gemm(x, codes, scales, zeros, bits, 8)
    assert np.isfinite(got[39]).all()
    assert np.isnan(got).any()
    assert np.isinf(got).any()


def test_infinity_times_each_weight():
    x = np.full((2, 1), np.inf, np.float16)
    x[1] *= -1
    codes = np.array([[3, -3, 5]], np.int8)
    scales = np.array([[1, 1, 1]], np.float16)
    zeros = np.array([[0, 0, 5]], np.int8)
    got = check_gemm(x.view(np.uint16), codes, scales, zeros, 4, 1)
    assert got[:, :2].tolist() == [[np.inf, -np.inf], [-np.inf, np.inf]]
    assert np.isnan(got[:, 2]).all()


def test_gemm_tiles_agree_with_slices(rng):
    """Rows and columns beyond one tile of the model's own blocking."""
    x = rng.standard_normal((300, 70)).astype(np.float16)
    x[290, 3] = np.inf
    codes = rng.integers(-8, 8, (70, 2100)).astype(np.int8)
    scales = rng.standard_normal((1, 2100)).astype(np.float16)
    whole = pacq.gemm(x, codes, scales)
    part = pacq.gemm(x[250:], codes[:, 2000:].copy(), scales[:, 2000:])
    np.testing.assert_array_equal(whole[250:, 2000:], part)


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize(("k", "scale_group"), [(1, 4), (6, 6), (10, 4), (64, 16), (130, 128)])
def test_as_printed(k, scale_group, bits, rng):
    codes, scales, _ = weights(rng, k, 3, bits, scale_group)
    scales = (scales.view(np.uint16) & 0x87FF | 0x3000).view(np.float16)
    x = rng.choice(ALL, (4, k))
    # Any pattern in row 0; small enough in the next two not to overflow; subnormals in the last.
    x[1:3] = x[1:3] & 0x9FFF | 0x2000
    x[3] &= 0x83FF
    options = {"bits": bits, "scale_group": scale_group}
    got = pacq.gemm_as_printed(x.view(np.float16), codes, scales, **options)
    wanted = oracle_pacq.gemm_as_printed(
        x.tolist(), codes.tolist(), scales.view(np.uint16).tolist(), **options
    )
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got.view(np.uint16), np.array(wanted, np.uint16))
    assert np.isfinite(got[1:]).all()


def test_as_printed_overflows_from_64():
    """The exponent of W is 25, so |A| >= 64 is Inf, and Inf - Inf is NaN."""
    codes, scales = np.zeros((1, 1), np.int8), np.ones((1, 1), np.float16)
    for a, finite in ((63.0, True), (64.0, False)):
        got = pacq.gemm_as_printed(np.full((1, 1), a, np.float16), codes, scales)
        assert np.isfinite(got[0, 0]) == finite
    assert got.view(np.uint16)[0, 0] == 0x7E00


def test_printed_hidden_bit_assembly():
    """Wrong for 5,804 of the 16,384 normal INT4 cases, right wherever neither bit was lost."""
    m, y = np.arange(1024, 2048, dtype=np.uint32)[:, None], np.arange(16, dtype=np.uint32)
    printed, exact = pacq.hidden_bit_as_printed(m, y), m * (1024 + y)
    wrong = printed != exact
    lost_bit = (m * y) >> 14 != 0
    lost_carry = ((m & 63) + ((m * y) >> 10)) >> 6 != 0
    assert wrong.sum() == 5804
    assert lost_bit.sum() == 4495
    assert lost_carry.sum() == 2785
    np.testing.assert_array_equal(wrong, lost_bit | lost_carry)
    assert (printed[wrong] < exact[wrong]).all()


X = np.ones((2, 8), np.float16)
CODES = np.ones((8, 4), np.int8)
SCALES = np.ones((1, 4), np.float16)


def product(x=X, codes=CODES, scales=SCALES, **options):
    return pacq.gemm(x, codes, scales, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pacq.pack(CODES[:, :3], 4), ValueError, "a multiple of 4 columns to pack, not"),
        (lambda: pacq.pack(CODES, 2), ValueError, "a multiple of 8 columns to pack, not"),
        (lambda: pacq.pack(CODES, 3), ValueError, "bits must be 2 or 4, not 3"),
        (lambda: pacq.pack(CODES, 8), ValueError, "bits must be between 2 and 4, not 8"),
        (lambda: pacq.pack(CODES * np.int8(8), 4), ValueError, "codes must be between -8 and 7"),
        (lambda: pacq.pack(CODES.astype(int), 4), TypeError, "codes must be int8, not int64"),
        (lambda: pacq.unpack(CODES, 4), TypeError, "words must be uint16, not int8"),
        (lambda: pacq.multiply(X, CODES, 4), TypeError, "words must be uint16, not int8"),
        (lambda: pacq.multiply_fp16(X, CODES), TypeError, "b must be float16, not int8"),
        (
            lambda: pacq.multiply_fp16(X, X[:, :3]),
            ValueError,
            r"a and b must broadcast, not have shapes \(2, 8\) and \(2, 3\)",
        ),
        (
            lambda: pacq.multiply(X, np.ones(3, np.uint16), 4),
            ValueError,
            r"a and words must broadcast, not have shapes \(2, 8\) and \(3,\)",
        ),
        (lambda: product(x=X.astype(np.float32)), TypeError, "x must be float16, not float32"),
        (lambda: product(x=X.view(np.uint16)), TypeError, "x must be float16, not uint16"),
        (lambda: product(bits=8), ValueError, "bits must be between 2 and 4, not 8"),
        (
            lambda: product(codes=CODES * np.int8(2), bits=2),
            ValueError,
            "codes must be between -2 and 1 for 2 bits, not 2",
        ),
        (lambda: product(scales=SCALES * np.float16("nan")), ValueError, "scales must be finite"),
        (
            lambda: product(scale_group=6),
            ValueError,
            r"scale_group must be a multiple of 4 or k itself \(8\), not 6",
        ),
        (lambda: product(scale_group=0), ValueError, "scale_group must be at least 1, not 0"),
        (
            lambda: product(zero_points=np.full((1, 4), -9, np.int8)),
            ValueError,
            "zero_points must be between -8 and 7 for 4 bits, not -9",
        ),
        (
            lambda: pacq.gemm_as_printed(X, CODES[:4], SCALES),
            ValueError,
            "as many rows as x has columns, 8, not 4",
        ),
        (
            lambda: pacq.hidden_bit_as_printed(np.array([2048], np.uint32), np.ones(1, np.uint32)),
            ValueError,
            "significand must be between 0 and 2047, not 2048",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
