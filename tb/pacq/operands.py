"""Operands of matrix products in PacQ's formats, at random, with their golden product."""

from dataclasses import dataclass

import numpy as np

from lamina_sim.golden import pacq

#: Of activations, see `random_operands`.
KINDS = ("normal", "wide", "subnormal", "extreme", "special")


@dataclass(frozen=True, kw_only=True)
class Operands:
    """x float16 [m, k] times codes int8 [k, n], as `golden.pacq.gemm` takes them."""

    x: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray
    bits: int
    scale_group: int

    def golden(self):
        """float32 [m, n]."""
        return pacq.gemm(
            self.x, self.codes, self.scales,
            bits=self.bits, zero_points=self.zero_points, scale_group=self.scale_group,
        )  # fmt: skip


def random_operands(rng, *, bits, m, k, n, scale_group, kind="normal"):
    """Draw the fields of `Operands`, the activations of one ``kind``.

    "wide": any finite patterns; "subnormal"; "extreme": all the largest of one sign, and so are the
    weights; "special": rows of normal or wide ones with about one Inf or NaN each. One scale in
    sixteen is zero.
    """
    low, groups = -(1 << (bits - 1)), -(-k // scale_group)
    codes = rng.integers(low, -low, (k, n)).astype(np.int8)
    zero_points = rng.integers(low, -low, (groups, n)).astype(np.int8)
    scales = rng.normal(size=(groups, n)).astype(np.float16)
    scales[rng.random(scales.shape) < 1 / 16] = 0
    if kind == "extreme":
        codes[:], zero_points[:] = -low - 1, low
    return {
        "x": _activations(rng, (m, k), kind),
        "codes": codes,
        "scales": scales,
        "zero_points": zero_points,
        "bits": bits,
        "scale_group": scale_group,
    }


def _activations(rng, shape, kind):
    if kind == "extreme":
        return np.full(shape, 65504.0, np.float16) * np.float16(rng.choice([-1, 1]))
    normal = rng.normal(size=shape).astype(np.float16)
    finite = rng.integers(0, 0x7C00, shape) | rng.integers(0, 2, shape) << 15
    patterns = finite & 0x83FF if kind == "subnormal" else finite
    wide = patterns.astype(np.uint16).view(np.float16)
    if kind != "special":
        return normal if kind == "normal" else wide
    x = np.where(rng.random((shape[0], 1)) < 0.5, normal, wide)
    places = rng.random(shape) < 1.3 / shape[1]  # some rows stay numbers
    odd = rng.choice(np.array([np.inf, -np.inf, np.inf, -np.inf, np.nan], np.float16), shape)
    return np.where(places, odd, x)
