"""What a policy is told of weights that it has not fetched: made once, when they are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lamina_sim.workload.decoder import matmul
from lamina_sim.workload.evaluation import Evaluator
from lamina_sim.workload.nested import read_planes
from lamina_sim.workload.runtime.placement import DOWN, UP, Region
from lamina_sim.workload.runtime.policy import Array, Fixed, Known
from lamina_sim.workload.runtime.products import Importance, Runtime
from lamina_sim.workload.search.planes import sensitivities
from lamina_sim.workload.tensors import Float

#: Planes of the evaluations that say what a product's errors mean for the loss.
_PROBE = 2
#: Tokens whose importances are kept, to say how much a price lets through.
_SAMPLES = 256


def survey(
    region: Region, evaluator: Evaluator, report: Callable[[str, float], None] | None = None
) -> dict[str, Known]:
    """What is to be known of each product, by ``evaluator``, on a calibration text.

    The damage of reading a row at k planes is the sum of the squares of its weights' errors, those
    of outputs weighted by the mean squares of the inputs, and of `up` by what `down` makes of
    them. One evaluation of each product at 2 planes says what its damage means for the loss.
    """
    seen = _Observer(region)
    evaluator.score(seen)
    known: dict[str, Known] = {}
    probe = min(_PROBE, region.form.bits - 1)
    damages, growths = {}, {}
    base = _loss(region, evaluator, {})
    for number, name in enumerate(region.placed):
        if report:
            report(f"Probing {name}", number / len(region.placed))
        usual = seen.importance[name] / evaluator.tokens
        harm = _damage(region, name, seen.powers[name] / evaluator.tokens)
        harm /= max(float(usual @ harm[:, 0]), 1e-30)
        known[name] = Known(harm=harm, sample=seen.samples[name], usual=usual)
        damages[name] = float(usual @ harm[:, probe])
        growths[name] = max(0.0, _loss(region, evaluator, {name: probe}) - base)
    factors = sensitivities(damages, growths)
    return {name: replace(item, harm=item.harm * factors[name]) for name, item in known.items()}


def _loss(region: Region, evaluator: Evaluator, planes: dict[str, int]) -> float:
    """The loss with these planes of products, and all of others; first layers may be known."""
    model = evaluator.model
    keys = [
        (region, *((n, k) for n, k in planes.items() if model.layer_of(n) == layer))
        for layer in range(model.layers)
    ]
    return evaluator.score(Runtime(region, Fixed(region, planes)), keys).loss


class _Observer:
    """A `Linear` with the codes' weights that sums what `survey` wants to know of activations."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.importance: dict[str, Array] = {}
        self.powers: dict[str, Array] = {}
        self.samples: dict[str, Array] = {}
        self._of = Importance(region)

    def __call__(self, name: str, x: Float, weight: Float) -> Float:
        """y [m, out] of x [m, in]."""
        placed = self.region.placed.get(name)
        if placed is None:
            return matmul(name, x, weight)
        importance = self._of.of(name, x)
        self.importance[name] = self.importance.get(name, 0) + importance.sum(0)
        squares = importance
        if placed.by == "outputs":
            squares = np.square(placed.codes.arranged(x), dtype=np.float64)
        self.powers[name] = self.powers.get(name, 0) + squares.sum(0)
        self.samples.setdefault(name, importance[:_SAMPLES].copy())
        y = x @ placed.codes.dequantize()
        self._of.note(name, y)
        return y


def _damage(region: Region, name: str, power: Array) -> Array:
    """[rows, bits + 1]: damage of a row at 0, 1, .. planes, none at all, per importance."""
    placed = region.placed[name]
    q = replace(placed.codes, order=None)
    exact = q.dequantize().astype(np.float64)
    squares = np.zeros((q.bits + 1, *exact.shape))
    squares[0] = np.square(exact)
    for keep in range(1, q.bits):
        squares[keep] = np.square(read_planes(q, keep, "midpoint").dequantize() - exact)
    if placed.by == "inputs":
        return squares.sum(2).T
    damage = np.einsum("i,kij->jk", power, squares)
    down = region.placed.get(name.removesuffix(UP) + DOWN)
    if name.endswith(UP) and down is not None:
        damage *= np.square(down.codes.dequantize(), dtype=np.float64).sum(1)[:, None]
    return damage
