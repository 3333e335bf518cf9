"""A checkpoint, its codes and a text: what `eval`, `search` and the models bench work on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamina_sim.workload import checkpoint, tinylm
from lamina_sim.workload.arithmetic import Arithmetic
from lamina_sim.workload.calibrate import quantize_model
from lamina_sim.workload.decoder import windows
from lamina_sim.workload.evaluation import LONGEST_CONTEXT, Evaluator, Score
from lamina_sim.workload.precision import Mantissas, Precision
from lamina_sim.workload.quantize import Quantized

__all__ = ["Settings", "Study", "read_precision"]

Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to evaluate, and how its weights are quantized.

    ``text`` is a file; the bundled model has one of its own. ``tokens`` are evaluated, the first
    of the text; ``calibration`` of its last tokens are what "gptq" and "nested" calibrate on.
    ``weight_bits`` and ``scale_group`` (0: one scale per column) of a checkpoint that is quantized
    already are its own.
    """

    source: str
    text: Path | None = None
    tokenizer: Path | None = None
    tokens: int = 8192
    context: int | None = None
    weight_bits: int = 4
    scale_group: int = 128
    method: str = "nearest"
    symmetric: bool = True
    calibration: int = 4096


class Study:
    """Opens a checkpoint, quantizes it and evaluates it.

    Members `model`, `codes`, `evaluator`; `ids`, the tokens of the text.

    ValueError or OSError in one sentence where something of it cannot be.
    """

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        self.settings, self._progress = settings, progress
        opened = checkpoint.load(settings.source)
        self.model = opened.model
        self.ids = ids = _tokens(settings, opened)
        self.evaluator = Evaluator(
            self.model, ids, context=settings.context, budget=settings.tokens, report=progress
        )
        self.codes: dict[str, Quantized]
        if opened.quantized:
            self.codes = dict(opened.quantized)
        else:
            self.codes = quantize_model(
                self.model,
                settings.method,
                bits=settings.weight_bits,
                group=settings.scale_group or None,
                symmetric=settings.symmetric,
                tokens=None if settings.method == "nearest" else self.calibration(),
                report=progress,
            )
        self.weight_bits = next(iter(self.codes.values())).bits
        groups = {q.group for q in self.codes.values()}
        # One scale per column: each product has a group of its own length.
        per_channel = len(groups) > 1 or (not opened.quantized and not settings.scale_group)
        self.scale_group = None if per_channel else groups.pop()

    @property
    def macs(self) -> Mantissas:
        """Multiplications per token of each kind, in one layer."""
        return self.model.macs

    def score(
        self,
        arithmetic: str,
        precision: Precision | None = None,
        codes: Mapping[str, Quantized] | None = None,
    ) -> Score:
        """The loss with an arithmetic; evaluations whose first layers are alike share them."""
        linear = Arithmetic(
            name=arithmetic,
            model=self.model,
            codes=self.codes if codes is None else codes,
            precision=precision,
        )
        keys = [linear.key(i) for i in range(self.model.layers)]
        return self.evaluator.score(linear, keys if codes is None else None)

    def calibration(self) -> np.ndarray:
        """Windows [rows, t] of the last tokens, none of which is evaluated."""
        context = min(self.model.context, LONGEST_CONTEXT)
        return windows(self.model, self._calibration_text(context), context)[:, :-1]

    def calibrator(self) -> Evaluator:
        """An evaluator over the windows of `calibration`."""
        context = min(self.model.context, LONGEST_CONTEXT)
        text = self._calibration_text(context)
        return Evaluator(self.model, text, context=context, report=self._progress)

    def _calibration_text(self, context: int) -> np.ndarray:
        left = self.ids[self.evaluator.tokens + 1 :]
        wanted = max(self.settings.calibration, context) + 1
        if len(left) <= context:
            raise ValueError(
                f"Calibration needs {context + 1} tokens of the text beside "
                f"those evaluated, not {len(left)}; a smaller --tokens leaves more."
            )
        return left[-wanted:]


def _tokens(settings: Settings, opened: checkpoint.Checkpoint) -> np.ndarray:
    tokenizer = opened.tokenizer_of(settings.tokenizer)
    if settings.text is not None:
        try:
            text = settings.text.read_text("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{settings.text} must be UTF-8 text.") from None
    elif settings.source == checkpoint.BUNDLED:
        text = tinylm.heldout()
    else:
        raise ValueError("--text must name a text file to evaluate on.")
    return tokenizer.encode(text)


def read_precision(path: Path) -> Precision:
    """A file that `search` wrote; ValueError where it is none."""
    try:
        return Precision.loads(path.read_text("utf-8"))
    except ValueError as error:  # also what is no UTF-8
        raise ValueError(f"{path}: {error}") from None


def entries_of(score: Score, reference: Score | None = None) -> dict[str, Any]:
    """A score as JSON has it."""
    over = None if reference is None else score.over(reference)
    return {
        "loss": score.loss,
        "perplexity": score.perplexity,
        "over_reference": over,
        "tokens": score.tokens,
        "seconds_per_token": score.seconds_per_token,
    }
