import functools
import os

import numpy as np
import pytest

from lamina_sim.golden import pacq
from tb.bench import bulk_model, parameters, run_bench

EVERY_A = np.arange(1 << 16, dtype=np.uint16)


#: Vectors of FP16 times FP16.
FP16_VECTORS = int(os.environ.get("LAMINA_FP16_VECTORS", "500_000"))

#: Zeros, ends and middle of subnormals and normals, neighbours of powers of two, Inf, NaN.
MAGNITUDES = (0, 1, 2, 3, 0x155, 0x1FF, 0x200, 0x3FE, 0x3FF, 0x400, 0x401, 0x7FF, 0x800, 0x3BFF)
MAGNITUDES += (0x3C00, 0x3C01, 0x3DA8, 0x3DA9, 0x7BFE, 0x7BFF, 0x7C00, 0x7C01, 0x7E00, 0x7FFF)


@functools.cache
def model(**settings):
    return bulk_model("pacq.multiplier", **settings)


@pytest.mark.parametrize("fp16", [False, True])
def test_bench(fp16):
    run_bench("pacq.multiplier", "tb.pacq.multiplier_tb", {"fp16": fp16})


def words_with_every_code(bits):
    """As many words as there are codes, so that each code is once in each column."""
    columns = 16 // bits
    stored = (np.arange(1 << bits)[:, None] + np.arange(columns)) % (1 << bits)
    return (stored << (bits * np.arange(columns))).sum(axis=1).astype(np.uint16)


def mismatches(a, words, bits, *, fp16=False, **options):
    """Vectors whose products, exponent or flags are not golden's."""
    sent = {"a": a, "word": words, "int2": int(bits == 2), "tag": 0}
    got = model(fp16=fp16).run({"i": sent}, **options)["o"].values
    assert len(got["exponent"]) == len(a) > 0
    want = pacq.multiply(a.view(np.float16), words, bits)
    significand = np.pad(want.significand, [(0, 0), (0, 8 - want.significand.shape[1])])
    wrong = (got["products"] != significand).any(axis=1) | (got["exponent"] != want.exponent)
    if fp16:
        value = pacq.multiply_fp16(a.view(np.float16), words.view(np.float16))
        wrong |= got["value"].astype(np.uint32) != value.view(np.uint32)
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


def test_fp16_special_values(rng):
    """Each of them by every FP16 pattern, from both sides."""
    special = np.array([m | s for m in MAGNITUDES for s in (0, 0x8000)], np.uint16)
    a, b = (x.ravel() for x in np.meshgrid(EVERY_A, special))
    assert mismatches(np.append(a, b), np.append(b, a), 4, fp16=True) == 0


def test_fp16_by_fp16(rng):
    """Random patterns; half of them with random exponents only, so that products turn."""
    a, b = rng.integers(0, 1 << 16, (2, FP16_VECTORS)).astype(np.uint16)
    a[::2] |= np.uint16(0x3F0)
    assert mismatches(a, b, 2, fp16=True) == 0


@pytest.mark.parametrize("fp16", [False, True])
def test_latency_and_throughput(fp16):
    count = 1000
    result = model(fp16=fp16).run({"i": np.zeros((count, 2), np.uint32)})
    cycles = result["o"].cycles - result.accepted["i"]
    assert set(cycles) == {parameters("pacq.multiplier", fp16=fp16).latency}
    assert result.accepted["i"][-1] - result.accepted["i"][0] == count - 1
