import os

import numpy as np
import pytest

from lamina_sim.golden import anda
from tb.bench import bulk_model, check_outputs, parameters, run_bench, seeds

#: Groups of the long runs; LAMINA_COMPRESSOR_GROUPS=1000000 for a long night.
GROUPS = int(os.environ.get("LAMINA_COMPRESSOR_GROUPS", "20000"))

ROUNDINGS = ("truncate", "nearest")
FRACTION_BITS = {"fp16": 10, "bf16": 7}


def random_patterns(rng, count, fmt):
    """Groups of patterns: any, close exponents with long fractions, subnormal, zero, special."""
    fraction_bits = FRACTION_BITS[fmt]
    ones = (1 << 15 - fraction_bits) - 1
    x = rng.integers(0, 1 << 16, (count, 64))
    top = rng.integers(0, ones, (count, 1))
    exponent = np.clip(top - rng.integers(0, 20, (count, 64)), 0, ones - 1)
    fraction = rng.integers(0, 1 << fraction_bits, (count, 64))
    # Long runs of ones are what rounding carries through; a single one is what ties are made of.
    fraction |= rng.choice([0, (1 << fraction_bits) - 2, (1 << fraction_bits) - 1], fraction.shape)
    single = rng.random(fraction.shape) < 0.3
    fraction = np.where(single, 1 << rng.integers(0, fraction_bits, fraction.shape), fraction)
    close = (x & 0x8000) | (exponent << fraction_bits) | fraction
    low = x & (0x8000 | (2 << fraction_bits) - 1)
    kind = rng.integers(0, 10, (count, 1))
    x = np.where(kind < 6, close, np.where(kind == 6, low, np.where(kind == 7, x & 0x8000, x)))
    return x.astype(np.uint16)


def draw(rng, count, fmt, mantissa_bits=None):
    if mantissa_bits is None:
        mantissa_bits = rng.integers(1, 17, count)
    return {
        "values": random_patterns(rng, count, fmt),
        "mantissa_bits": np.broadcast_to(mantissa_bits, count).astype(np.int64),
        "rounding": rng.integers(0, 2, count),
    }


def expected(groups, fmt):
    """Payload fields of all planes, in order, from the golden model."""
    lengths = groups["mantissa_bits"]
    plane = np.zeros((len(lengths), 16), np.uint64)
    signs = np.zeros(len(lengths), np.uint64)
    exponent = np.zeros(len(lengths), np.int64)
    for bits in range(1, 17):
        for code, rounding in enumerate(ROUNDINGS):
            chosen = (lengths == bits) & (groups["rounding"] == code)
            if not chosen.any():
                continue
            x = groups["values"][chosen]
            x = x.view(np.float16) if fmt == "fp16" else x
            found, words = anda.to_planes(anda.encode(x, bits, rounding=rounding, fmt=fmt))
            exponent[chosen] = found[:, 0]
            signs[chosen] = words[:, 0, 0]
            plane[chosen, :bits] = words[:, 0, 1:]
    place = np.arange(16)
    sent = place < lengths[:, None]
    return {
        "plane": plane[sent],
        "signs": np.repeat(signs, lengths),
        "exponent": np.repeat(exponent, lengths),
        "first": np.broadcast_to(place == 0, sent.shape)[sent],
        "last": (place == lengths[:, None] - 1)[sent],
    }


def check(model, groups, fmt="fp16", **options):
    return check_outputs(model, {"i": groups}, expected(groups, fmt), **options)


def test_bench():
    run_bench("anda.compressor", "tb.anda.compressor_tb")


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
def test_random_groups(rng, fmt, stall):
    model = bulk_model("anda.compressor", format=fmt)
    check(model, draw(rng, 10_000, fmt), fmt, stall=stall, seed=seeds("stall"))


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_significand_at_every_distance(rounding):
    """All FP16 fractions, 0 to 30 below the group's exponent, all M in turn: every carry and tie.

    Element 0 sets the exponent, the others hold 63 fractions each; so 17 groups hold them all.
    """
    fractions = np.resize(np.arange(1 << 10), (17, 63))
    top, length = np.meshgrid(np.arange(1, 32), np.arange(1, 17), indexing="ij")
    groups = np.zeros((*top.shape, 17, 64), np.uint16)
    groups[..., 0] = top[..., None] << 10
    groups[..., 1:] = fractions | (1 << 10)
    subnormal = groups.copy()
    subnormal[..., 1:] = fractions
    values = np.concatenate([groups.reshape(-1, 64), subnormal.reshape(-1, 64)])
    lengths = np.tile(np.repeat(length.ravel(), 17), 2)
    drawn = {
        "values": values,
        "mantissa_bits": lengths,
        "rounding": np.full(len(values), ROUNDINGS.index(rounding)),
    }
    check(bulk_model("anda.compressor"), drawn)


def test_cycles_of_every_length(rng):
    p = parameters("anda.compressor")
    model = bulk_model("anda.compressor")
    for mantissa_bits in range(1, 17):
        groups = draw(rng, 300, "fp16", mantissa_bits)
        cycles = check(model, groups)["o"].cycles
        spent = int(cycles[-1] - cycles[0]) + 1
        idle = p.cycles(mantissa_bits) - mantissa_bits  # after the last group, not counted
        assert spent == p.cycles(mantissa_bits) * 300 - idle
        assert p.cycles(mantissa_bits) == max(2, mantissa_bits)


def test_latency(rng):
    result = check(bulk_model("anda.compressor"), draw(rng, 1, "fp16", 8))
    latency = int(result["o"].cycles[0] - result.accepted["i"][0])
    assert latency == parameters("anda.compressor").latency


@pytest.mark.parametrize("stages_per_rank", [2, 3])
def test_fewer_ranks(rng, stages_per_rank):
    """One rank within the rounding, and none: the same planes, only sooner."""
    settings = {"format": "bf16", "stages_per_rank": stages_per_rank}
    model = bulk_model("anda.compressor", **settings)
    result = check(model, draw(rng, 5_000, "bf16"), "bf16")
    latency = int(result["o"].cycles[0] - result.accepted["i"][0])
    assert latency == parameters("anda.compressor", **settings).latency
    check(model, draw(rng, 2_000, "bf16"), "bf16", stall=0.5, seed=seeds("stall"))


def test_reset_in_mid_stream(rng):
    model = bulk_model("anda.compressor")
    groups = draw(rng, 50, "fp16")
    for cycle in rng.integers(3, 400, 5):
        check(model, groups, stall=0.3, reset_at=int(cycle))


@pytest.mark.slow
@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
def test_many_groups(rng, fmt):
    check(bulk_model("anda.compressor", format=fmt), draw(rng, GROUPS, fmt), fmt, stall=0.1)
