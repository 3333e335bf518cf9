"""golden.anda against published vectors, every encoding, and exact rational GEMMs."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from lamina_sim.golden import anda
from tb.golden import oracle, oracle_anda
from tb.golden.patterns import ALL, FINITE, ROUNDINGS, as_input


def published(elements):
    """FP16 values of figure 4: (sign, exponent field, leading significand bits)."""
    patterns = [
        sign << 15 | exponent << 10 | int(bits[1:].ljust(10, "0"), 2)
        for sign, exponent, bits in elements
    ]
    return np.array(patterns, np.uint16).view(np.float16)


FIGURE_4 = published(
    [
        (1, 15, "101011"),
        (0, 16, "110001"),
        (0, 12, "110011"),
        (0, 17, "110011"),
        (1, 20, "101011"),
        (0, 14, "111011"),
    ]
)


def test_published_vectors_of_three():
    a = anda.encode(FIGURE_4, 6, group=3)
    assert a.exponent.tolist() == [16, 20]
    assert a.sign.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert a.mantissa.tolist() == [[0b010101, 0b110001, 0b000011], [0b000110, 0b101011, 0]]


def test_published_vectors_of_two():
    a = anda.encode(FIGURE_4, 2, group=2)
    assert a.exponent.tolist() == [16, 17, 20]
    assert a.mantissa.tolist() == [[0b01, 0b11], [0b00, 0b11], [0b10, 0b00]]
    assert a.sign[0].tolist() == [1, 0]
    assert a.sign[2].tolist() == [1, 0]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_fp16_at_every_distance(rounding):
    """Every finite pattern x every shared exponent x every M, by exact float64 scaling."""
    magnitude = np.abs(FINITE.view(np.float16).astype(np.float64))
    for shared in range(1, 31):
        fits = np.maximum(FINITE >> 10 & 31, 1) <= shared
        chosen = FINITE[fits]
        # Beside each pattern, the smallest one that has the exponent wanted.
        beside = np.full_like(chosen, shared << 10)
        pairs = np.stack([chosen, beside], axis=-1).view(np.float16)
        for bits in range(1, 17):
            a = anda.encode(pairs, bits, group=2, rounding=rounding)
            count = np.ldexp(magnitude[fits], bits - 1 - (shared - 15))
            wanted = np.floor(count) if rounding == "truncate" else np.rint(count)
            np.testing.assert_array_equal(a.exponent, shared)
            np.testing.assert_array_equal(a.sign[:, 0, 0], chosen >> 15)
            np.testing.assert_array_equal(a.mantissa[:, 0, 0], np.minimum(wanted, 2**bits - 1))


def check_groups(rows, bits, rounding, fmt):
    a = anda.encode(as_input(rows, fmt), bits, rounding=rounding, fmt=fmt)
    for i, row in enumerate(rows.tolist()):
        signs, shared, mantissas = oracle_anda.encode_group(row, bits, rounding, fmt)
        assert a.sign[i, 0].tolist() == signs
        assert a.exponent[i, 0] == shared
        assert a.mantissa[i, 0].tolist() == mantissas


@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_groups_of_64(rounding, fmt, rng):
    """Groups with alike and with mixed exponents, with and without Inf and NaN, every M."""
    special = 0x7C00 if fmt == "fp16" else 0x7F80
    finite = ALL[(ALL & special) != special]
    rows = np.concatenate(
        [
            rng.choice(ALL, (2, 64)),
            rng.choice(finite, (3, 64)),
            rng.choice(finite[(finite & special) == 0], (1, 64)),
            (rng.integers(0, 1024, (2, 64)) + (special // 2 & special)).astype(np.uint16),
            np.zeros((1, 64), np.uint16),
        ]
    )
    for bits in range(1, 17):
        check_groups(rows, bits, rounding, fmt)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("bits", range(1, 17))
def test_every_pattern_in_order(bits, rounding, fmt):
    """All 65,536 patterns in groups of neighbours, Inf and NaN included."""
    check_groups(ALL.reshape(-1, 64), bits, rounding, fmt)


@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
@pytest.mark.parametrize("bits", range(1, 17))
def test_decode(bits, fmt, rng):
    rows = rng.choice(ALL, (8, 64))
    rows[2:] &= 0xBFFF
    a = anda.encode(as_input(rows, fmt), bits, fmt=fmt)
    decoded = anda.decode(a)
    assert decoded.shape == (8, 64)
    for i in range(8):
        shared = int(a.exponent[i, 0])
        numbers = oracle_anda.decode_group(
            a.sign[i, 0].tolist(), shared, a.mantissa[i, 0].tolist(), bits, fmt
        )
        np.testing.assert_array_equal(decoded[i], np.array([float(v) for v in numbers]))
    assert set(decoded.view(np.uint32)[np.isnan(decoded)].tolist()) <= {0x7FC00000}


@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
def test_full_length_decodes_without_loss(fmt, rng):
    """Where all exponents of a group are equal, M = p keeps every bit; ml_dtypes reads BF16."""
    precision = {"fp16": 11, "bf16": 8}[fmt]
    rows = (rng.integers(0, 1 << 16, (64, 64)) & (0x8000 | (1 << (precision - 1)) - 1)).astype(
        np.uint16
    ) | (np.arange(20, 84, dtype=np.uint16)[:, None] % 30 + 1 << (precision - 1))
    rows = rows.astype(np.uint16)
    values = rows.view(np.float16 if fmt == "fp16" else ml_dtypes.bfloat16).astype(np.float32)
    decoded = anda.decode(anda.encode(as_input(rows, fmt), precision, fmt=fmt))
    np.testing.assert_array_equal(decoded, values)


def test_non_finite_group():
    x = np.ones((1, 64), np.float16)
    x[0, 5] = np.inf
    x[0, 9] = -2
    a = anda.encode(x, 8)
    assert a.exponent[0, 0] == 31
    assert a.nan.tolist() == [[True]]
    # 16 below the exponent of Inf, so shifted out; the sign of -2 stays.
    assert a.mantissa[0, 0, 5] == 128
    assert a.mantissa[0, 0, 9] == 0
    assert a.sign[0, 0, 9] == 1
    assert np.isnan(anda.decode(a)).all()


def test_padding_and_zero_groups():
    x = np.full((2, 65), -0.0, np.float16)
    a = anda.encode(x, 4)
    assert a.mantissa.shape == (2, 2, 64)
    assert (a.exponent == 1).all()
    assert a.sign.sum(axis=-1).tolist() == [[64, 1], [64, 1]]


def test_any_shape_order_and_leading_axes(rng):
    x = rng.standard_normal((3, 4, 130)).astype(np.float16)
    a = anda.encode(x, 9)
    assert a.exponent.shape == (3, 4, 3)
    reversed_ = anda.encode(x[::-1, ::2], 9)
    np.testing.assert_array_equal(reversed_.mantissa, a.mantissa[::-1, ::2])
    np.testing.assert_array_equal(anda.encode(x[1, 2], 9).mantissa, a.mantissa[1, 2])


@pytest.mark.parametrize("bits", range(1, 17))
def test_planes(bits, rng):
    a = anda.encode(rng.standard_normal((3, 200)).astype(np.float16), bits)
    exponent, planes = anda.to_planes(a)
    assert planes.shape == (3, 4, 1 + bits)
    assert planes.dtype == np.uint64
    words = [int(word) for word in planes[1, 2]]
    for i in range(64):
        column = "".join(str(word >> i & 1) for word in words)
        assert int(column[0]) == a.sign[1, 2, i]
        assert int(column[1:], 2) == a.mantissa[1, 2, i]
    back = anda.from_planes(exponent, planes)
    for name in ("sign", "exponent", "mantissa", "mantissa_bits", "fmt"):
        np.testing.assert_array_equal(getattr(back, name), getattr(a, name))


@pytest.mark.parametrize("planes", [1, 2, 4])
def test_beats(planes, rng):
    """Row by row and word by word, as a list."""
    for bits in range(1, 17):
        a = anda.encode(rng.standard_normal((4, 192)).astype(np.float16), bits)
        a = dataclasses.replace(
            a, **{n: getattr(a, n).swapaxes(0, 1).copy() for n in ("sign", "exponent", "mantissa")}
        )
        exponents, words = anda.to_beats(a, planes)
        got = iter(zip(exponents.tolist(), words.tolist(), strict=True))
        for group in range(3):
            texts = [
                ["".join(map(str, a.sign[group, row]))]
                + ["".join(str(m >> b & 1) for m in a.mantissa[group, row].tolist())
                   for b in reversed(range(bits))]
                for row in range(4)
            ]  # fmt: skip
            while any(texts):
                shared, beat = next(got)
                assert shared == a.exponent[group].tolist()
                for row, text in enumerate(texts):
                    wanted = [int(word[::-1], 2) for word in text[:planes]]
                    assert beat[row] == wanted + [0] * (planes - len(wanted))
                    del text[:planes]
        assert next(got, None) is None


@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_results_for_the_next_product(rounding, fmt, rng):
    """Rounded as numbers, encoded as ratios; the last group is short, and padded with +0."""
    x = rng.integers(0, 1 << 32, (6, 100), np.uint32)
    x[1:] = x[1:] & 0x80FFFFFF | 0x3E000000  # exponents near each other
    for bits in (1, 4, 11, 16):
        a = anda.encode_results(x.view(np.float32), bits, rounding=rounding, fmt=fmt)
        for i, row in enumerate(x.tolist()):
            narrow = [
                oracle.pattern(oracle.value(b, "fp32"), fmt, negative_zero=b >> 31 == 1)
                for b in row
            ] + [0] * 28
            for g in range(2):
                group = narrow[64 * g : 64 * g + 64]
                signs, shared, mantissas = oracle_anda.encode_group(group, bits, rounding, fmt)
                assert a.sign[i, g].tolist() == signs
                assert a.exponent[i, g] == shared
                assert a.mantissa[i, g].tolist() == mantissas


@pytest.mark.parametrize("groups", [1, 2, 64, 65])
def test_rows_in_memory(groups, rng):
    a = anda.encode(rng.integers(0, 1 << 14, (2, 64 * groups)).astype(np.uint16), 5, fmt="bf16")
    rows = anda.pack_rows(a)
    head = 64 if groups <= 64 else 128
    assert rows.shape == (2, head + groups * 6 * 8) == (2, anda.row_bytes(groups, 5))
    data = rows[1].tobytes()
    exponent, planes = anda.to_planes(a)
    assert data[:groups] == bytes(exponent[1].tolist())
    assert not any(data[groups:head])
    for g in range(groups):
        for p in range(6):
            at = head + 8 * (6 * g + p)
            assert int.from_bytes(data[at : at + 8], "little") == planes[1, g, p]
    back = anda.unpack_rows(rows, groups, 5, fmt="bf16")
    for name in ("sign", "exponent", "mantissa", "mantissa_bits", "fmt"):
        np.testing.assert_array_equal(getattr(back, name), getattr(a, name))


X = np.ones((2, 128), np.float16)
ENCODED = anda.encode(X, 8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: anda.encode(X, 0), ValueError, "mantissa_bits must be between 1 and 16, not 0"),
        (lambda: anda.encode(X, 17), ValueError, "mantissa_bits must be between 1 and 16, not 17"),
        (lambda: anda.encode(X, 8.0), TypeError, "mantissa_bits must be an integer, not float"),
        (lambda: anda.encode(X, True), TypeError, "mantissa_bits must be an integer, not bool"),
        (lambda: anda.encode(X, 8, group=0), ValueError, "group must be at least 1, not 0"),
        (lambda: anda.encode(X, 8, rounding="up"), ValueError, "rounding must be 'truncate' or"),
        (lambda: anda.encode(X, 8, fmt="bf16"), TypeError, "x must be uint16, not float16"),
        (lambda: anda.encode(X.astype(">f2"), 8), TypeError, "x must be float16, not >f2"),
        (lambda: anda.encode(X[:0], 8), ValueError, r"x must hold at least one element, not .*0"),
        (lambda: anda.encode(X[0, 0, ...], 8), ValueError, "x must have at least one dimension"),
        (lambda: anda.encode([1.0], 8), TypeError, "x must be a NumPy array of float16, not list"),
        (
            lambda: anda.to_planes(anda.encode(X, 8, group=32)),
            ValueError,
            "a group must have 64 elements, not 32",
        ),
        (
            lambda: anda.to_beats(anda.encode(X[0], 8), 2),
            ValueError,
            "groups must have 2 dimensions, sets and rows, not 1",
        ),
        (lambda: anda.to_beats(ENCODED, 0), ValueError, "planes must be at least 1, not 0"),
        (
            lambda: anda.encode_results(X, 8),
            TypeError,
            "x must be float32, not float16",
        ),
        (
            lambda: anda.encode_results(X.astype(np.float32), 8, fmt="fp8"),
            ValueError,
            "fmt must be 'fp16' or 'bf16', not 'fp8'",
        ),
        (
            lambda: anda.from_planes(np.zeros(2, np.uint8), np.zeros((2, 5), np.uint64)),
            ValueError,
            "smallest exponent must be at least 1, not 0",
        ),
        (
            lambda: anda.from_planes(np.full(2, 32, np.uint8), np.zeros((2, 5), np.uint64)),
            ValueError,
            "largest exponent must be between 0 and 31, not 32",
        ),
        (
            lambda: anda.from_planes(np.ones(2, np.uint8), np.zeros((2, 18), np.uint64)),
            ValueError,
            "must be between 1 and 16, not 17",
        ),
        (
            lambda: anda.from_planes(np.ones(3, np.uint8), np.zeros((2, 5), np.uint64)),
            ValueError,
            r"exponent must have shape \(2,\), not \(3,\)",
        ),
        (
            lambda: anda.unpack_rows(np.ones((1, 99), np.uint8), 1, 4),
            ValueError,
            r"rows must have 104 bytes each, not shape \(1, 99\)",
        ),
        (
            lambda: dataclasses.replace(ENCODED, mantissa_bits=7),
            ValueError,
            "largest mantissa must be between 0 and 127, not 128",
        ),
        (
            lambda: anda.dot(ENCODED, np.ones(64)),
            TypeError,
            "b must be of an integer dtype, not float64",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
