"""How many planes of each tensor, or of each few rows of it, a loss bound needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.nested import read_planes
from lamina_sim.workload.quantize import Quantized

Array = npt.NDArray[np.float64]
Planes = dict[str, list[int]]


@dataclass(kw_only=True)
class PlaneOutcome:
    """What a plane search found.

    Members
        planes       by tensor, one number for each unit of its rows
        loss         of these planes over the reference; infinite if none passed
        fraction     of the bytes of all planes that these are
        evaluations  how often the model was evaluated
        trace        (fraction, loss, accepted) of the allocations tried, probes left out
    """

    planes: Planes
    loss: float = float("inf")
    fraction: float = 1.0
    evaluations: int = 0
    trace: list[tuple[float, float, bool]] = field(default_factory=list)


def plane_search(
    evaluate: Callable[[Planes], float],
    codes: Mapping[str, Quantized],
    tolerance: float,
    *,
    powers: Mapping[str, Array] | None = None,
    rows: int | None = None,
    reading: str = "midpoint",
    trials: int = 8,
) -> PlaneOutcome:
    """Fewest bytes of planes within ``tolerance``: loss by ``evaluate`` over the reference.

    The damage of reading a unit at k planes is estimated by the squares of its weights' errors,
    times ``powers``: mean squares [k] of the activations of each tensor, if given; all over the
    tensor's own power. One evaluation of each tensor at few planes says what its damage means for
    the loss. Then planes go where they
    cost least loss a byte, and ``trials`` bisect on the loss to aim at.

    ``rows`` of a checkpoint's matrix [out, in] that share a number, say 8, a tile of the plane
    store; None: all of a tensor. ``reading`` as in `read_planes`.
    """
    damages = {
        name: _damages(q, None if powers is None else powers[name], rows, reading)
        for name, q in codes.items()
    }
    whole = {name: [q.bits] * len(damages[name]) for name, q in codes.items()}
    outcome = PlaneOutcome(planes=whole)

    def measure(planes: Planes) -> float:
        outcome.evaluations += 1
        return evaluate(planes)

    base = measure(whole)
    if base > tolerance:
        return outcome
    outcome.loss = base
    _calibrate(damages, codes, lambda planes: measure(whole | planes) - base)
    low, high = 0.0, 2.0
    rejected: list[Planes] = []
    for _ in range(trials):
        aim = (low + high) / 2
        planes = _allocate(damages, codes, rows, aim * (tolerance - base))
        cost = fraction(planes, codes, rows)
        if cost >= outcome.fraction:
            low = aim
            continue
        if planes in rejected:
            high = aim
            continue
        loss = measure(planes)
        accepted = loss <= tolerance
        outcome.trace.append((cost, loss, accepted))
        if accepted:
            low, outcome.planes, outcome.loss, outcome.fraction = aim, planes, loss, cost
        else:
            high = aim
            rejected.append(planes)
    return outcome


def _calibrate(
    damages: dict[str, Array], codes: Mapping[str, Quantized], growth: Callable[[Planes], float]
) -> None:
    """Turn relative damages into losses, by one probe of each tensor at few planes."""
    probes, losses = {}, {}
    for name, q in codes.items():
        keep = max(2, (q.bits - 1) // 2)
        probes[name] = float(damages[name][:, keep - 1].sum())
        losses[name] = max(0.0, growth({name: [keep] * len(damages[name])}))
    for name, factor in sensitivities(probes, losses).items():
        damages[name] *= factor


def sensitivities(damages: Mapping[str, float], losses: Mapping[str, float]) -> dict[str, float]:
    """What a damage of each tensor means for the loss, by one damage and its loss of each.

    Half of what a probe says counts, and half of what is usual for such a damage: a change of one
    tensor may lower the loss of a short text by chance, and many such changes then do not.
    """
    usual = sum(losses.values()) / max(sum(damages.values()), 1e-30)
    return {
        name: (usual + losses[name] / max(damage, 1e-30)) / 2 for name, damage in damages.items()
    }


def read_rows(
    codes: Mapping[str, Quantized], planes: Planes, rows: int | None, reading: str = "midpoint"
) -> dict[str, Quantized]:
    """The codes as they are read at these planes, by tensor."""
    return {
        name: read_planes(q, columns(planes[name], rows, q), reading) for name, q in codes.items()
    }


def columns(planes: list[int], rows: int | None, q: Quantized) -> npt.NDArray[np.int64]:
    """The number of planes of each of the n columns of codes [k, n]."""
    n = q.codes.shape[1]
    return np.repeat(np.array(planes, dtype=np.int64), n if rows is None else rows)[:n]


def fraction(planes: Planes, codes: Mapping[str, Quantized], rows: int | None) -> float:
    """Bytes of these planes over those of all planes."""
    kept = sum(
        int(columns(planes[name], rows, q).sum()) * len(q.codes) for name, q in codes.items()
    )
    return kept / sum(q.codes.size * q.bits for q in codes.values())


def _damages(q: Quantized, power: Array | None, rows: int | None, reading: str) -> Array:
    """Weighted squared error [units, bits] of each unit at 1, 2, .. planes; none at all.

    Over the weighted squares of all of the tensor's weights.
    """
    n = q.codes.shape[1]
    step = n if rows is None else rows
    exact = q.dequantize().astype(np.float64)
    weight = np.ones(len(exact)) if power is None else power
    starts = np.arange(0, n, step)
    result = np.zeros((len(starts), q.bits))
    for keep in range(1, q.bits):
        error = read_planes(q, keep, reading).dequantize() - exact
        result[:, keep - 1] = np.add.reduceat(weight @ (error * error), starts)
    return result / max(float((weight @ (exact * exact)).sum()), 1e-30)


def _allocate(
    damages: Mapping[str, Array], codes: Mapping[str, Quantized], rows: int | None, budget: float
) -> Planes:
    """Planes of the least bytes whose damages sum to the budget at most.

    For a price of a byte, each unit takes the number of planes that is cheapest in sum; the price
    is the highest that keeps within the budget.
    """
    sizes = {}
    for name, q in codes.items():
        n = q.codes.shape[1]
        step = n if rows is None else rows
        counts = np.minimum(step, n - np.arange(0, n, step))
        sizes[name] = counts[:, None] * len(q.codes) * np.arange(1, q.bits + 1)

    def at(price: float) -> tuple[Planes, float]:
        planes, total = {}, 0.0
        for name, damage in damages.items():
            best = (damage + price * sizes[name]).argmin(1)
            total += float(damage[np.arange(len(best)), best].sum())
            planes[name] = (best + 1).tolist()
        return planes, total

    low, high = -60.0, 10.0  # of the logarithm of the price
    for _ in range(60):
        middle = (low + high) / 2
        if at(float(np.exp(middle)))[1] <= budget:
            low = middle
        else:
            high = middle
    return at(float(np.exp(low)))[0]
