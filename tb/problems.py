"""Random matrix products for the system, in the shapes and with the values that go wrong."""

import numpy as np

from lamina_gen.gemm import Problem


def random_problem(rng, engine, m, n, k, *, bits=4, scale_group=128, zeros=False, **options):
    """Return a product of normal activations, a few of them special, and any codes."""
    x = rng.standard_normal((m, k)).astype(np.float16)
    bad = options.pop("special", ())
    for value in bad:
        x[rng.integers(m), rng.integers(k)] = value
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)
    groups = -(-k // scale_group)
    return Problem(
        engine=engine,
        activations=x,
        codes=rng.integers(low, high, (k, n)).astype(np.int8),
        scales=rng.standard_normal((groups, n)).astype(np.float16),
        zero_points=rng.integers(low, high, (groups, n)).astype(np.int8) if zeros else None,
        weight_bits=bits,
        scale_group=scale_group,
        **options,
    )


def scale_group(rng, engine, k):
    """Return a size of scale groups that ``engine`` takes: k itself, or a multiple."""
    step = 64 if engine == "anda" else 4
    return int(rng.choice([k, step, 2 * step, 3 * step, 5 * step]))
