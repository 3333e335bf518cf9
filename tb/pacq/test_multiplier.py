import functools

import numpy as np
import pytest

from lamina_sim.golden import pacq
from tb.bench import bulk_model, parameters, run_bench

EVERY_A = np.arange(1 << 16, dtype=np.uint16)


@functools.cache
def model():
    return bulk_model("pacq.multiplier")


def test_bench():
    run_bench("pacq.multiplier", "tb.pacq.multiplier_tb")


def words_with_every_code(bits):
    """As many words as there are codes, so that each code is once in each column."""
    columns = 16 // bits
    stored = (np.arange(1 << bits)[:, None] + np.arange(columns)) % (1 << bits)
    return (stored << (bits * np.arange(columns))).sum(axis=1).astype(np.uint16)


def mismatches(a, words, bits, **options):
    """Vectors whose products, exponent or flags are not golden's."""
    sent = {"a": a, "word": words, "int2": int(bits == 2), "tag": 0}
    got = model().run({"i": sent}, **options)["o"].values
    assert len(got["exponent"]) == len(a) > 0
    want = pacq.multiply(a.view(np.float16), words, bits)
    significand = np.pad(want.significand, [(0, 0), (0, 8 - want.significand.shape[1])])
    wrong = (got["products"] != significand).any(axis=1) | (got["exponent"] != want.exponent)
    return (wrong | (got["inf"] != want.inf) | (got["nan"] != want.nan)).sum()


@pytest.mark.parametrize("bits", [4, 2])
def test_every_activation_with_every_code(bits):
    words = words_with_every_code(bits)
    a, words = (x.ravel() for x in np.meshgrid(EVERY_A, words))
    assert mismatches(a, words, bits) == 0


@pytest.mark.parametrize("bits", [4, 2])
def test_random_words_with_stalls_and_reset(bits, rng):
    a, words = rng.integers(0, 1 << 16, (2, 20_000)).astype(np.uint16)
    assert mismatches(a, words, bits, stall=0.3, seed=1, reset_at=5_000) == 0


def test_latency_and_throughput():
    count = 1000
    result = model().run({"i": np.zeros((count, 2), np.uint32)})
    cycles = result["o"].cycles - result.accepted["i"]
    assert set(cycles) == {parameters("pacq.multiplier").latency}
    assert result.accepted["i"][-1] - result.accepted["i"][0] == count - 1
