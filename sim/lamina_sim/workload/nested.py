"""Codes whose top planes are a model of their own, and the ways to read them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lamina_sim.golden.store import FORMATS, narrow
from lamina_sim.workload.gptq import DAMPING, compensate
from lamina_sim.workload.quantize import Quantized, check, grid

Array = npt.NDArray[np.float64]

READINGS = ("truncate", "nearest", "midpoint")
#: How far, in steps, a weight may lie outside of the step that its planes say.
_SLACK = 0.25


def read_planes(
    q: Quantized, keep: int | npt.NDArray[np.integer], reading: str = "truncate"
) -> Quantized:
    """What the top `keep` planes of the codes stand for, at the scales of the whole codes.

    keep     planes of all, or an array with one number for each of the n columns
    reading  "truncate": the low bits read as zero; "nearest": rounded by one guard plane, which
             costs a plane; "midpoint": truncated, and the zero points lowered by half a step of the
             dropped planes, so that a code stands for the middle of what it may have been. That
             costs no plane; a zero point that would leave the range of the codes stays at its end.

    ValueError on another reading or number of planes.
    """
    if reading not in READINGS:
        raise ValueError(f"reading must be one of {', '.join(READINGS)}, not {reading!r}.")
    rounding = "nearest" if reading == "nearest" else "truncate"
    form = FORMATS[f"int{q.bits}"]
    columns = np.broadcast_to(keep, q.codes.shape[1])
    codes = np.empty_like(q.codes)
    zeros = np.zeros(q.scales.shape, np.int16) if q.zero_points is None else q.zero_points * 1
    for planes in np.unique(columns).tolist():
        part = columns == planes
        codes[:, part] = narrow(np.ascontiguousarray(q.codes[:, part]), form, planes, rounding)
        if reading == "midpoint" and planes < q.bits:
            moved = zeros[:, part].astype(np.int16) - (1 << (q.bits - planes - 1))
            zeros[:, part] = np.maximum(moved, -(1 << (q.bits - 1)))
    return replace(
        q,
        codes=codes,
        zero_points=None if q.zero_points is None and not zeros.any() else zeros.astype(np.int8),
    )


def nested(
    weights: npt.NDArray[np.floating],
    hessian: Array,
    *,
    seed: int = 3,
    bits: int = 8,
    group: int | None = 128,
    damping: float = DAMPING,
) -> Quantized:
    """Codes of `bits` bits of which any `seed` or more planes, read at the midpoint, serve well.

    The seed planes are found as by `gptq`, each error carried on to the rows after it; then each
    further plane, one at a time, splits the steps of those before it, again with errors carried on.
    A weight may leave its own step by a quarter of one, no more: so the seed planes compensate
    errors by how they round what is nearly halfway, and the later planes still come to the weight.
    Scales span the largest weight, as by `quantize`; symmetric; parameters else as `gptq`.
    Source: Any-Precision LLM (ICML 2024), for codes instead of look-up tables.
    """
    check(weights, bits, group)
    if not 2 <= seed <= bits:
        raise ValueError(f"seed must be between 2 and {bits}, not {seed}.")
    k, n = weights.shape
    length = k if group is None else group
    exact = weights.astype(np.float64)
    padded = np.zeros((-(-k // length) * length, n))
    padded[:k] = exact
    scales, _ = grid(padded.reshape(-1, length, n), bits, symmetric=True)
    rows = scales[np.arange(k) // length].astype(np.float64)
    codes = np.zeros((k, n))
    for keep in range(seed, bits + 1):
        codes = _refine(exact, hessian, rows, codes, keep, seed, bits, damping)
    return Quantized(codes.astype(np.int8), scales, None, bits, length)


def _refine(
    weights: Array,
    hessian: Array,
    rows: Array,
    codes: Array,
    keep: int,
    seed: int,
    bits: int,
    damping: float,
) -> Array:
    """Codes with `keep` planes set, the low ones zero, out of codes with one plane less."""
    step = 1 << (bits - keep)
    middle = 0 if keep == bits else step / 2
    # The seed planes are free; a later plane may only halve the step that its code stands for.
    first = np.full_like(codes, -(1 << bits - 1)) if keep == seed else codes
    steps = (1 << seed) - 1 if keep == seed else 1
    refined = np.empty_like(codes)
    divisor = np.where(rows == 0, np.inf, rows)
    place = (weights / divisor - first) / step
    lowest, highest = np.ceil(place - 1 - _SLACK), np.floor(place + _SLACK)

    def choose(i: int, rest: Array) -> Array:
        wanted = np.rint((rest[0] / divisor[i] - middle - first[i]) / step)
        # The weight itself must lie in the step chosen, or near: later planes cannot go back.
        wanted = np.clip(wanted, lowest[i], highest[i])
        refined[i] = first[i] + step * np.clip(wanted, 0, steps)
        return (refined[i] + middle) * rows[i]

    compensate(weights.copy(), hessian, choose, damping=damping)
    # A scale of zero: any code stands for zero.
    return np.where(rows == 0, 0, refined)
