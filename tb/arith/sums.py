"""Beats for the scaled accumulation, and what its sums are."""

import numpy as np

from lamina_sim.golden import ieee
from tb.arith import vectors


def beats(rng: np.random.Generator, index: np.ndarray) -> dict[str, np.ndarray]:
    """Draw an input beat for each entry of ``index``: fields as arrays.

    The first beat of an index begins a sum, one in eight of the others too; one in four ends one.
    Most values and scales are of like size, so that the sums round; some are anything at all.
    """
    count = len(index)
    value = rng.normal(0, 1, count) * 2.0 ** rng.integers(-12, 12, count)
    value = value.astype(np.float32).view(np.uint32)
    scale = rng.normal(0, 1, count).astype(np.float16).view(np.uint16)
    wild = rng.random(count) < 1 / 50
    first = np.zeros(count, bool)
    first[np.unique(index, return_index=True)[1]] = True
    return {
        "value": np.where(wild, vectors.random_patterns(rng, count), value),
        "scale": np.where(wild, rng.integers(0, 1 << 16, count), scale).astype(np.uint16),
        "index": index,
        "begin": first | (rng.random(count) < 1 / 8),
        "end": rng.random(count) < 1 / 4,
    }


def golden(beats: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the beats that leave, after acc[index] = FP32(acc[index] + FP32(value * scale))."""
    scale = beats["scale"].view(np.float16).astype(np.float32).view(np.uint32)
    scaled = ieee.fp32_multiply(beats["value"], scale).view(np.float32)
    sums: dict[int, np.float32] = {}
    left = []
    with np.errstate(all="ignore"):
        for r, index, begin, end in zip(
            scaled, beats["index"].tolist(), beats["begin"], beats["end"], strict=True
        ):
            sums[index] = (np.float32(0) if begin else sums[index]) + r
            if end:
                left.append((sums[index], index))
    value = ieee.canonical(np.array([v for v, _ in left], np.float32)).view(np.uint32)
    return {"value": value, "index": np.array([i for _, i in left], np.int64)}
