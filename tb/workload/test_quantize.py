"""Weight quantization: the error bound, the range, the groups and the sentences on bad input."""

import math
from fractions import Fraction

import numpy as np
import pytest

from lamina_sim.workload import tinylm
from lamina_sim.workload.decoder import loss
from lamina_sim.workload.quantize import Quantized, quantize
from lamina_sim.workload.tinylm.evaluate import rounded


def random_weights(k, n, seed=0, shift=0.0):
    random = np.random.default_rng(seed)
    columns = np.exp(random.normal(0, 2, n))  # so that no two columns want the same scale
    return ((random.normal(shift, 1, (k, n))) * columns).astype(np.float32)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("k", "group"), [(256, 64), (200, 128), (1, 32), (33, 32), (300, None)])
def test_error_is_half_a_scale_at_most(bits, symmetric, k, group):
    weights = random_weights(k, 12, seed=bits, shift=0.7)
    q = quantize(weights, bits, group=group, symmetric=symmetric)
    length = group or k
    assert (q.bits, q.group) == (bits, length)
    assert q.codes.dtype == np.int8
    assert q.codes.shape == weights.shape
    assert q.scales.dtype == np.float16
    assert q.scales.shape == (math.ceil(k / length), 12)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    assert q.codes.min() >= lowest
    assert q.codes.max() <= highest
    if symmetric:
        assert q.zero_points is None
    else:
        assert q.zero_points.dtype == np.int8
        assert q.zero_points.shape == q.scales.shape
        assert q.zero_points.min() >= lowest
        assert q.zero_points.max() <= highest
    scales = np.repeat(q.scales.astype(np.float64), length, axis=0)[:k]
    # 2**-11 of the range is what rounding the scale itself to float16 can cost at its ends.
    slack = (0.5 + 2.0 ** (bits - 11)) * scales
    assert (np.abs(q.dequantize() - weights.astype(np.float64)) <= slack).all()


@pytest.mark.parametrize("symmetric", [True, False])
def test_codes_are_the_nearest_by_exact_arithmetic(symmetric):
    weights = random_weights(64, 3, seed=5, shift=0.3)
    q = quantize(weights, 4, group=32, symmetric=symmetric)
    for (i, j), code in np.ndenumerate(q.codes):
        scale = Fraction(float(q.scales[i // 32, j]))
        zero = 0 if symmetric else int(q.zero_points[i // 32, j])
        exact = Fraction(float(weights[i, j])) / scale
        assert code == min(7, max(-8, round(exact) + zero))


def test_quantized_weights_are_a_fixed_point():
    # Codes that reach both ends of the range, so that the same scales come out again.
    random = np.random.default_rng(9)
    codes = random.integers(-7, 8, (256, 5)).astype(np.int8)
    codes[::64] = 7
    scales = (2.0 ** random.integers(-6, 0, (4, 5))).astype(np.float16)
    q = Quantized(codes, scales, None, 4, 64)
    again = quantize(q.dequantize(), 4, group=64)
    np.testing.assert_array_equal(again.codes, codes)
    np.testing.assert_array_equal(again.scales, scales)


def test_zero_point_shifts_the_codes():
    zero_points = np.array([[3, -2]], dtype=np.int8)
    codes = np.array([[-8, -8], [3, -2], [7, 7]], dtype=np.int8)
    q = Quantized(codes, np.array([[2, -0.5]], np.float16), zero_points, 4, 32)
    np.testing.assert_array_equal(q.dequantize(), [[-22, 3], [0, 0], [8, -4.5]])


def test_a_group_of_one_sign_uses_the_whole_range():
    weights = np.linspace(0, 3, 32, dtype=np.float32)[:, None]
    q = quantize(weights, 2, group=32, symmetric=False)
    assert q.zero_points[0, 0] == -2
    assert sorted(set(q.codes[:, 0].tolist())) == [-2, -1, 0, 1]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_group_far_from_zero_still_spans_zero(sign):
    weights = sign * np.linspace(20, 30, 32, dtype=np.float32)[:, None]
    q = quantize(weights, 4, group=32, symmetric=False)
    assert q.zero_points[0, 0] == (-8 if sign > 0 else 7)
    np.testing.assert_allclose(q.dequantize(), weights, atol=1.01)


@pytest.mark.parametrize("symmetric", [True, False])
def test_zeros_stay_zero(symmetric):
    weights = np.zeros((70, 3), np.float16)
    weights[64:, 1] = 1
    with np.errstate(all="raise"):
        q = quantize(weights, 4, group=32, symmetric=symmetric)
    assert not q.dequantize()[weights == 0].any()
    np.testing.assert_allclose(q.dequantize(), weights, rtol=2**-11)
    assert np.isfinite(q.scales).all()


def test_largest_scale():
    limit = np.full((32, 1), 65504 * 7, np.float32)
    assert quantize(limit, 4, group=32).scales[0, 0] == 65504
    with pytest.raises(ValueError, match="scale must fit float16, not 65520"):
        quantize(limit * np.float32(65520 / 65504), 4, group=32)


@pytest.mark.parametrize(
    ("weights", "options", "error", "sentence"),
    [
        (np.zeros((64, 2)), {}, TypeError, "float16 or float32, not float64"),
        (np.zeros((64, 2), np.int8), {}, TypeError, "float16 or float32, not int8"),
        (np.zeros(64, np.float32), {}, ValueError, r"shape \[k, n\].*not \(64,\)"),
        (np.zeros((0, 2), np.float32), {}, ValueError, r"not \(0, 2\)"),
        (np.zeros((64, 2), np.float32), {"bits": 1}, ValueError, "between 2 and 8, not 1"),
        (np.zeros((64, 2), np.float32), {"bits": 9}, ValueError, "between 2 and 8, not 9"),
        (np.zeros((64, 2), np.float32), {"group": 16}, ValueError, "32 and 256, or None, not 16"),
        (np.full((64, 2), np.nan, np.float32), {}, ValueError, "finite"),
        (np.full((64, 2), np.inf, np.float16), {}, ValueError, "finite"),
    ],
)
def test_bad_input(weights, options, error, sentence):
    with pytest.raises(error, match=sentence):
        quantize(weights, **options)


def test_more_bits_cost_less_loss():
    model, vocabulary = tinylm.load()
    tokens = vocabulary.encode(tinylm.heldout()[:4000])
    losses = [loss(model, tokens, linear=rounded(model, bits, 64)) for bits in (8, 4, 2)]
    assert losses[0] == pytest.approx(loss(model, tokens), abs=5e-3)
    assert losses[0] < losses[1] < losses[2]
