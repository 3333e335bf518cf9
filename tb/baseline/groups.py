"""Stimulus of the integer baselines, which take aligned groups whole, and what they must answer."""

import numpy as np

from lamina_sim.golden import anda
from tb.anda.groups import GROUP, random_weights

#: Fields of a group that come back with its sums.
BESIDE = ("exponent", "index", "begin", "end")


def random_groups(rng, count, p, load_share=0.3):
    """Draw payloads of ``i`` for parameters ``p``: half are FP16 groups aligned to M bits.

    The others are integers of all sizes, a third of them extreme throughout.
    """
    x = rng.standard_normal((count, GROUP)) * np.exp2(rng.integers(-12, 8, (count, 1)))
    encoded = anda.encode(x.astype(np.float16), p.mantissa_bits)
    largest = (1 << p.mantissa_bits) - 1
    drawn = rng.integers(-largest, largest + 1, (count, GROUP))
    extreme = rng.choice([-largest, largest], (count, GROUP))
    kind = rng.integers(0, 6, count)[:, None]
    values = np.where(kind < 3, encoded.integers[:, 0], np.where(kind < 5, drawn, extreme))
    load = rng.random(count) < load_share
    load[0] = True
    return {
        "values": values.astype(np.int64),
        "exponent": encoded.exponent[:, 0].astype(np.int64),
        "index": rng.integers(0, 1 << p.index_bits, count),
        "load": load.astype(np.int64),
        "begin": rng.integers(0, 2, count),
        "end": rng.integers(0, 2, count),
    }


def extreme_groups(rng, p):
    """Every mix of extreme activations with extreme codes and zero points, a set for each group."""
    largest, half = (1 << p.mantissa_bits) - 1, 1 << p.weight_bits - 1
    value, code, zero = np.meshgrid(
        [-largest, largest, -1, 0], [-half, half - 1, -1, 0], [-half, half - 1, 0]
    )
    groups = random_groups(rng, value.size, p, load_share=1.0)
    groups["values"][:] = value.reshape(-1, 1)
    weights = random_weights(rng, value.size, p.columns, p.weight_bits)
    weights["codes"][:] = code.reshape(-1, 1, 1)
    weights["zeros"][:] = zero.reshape(-1, 1) * p.zero_points
    return groups, weights


def draw(rng, count, p, **options):
    """Draw groups and the weights that they load."""
    groups = random_groups(rng, count, p, **options)
    sets = int(groups["load"].sum())
    return groups, random_weights(rng, sets, p.columns, p.weight_bits, p.zero_points)


def weight_set(groups):
    """Which set of weights each group meets."""
    return np.cumsum(groups["load"]) - 1


def expected(golden, groups, weights):
    """P_g of every group and column, by ``golden(values, b)``: int64 [G, columns]."""
    b = (weights["codes"] - weights["zeros"][..., None])[weight_set(groups)]
    return golden(groups["values"][:, None], b)
