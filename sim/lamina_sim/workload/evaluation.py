"""Loss and perplexity of a model over a text, under any arithmetic."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.decoder import Decoder, Linear, Tokens, cross_entropy, matmul, windows
from lamina_sim.workload.tensors import Float

Report = Callable[[str, float], None]

#: Longest window where the caller names none: what perplexities are usually given for.
LONGEST_CONTEXT = 2048
#: Activations of one tensor that are worked on at a time, in elements.
_ELEMENTS = 1 << 24
#: States of layers that are kept, in bytes.
_KEPT = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Score:
    """Mean cross entropy in nats per token, over `tokens` predicted tokens, and what it took."""

    loss: float
    tokens: int
    seconds: float

    @property
    def perplexity(self) -> float:
        """exp(loss), infinite where that overflows."""
        return math.exp(self.loss) if self.loss < 700 else self.loss * math.inf

    @property
    def seconds_per_token(self) -> float:
        """Wall time."""
        return self.seconds / self.tokens

    def over(self, reference: Score) -> float:
        """Perplexity over the reference's, less 1: what the papers call loss."""
        difference = self.loss - reference.loss
        return math.expm1(difference) if difference < 700 else difference * math.inf


class Evaluator:
    """Evaluates a model on the same windows of a text again and again.

    Goes layer by layer over all windows, so that a model that is read from its file is read once
    for each evaluation, and keeps the states after each layer: an evaluation that does the first
    layers as an earlier one did starts behind them. The same input gives the same loss.

    Members
        computed  layers computed so far, those taken from earlier evaluations left out
    """

    def __init__(
        self,
        model: Decoder,
        tokens: npt.ArrayLike,
        *,
        context: int | None = None,
        budget: int | None = None,
        report: Report | None = None,
    ) -> None:
        """Of `tokens` int64 [n] the first windows are taken, `budget` tokens at most.

        ``context`` of a window: the model's, at most 2048, if it is not given. ValueError where the
        text or the budget is shorter than a window.
        """
        longest = min(model.context, LONGEST_CONTEXT)
        context = longest if context is None else context
        if not 1 <= context <= model.context:
            raise ValueError(f"context must be between 1 and {model.context}, not {context}.")
        if budget is not None and budget < context:
            raise ValueError(f"The token budget must be at least {context}, not {budget}.")
        cut = windows(model, tokens, context)
        self._windows: Tokens = cut if budget is None else cut[: budget // context]
        model.checked(self._windows[:, :-1])
        self.model, self._context, self._report = model, context, report
        self.computed = 0
        self._states: OrderedDict[tuple[Hashable, ...], Float] = OrderedDict()
        widest = max(max(shape) for name, shape in model.shapes.items() if ".0." in name)
        self._step = max(1, _ELEMENTS // (widest * context)) * context

    @property
    def tokens(self) -> int:
        """Tokens that an evaluation predicts."""
        return len(self._windows) * self._context

    def score(self, linear: Linear = matmul, key: Sequence[Hashable] | None = None) -> Score:
        """Loss with the products by `linear`.

        ``key[i]``: what layer i's results depend on; two evaluations whose keys begin alike share
        their first layers. None where nothing may be shared.
        """
        start = time.perf_counter()
        # An arithmetic may overflow; then the loss says so.
        with np.errstate(all="ignore"):
            total = self._sum(linear, key)
        seconds = time.perf_counter() - start
        return Score(loss=total / self.tokens, tokens=self.tokens, seconds=seconds)

    def _sum(self, linear: Linear, key: Sequence[Hashable] | None) -> float:
        first, x = self._known(key)
        for i in range(first, self.model.layers):
            before, x = x, np.empty_like(x)
            for part in range(0, len(x), self._step):
                rows = slice(part, part + self._step)
                x[rows] = self.model.layer(i, before[rows], self._context, linear)
                self._tell((i + min(1.0, (part + self._step) / len(x))) / self.model.layers)
            self.computed += 1
            if key is not None:
                self._keep(tuple(key[: i + 1]), x)
        return cross_entropy(self.model, x, self._windows[:, 1:].reshape(-1), linear)

    def _known(self, key: Sequence[Hashable] | None) -> tuple[int, Float]:
        """The number of first layers whose outcome is known, and it; of none, the embedding."""
        for count in range(len(key or ()), 0, -1):
            prefix = tuple((key or ())[:count])
            if prefix in self._states:
                self._states.move_to_end(prefix)
                return count, self._states[prefix]
        return 0, self.model.embed(self._windows[:, :-1])

    def _keep(self, prefix: tuple[Hashable, ...], x: Float) -> None:
        self._states[prefix] = x
        while len(self._states) > 1 and len(self._states) * x.nbytes > _KEPT:
            self._states.popitem(last=False)

    def _tell(self, fraction: float) -> None:
        if self._report:
            self._report("Evaluating", fraction)
