"""Error-compensating and nested quantization: against a direct solution, and by what they save."""

import numpy as np
import pytest

from lamina_sim.golden import store
from lamina_sim.workload import checkpoint, tinylm
from lamina_sim.workload.calibrate import dequantized, quantize_model
from lamina_sim.workload.decoder import loss, windows
from lamina_sim.workload.gptq import gptq
from lamina_sim.workload.nested import nested, read_planes
from lamina_sim.workload.quantize import Quantized, quantize


def problem(rng, k=96, n=16, samples=1000):
    """Weights, and the sums of products of activations of which neighbours are alike."""
    x = rng.normal(size=(samples, k))
    for i in range(1, k):
        x[:, i] += 0.9 * x[:, i - 1]
    return rng.normal(size=(k, n)).astype(np.float32), x.T @ x


def damage(q, weights, hessian):
    """Squared error of the products: sum over columns of d^T H d."""
    d = q.dequantize() - weights.astype(np.float64)
    return np.einsum("in,ij,jn->", d, hessian, d)


def by_elimination(weights, hessian, bits, group):
    """GPTQ as first principles have it: quantize a row, then minimise over all rows left.

    After row i is fixed, the rest changes by -(H_rr)^-1 H_ri times the error: no Cholesky factor.
    """
    k, n = weights.shape
    w = weights.astype(np.float64)
    h = hessian + 0.01 * np.mean(np.diag(hessian)) * np.eye(k)
    top = 2 ** (bits - 1) - 1
    codes = np.zeros((k, n), int)
    for i in range(k):
        if i % group == 0:
            scale = (np.abs(w[i : i + group]).max(0) / top).astype(np.float16).astype(float)
        codes[i] = np.clip(np.rint(w[i] / scale), -top - 1, top)
        error = codes[i] * scale - w[i]
        rest = np.arange(i + 1, k)
        w[rest] -= np.linalg.solve(h[np.ix_(rest, rest)], h[rest, i][:, None] * error[None])
        w[i] = codes[i] * scale
    return codes


@pytest.mark.parametrize(("bits", "group"), [(4, 32), (3, 64), (4, 40)])
def test_gptq_is_the_solution_by_elimination(bits, group, rng):
    weights, hessian = problem(rng)
    q = gptq(weights, hessian, bits, group=group)
    expected = by_elimination(weights, hessian, bits, group)
    # A rounding of the two ways apart may tip a tie.
    assert (q.codes != expected).mean() < 0.01


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("k", "group"), [(200, 32), (300, 256), (150, None), (300, 200)])
def test_gptq_beats_rounding(bits, symmetric, k, group, rng):
    weights, hessian = problem(rng, k=k)
    q = gptq(weights, hessian, bits, group=group, symmetric=symmetric)
    nearest = quantize(weights, bits, group=group, symmetric=symmetric)
    assert damage(q, weights, hessian) < 0.8 * damage(nearest, weights, hessian)
    assert q.codes.shape == weights.shape
    assert q.scales.shape == nearest.scales.shape
    assert q.codes.min() >= -(2 ** (bits - 1))
    assert q.codes.max() < 2 ** (bits - 1)
    assert (q.zero_points is None) == symmetric


def test_gptq_without_correlation_is_rounding(rng):
    weights, _ = problem(rng)
    q = gptq(weights, np.eye(96), 4, group=32)
    np.testing.assert_array_equal(q.codes, quantize(weights, 4, group=32).codes)


def test_gptq_takes_inputs_that_are_always_zero(rng):
    weights, hessian = problem(rng)
    hessian[7], hessian[:, 7] = 0, 0
    assert np.isfinite(gptq(weights, hessian, 4, group=32).dequantize()).all()


@pytest.mark.parametrize("hessian", [np.eye(3), np.full((96, 96), np.nan)])
def test_bad_hessian(hessian, rng):
    with pytest.raises(ValueError, match=r"hessian must be finite of shape \(96, 96\)"):
        gptq(problem(rng)[0], hessian, 4, group=32)


def test_readings_of_planes():
    codes = np.array([[-128, -1, 0, 15, 16, 127]], np.int8).T
    q = Quantized(codes, np.ones((1, 1), np.float16), None, 8, 32)
    wanted = {
        "truncate": [-128, -16, 0, 0, 16, 112],
        "nearest": [-128, 0, 0, 16, 16, 112],
        "midpoint": [-120, -8, 8, 8, 24, 120],
    }
    for reading, values in wanted.items():
        np.testing.assert_array_equal(read_planes(q, 4, reading).dequantize()[:, 0], values)
        np.testing.assert_array_equal(read_planes(q, 8, reading).dequantize(), q.dequantize())
    with pytest.raises(ValueError, match="reading must be one of"):
        read_planes(q, 4, "round")


def test_reading_is_what_the_store_gives(rng):
    """The top planes of the stored codes, as they leave the plane store."""
    codes = rng.integers(-128, 128, (512, 1)).astype(np.int8)
    q = Quantized(codes, np.ones((16, 1), np.float16), None, 8, 32)
    planes = store.to_planes(codes, 8)
    for reading in ("truncate", "nearest"):
        stored = store.from_planes(planes, 8, 3, reading)
        np.testing.assert_array_equal(read_planes(q, 3, reading).codes[:, 0], stored[0])


def test_zero_points_stay_in_range():
    zeros = np.array([[-128, 100]], np.int8)
    q = Quantized(np.zeros((32, 2), np.int8), np.ones((1, 2), np.float16), zeros, 8, 32)
    np.testing.assert_array_equal(read_planes(q, 3, "midpoint").zero_points, [[-128, 84]])


@pytest.mark.parametrize("group", [32, 64, None])
def test_nested_prefixes_beat_truncation(group, rng):
    weights, hessian = problem(rng, k=128, n=8)
    plain, ours = quantize(weights, 8, group=group), nested(weights, hessian, group=group)
    for keep in (3, 4, 5):
        best = damage(read_planes(ours, keep, "midpoint"), weights, hessian)
        assert best < 0.8 * damage(read_planes(plain, keep, "midpoint"), weights, hessian)
        assert best < 0.5 * damage(read_planes(plain, keep), weights, hessian)
    zero = nested(np.zeros((64, 2), np.float32), np.eye(64), group=32)
    assert not zero.dequantize().any()


def test_nested_seed(rng):
    weights, hessian = problem(rng, k=64)
    seeds = [nested(weights, hessian, group=64, seed=seed) for seed in (2, 4)]
    two, four = (damage(read_planes(q, 2, "midpoint"), weights, hessian) for q in seeds)
    assert two < four
    with pytest.raises(ValueError, match="seed must be between 2 and 8, not 1"):
        nested(weights, hessian, seed=1)


@pytest.fixture(scope="module")
def bundled():
    opened = checkpoint.load("tinylm")
    tokens = opened.tokenizer.encode(tinylm.heldout())
    return opened.model, windows(opened.model, tokens[-4200:])[:, :-1], tokens[:4200]


def test_gptq_on_the_bundled_model(bundled):
    model, calibration, text = bundled
    losses = {
        method: loss(
            model,
            text,
            linear=dequantized(quantize_model(model, method, bits=3, tokens=calibration)),
        )
        for method in ("nearest", "gptq")
    }
    exact = loss(model, text)
    assert losses["gptq"] - exact < 0.8 * (losses["nearest"] - exact)


def test_nested_on_the_bundled_model(bundled):
    """Three planes of eight: truncated useless, at the midpoint good, nested better."""
    model, calibration, text = bundled
    plain = quantize_model(model, bits=8)
    ours = quantize_model(model, "nested", bits=8, tokens=calibration)

    def three(codes, reading):
        kept = {name: read_planes(q, 3, reading) for name, q in codes.items()}
        return loss(model, text, linear=dequantized(kept)) - loss(model, text)

    truncated, nearest, midpoint = (
        three(plain, reading) for reading in ("truncate", "nearest", "midpoint")
    )
    best = three(ours, "midpoint")
    assert best < 0.8 * midpoint < midpoint < nearest < 0.1 * truncated


def test_bad_methods(bundled):
    with pytest.raises(ValueError, match="method must be one of"):
        quantize_model(bundled[0], "best")
    with pytest.raises(ValueError, match="gptq needs a calibration text"):
        quantize_model(bundled[0], "gptq")
