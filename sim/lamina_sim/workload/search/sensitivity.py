"""A model of how the loss grows as mantissas shrink, fitted to what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.precision import Mantissas

Array = npt.NDArray[np.float64]

#: A bit more divides a loss by about 4, the square of the error's step; in nats, with its spread.
_DECAY, _DECAY_SPREAD = math.log(4), 0.35
#: Spread, in nats, of the positions' sensitivities about their mean before anything is measured.
_SPREAD = 1.5
#: What the model misses, in nats: losses do not quite add, nor fall by one factor per bit, and
#: a text is short. A first guess, which counts as so many measurements, and the least.
_NOISE, _NOISE_COUNT, _LEAST_NOISE = 0.25, 4, 0.06
#: Below this fraction of the tolerance a loss says no more than that it is small.
_FLOOR = 0.02
#: Losses that are larger, or no numbers, count as this one.
_MOST = 1e3


class Sensitivity:
    """loss(M) = sum of exp(a_i - decay_i * M_i) over the positions, a and decay unknown.

    Quantization errors of different products are nearly independent, so the losses that they
    cause nearly add; one bit less doubles an error and makes its loss about four times as large.
    a and decay have normal priors and are fitted to the logarithm of the losses (Laplace's
    approximation), what they miss is estimated from the residuals; so the model knows how sure it
    is of a prediction.
    """

    def __init__(self, macs: Sequence[int], tolerance: float) -> None:
        self._count = len(macs)
        self._least = max(_FLOOR * tolerance, 1e-9)
        self._target = math.log(max(tolerance, self._least))
        # Where nothing is known, 7 bits everywhere cost about what 1 % stands for.
        level = self._target + _DECAY * 7 - math.log(self._count)
        self._prior = np.repeat([level, _DECAY], self._count)
        self._spread = np.repeat([_SPREAD, _DECAY_SPREAD], self._count)
        self._tuples: list[Mantissas] = []
        self._losses: list[float] = []
        self._weights = self._prior.copy()
        self._covariance = np.diag(self._spread**2)
        self._noise = _NOISE

    @property
    def blur(self) -> float:
        """How far a loss may be off: fewer bits never help, so a gain is the text's own noise."""
        return max(self._least, -min(self._losses, default=0.0))

    def observe(self, mantissas: Mantissas, loss: float) -> None:
        """Take in a measured loss; one that is not finite counts as a large one."""
        self._tuples.append(mantissas)
        self._losses.append(min(loss, _MOST) if math.isfinite(loss) else _MOST)
        self._fit()

    def chance(self, space: npt.NDArray[np.int64]) -> Array:
        """Probability that the loss of each tuple [n, positions] is within the tolerance."""
        log, slope = self._predict(self._weights, space.astype(np.float64))
        variance = np.einsum("ni,ij,nj->n", slope, self._covariance, slope)
        variance += self._noise**2 + np.square(self.blur / np.maximum(np.exp(log), self.blur))
        z = (self._target - log) / np.sqrt(variance)
        # The logistic curve that follows the normal distribution function.
        return 1 / (1 + np.exp(np.clip(-1.702 * z, -60, 60)))

    def _predict(self, weights: Array, space: Array) -> tuple[Array, Array]:
        """Logarithm of the loss [n] and its derivative [n, 2 * positions]."""
        exponents = weights[: self._count] - weights[self._count :] * space
        top = exponents.max(1, keepdims=True)
        share = np.exp(exponents - top)
        total = share.sum(1, keepdims=True)
        share /= total
        return (top + np.log(total))[:, 0], np.concatenate((share, -share * space), axis=1)

    def _fit(self) -> None:
        """Gauss-Newton steps, damped, on the squared residuals and the priors."""
        space = np.array(self._tuples, dtype=np.float64)
        losses = np.maximum(self._losses, self.blur)
        logs = np.log(losses)
        # A loss no larger than the blur says only that it is small.
        bound = losses <= self.blur
        inverse = np.diag(self._spread**-2)
        weights = self._prior.copy()
        for _ in range(30):
            predicted, slope = self._predict(weights, space)
            sigma = np.sqrt(self._noise**2 + np.square(self.blur / losses))
            scaled = slope / sigma[:, None]
            residual = logs - predicted
            hessian = scaled.T @ scaled + inverse
            gradient = scaled.T @ (residual / sigma) + inverse @ (self._prior - weights)
            weights = weights + np.clip(np.linalg.solve(hessian, gradient), -1, 1)
            squares = np.square(residual[~bound])
            total = _NOISE_COUNT * _NOISE**2 + squares.sum()
            self._noise = max(_LEAST_NOISE, math.sqrt(total / (_NOISE_COUNT + len(squares))))
        self._weights, self._covariance = weights, np.linalg.inv(hessian)
