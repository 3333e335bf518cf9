from fractions import Fraction

import numpy as np
import pytest

from lamina_sim.golden import pacq
from tb.golden import oracle

KINDS = ("normal", "wide", "special")


def activations(rng, kind, shape):
    if kind == "normal":
        return rng.normal(size=shape).astype(np.float16)
    patterns = rng.integers(0, 1 << 16, shape).astype(np.uint16)
    if kind == "wide":
        patterns &= 0xBFFF  # below 2
    return patterns.view(np.float16)


def exponent(number):
    """The field of a finite number other than 0, by halving and doubling."""
    number, field = abs(number), 15
    while number >= 2:
        number, field = number / 2, field + 1
    while number < 1 and field > 1:
        number, field = number * 2, field - 1
    return field


def passes(rows, window_bits):
    """Steps of each pass over ``rows`` of FP16 patterns, one window after another."""
    values = [[oracle.value(pattern, "fp16") for pattern in row] for row in rows]
    left = [
        {k: value for k, value in enumerate(row) if value not in (0, oracle.NAN) and value == value}
        for row in values
    ]
    tops = [
        max((exponent(v) for v in row.values() if not oracle.is_special(v)), default=1)
        for row in left
    ]
    # What a signed integer of so many bits holds in the unit of the window's least exponent.
    depth = window_bits - 12
    steps, counts = range(len(rows[0]) // 4), [len(rows[0]) // 4]
    while True:
        bases = [max(top - depth, 1) for top in tops]
        for row, top, base in zip(left, tops, bases, strict=True):
            for k, v in list(row.items()):
                if not oracle.is_special(v) and base <= exponent(v) <= top:
                    units = v / Fraction(2) ** (base - 25)
                    assert units.denominator == 1
                    assert -(2 ** (window_bits - 1)) <= units < 2 ** (window_bits - 1)
                    del row[k]
        count = sum(any(k // 4 == step for row in left for k in row) for step in steps)
        if all(base == 1 for base in bases):
            break
        counts += [count] * (count > 0)
        tops = [max(base - 1, 1) for base in bases]
    assert all(oracle.is_special(v) for row in left for v in row.values())
    for step in steps:
        counts += [1] * max(sum(k // 4 == step for k in row) for row in left)
    return counts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window_bits", [16, 17, 24, 30, 41])
def test_passes(kind, window_bits, rng):
    for rows in (1, 2):
        x = activations(rng, kind, (4, 64))
        found = pacq.window_passes(x, window_bits=window_bits, rows=rows, scale_group=32)
        patterns = x.view(np.uint16).tolist()
        due = [
            passes([row[start : start + 32] for row in patterns[r : r + rows]], window_bits)
            for r in range(0, 4, rows)
            for start in (0, 32)
        ]
        assert [list(steps) for steps in found.steps] == due


def test_counts():
    x = np.zeros((1, 16), np.float16)
    x[0, 0], x[0, 5], x[0, 7] = 1, 2.0**-13, 2.0**-24
    found = pacq.window_passes(x, window_bits=24, scale_group=8)
    assert found.steps == ((2, 1), (2,))
    assert (found.fresh, found.replayed, found.cycles(1), found.cycles(4)) == (4, 1, 5, 12)
    assert found.overhead(4) == 0.5
    assert pacq.window_passes(x, window_bits=41, scale_group=8).replayed == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_bits": 15}, "window_bits must be between 16 and 41, not 15."),
        ({"rows": 0}, "rows must be at least 1, not 0."),
        ({"scale_group": 6}, "scale_group must be a multiple of 4, not 6."),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        pacq.window_passes(np.zeros((1, 8), np.float16), **changes)
