"""Stimulus of the floating-point lanes: groups of steps, interleaved, and their sums."""

import numpy as np

#: Zeros, the ends of the subnormal and normal range, neighbours of 1, Inf and NaN, both signs.
CORNERS = [0, 1, 2, 0x3FF, 0x400, 0x401, 0x3BFF, 0x3C00, 0x3C01, 0x7BFF, 0x7C00, 0x7C01, 0x7E00]
CORNERS = np.array([*CORNERS, *(x | 0x8000 for x in CORNERS)], np.uint16)


def halves(rng, shape):
    """Draw FP16 by rows: normal data, any finite pattern, and rows with corners among them.

    Any row of the third kind may have an Inf or NaN; one corner in five is one.
    """
    x = rng.standard_normal(shape) * np.exp2(rng.integers(-14, 8, (*shape[:-1], 1)))
    patterns = x.astype(np.float16).view(np.uint16)
    finite = rng.integers(0, 0x7C00, shape) | rng.integers(0, 2, shape) << 15
    kind = rng.integers(0, 4, (*shape[:-1], 1))
    patterns = np.where(kind == 1, finite.astype(np.uint16), patterns)
    corner = (kind >= 2) & (rng.random(shape) < np.where(kind == 2, 0.01, 0.3))
    return np.where(corner, rng.choice(CORNERS, shape), patterns).view(np.float16)


def cancelling(rng, shape):
    """Rows in which every product is followed, somewhere, by its opposite: the exact sum is 0."""
    a, b = rng.standard_normal((2, *shape)).astype(np.float16)
    half = shape[-1] // 2
    a[..., half:], b[..., half:] = -a[..., :half], b[..., :half]
    order = rng.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)
    return np.take_along_axis(a, order, -1), np.take_along_axis(b, order, -1)


def interleave(a, b, slots, lanes=1):
    """Return payloads of ``i`` for dot products ``a[g] . b[g]``, ``slots`` of them in turn.

    ``a`` and ``b`` [groups, k], groups a multiple of ``slots``; a step takes ``lanes`` of k. The
    sums come in the order of the groups.
    """
    groups, k = a.shape
    steps = k // lanes
    rounds = groups // slots

    def turns(x):
        x = x.reshape(rounds, slots, steps, lanes).transpose(0, 2, 1, 3).reshape(-1, lanes)
        x = x.view(np.uint16) if x.dtype == np.float16 else x.astype(np.int64)
        return x if lanes > 1 else x[:, 0]

    step, index = np.meshgrid(np.arange(steps), np.arange(slots), indexing="ij")
    place = {"index": index, "begin": step == 0, "end": step == steps - 1}
    places = {name: np.tile(x.ravel().astype(np.int64), rounds) for name, x in place.items()}
    return {"a": turns(a), "b": turns(b), **places}


def two_halves(rng, shape):
    """Draw the operands of an FP-FP lane, a quarter of the rows with an exact sum of 0."""
    a, b = halves(rng, shape), halves(rng, shape)
    if shape[-1] % 2 == 0:
        zero = rng.random((shape[0], 1)) < 0.25
        a, b = (np.where(zero, *pair) for pair in zip(cancelling(rng, shape), (a, b), strict=True))
    return a, b


def half_and_weight(rng, shape, bits=4):
    """Draw the operands of an FP-INT lane, a quarter of the rows with extreme weights only."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    weights = rng.integers(low, high + 1, shape)
    extreme = rng.choice([low, high, 0], shape)
    weights = np.where(rng.random((shape[0], 1)) < 0.25, extreme, weights)
    return halves(rng, shape), weights.astype(np.int16)
