"""Rotary position embeddings: the angles of Llama and of the ways to stretch its context."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_sim.workload.tensors import Float

KINDS = ("default", "linear", "dynamic", "llama3")
_NEEDED = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": (
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Rope:
    """How positions turn the heads; the names are those of a Hugging Face config.json.

    ``kind``: "default"; "linear" divides positions by ``factor``; "dynamic" raises theta where a
    sequence is longer than the model was trained for (NTK-aware); "llama3" divides the slow
    frequencies by ``factor`` and blends towards the fast ones.
    """

    kind: str = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: float | None = None

    @classmethod
    def from_json(cls, entries: Mapping[str, Any] | None) -> Rope:
        """Of `rope_scaling` or `rope_parameters`; ValueError on what is not known here."""
        if not entries:
            return cls()
        kind = entries.get("rope_type", entries.get("type", "default"))
        if kind not in KINDS:
            raise ValueError(f"rope_scaling must be one of {', '.join(KINDS)}, not {kind!r}.")
        values: dict[str, float] = {}
        for name in _NEEDED[kind]:
            value = entries.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(
                    f"rope_scaling of type {kind} must give {name} a positive number, not {value}."
                )
            values[name] = value
        if kind == "llama3" and values["high_freq_factor"] <= values["low_freq_factor"]:
            raise ValueError(
                f"high_freq_factor must be above low_freq_factor, not {values['high_freq_factor']}."
            )
        return cls(kind=kind, **values)

    def to_json(self) -> dict[str, Any] | None:
        """As `rope_scaling`; None for the default."""
        if self.kind == "default":
            return None
        return {"rope_type": self.kind} | {n: getattr(self, n) for n in _NEEDED[self.kind]}

    def turns(self, length: int, dim: int, theta: float, trained: int) -> tuple[Float, Float]:
        """Cosine and sine [length, dim / 2] of the angles of the first `length` positions.

        ``theta`` is the base of the frequencies, ``trained`` max_position_embeddings.
        """
        if self.kind == "dynamic" and length > trained:
            stretch = self.factor * length / trained - (self.factor - 1)
            theta = theta * stretch ** (dim / (dim - 2))
        frequencies = theta ** (-np.arange(0, dim, 2) / dim)
        if self.kind == "linear":
            frequencies = frequencies / self.factor
        if self.kind == "llama3":
            assert self.original_max_position_embeddings is not None
            turns = frequencies * self.original_max_position_embeddings / (2 * math.pi)
            low, high = self.low_freq_factor, self.high_freq_factor
            # How fast a frequency is: 0 where it is divided by the factor, 1 where it is kept.
            fast = np.clip((turns - low) / (high - low), 0, 1)
            frequencies = frequencies * (fast + (1 - fast) / self.factor)
        angles = np.outer(np.arange(length), frequencies)
        return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rotate(x: Float, turns: tuple[Float, Float]) -> Float:
    """Turn x [..., t, dim]; element i of a head turns with element i + dim / 2."""
    cos, sin = turns
    half = x.shape[-1] // 2
    low, high = x[..., :half], x[..., half:]
    return np.concatenate((low * cos - high * sin, high * cos + low * sin), axis=-1)
