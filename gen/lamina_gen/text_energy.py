"""Energy of a text: of its multiplications as measured, of its memory traffic by published figures.

What stands between the two, the system's buffers and the host, is not in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["MEMORY_PJ_PER_BIT", "Energy"]

#: HBM2, as in the Anda paper's evaluation (HPCA 2025, section V).
MEMORY_PJ_PER_BIT = 3.9


@dataclass(frozen=True)
class Energy:
    """``element``: pJ per multiply-accumulate of Anda's element, by mantissa length.

    Measured with symmetric INT4 weights, each set of which meets four rows of activations.
    """

    element: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Energy:
        """Of what `lamina bench pe --json` printed; ValueError where the file is no such thing."""
        try:
            rows = json.loads(path.read_text("utf-8"))["rows"]
            element = {
                row["mantissa_bits"]: row["energy_pj_per_mac"]
                for row in rows
                if row["name"] == "Anda" and row["energy_pj_per_mac"] is not None
            }
        except (ValueError, TypeError, KeyError, RecursionError):
            element = {}
        lengths = all(type(m) is int and 1 <= m <= 16 for m in element)
        if not (element and lengths and all(map(_is_energy, element.values()))):
            raise ValueError(
                f"{path} must hold energies of Anda, as `lamina bench pe --json` prints them."
            )
        return cls(element)

    def memory(self, fetched: float) -> float:
        """Microjoules for so many bytes."""
        return 8e-6 * MEMORY_PJ_PER_BIT * fetched

    def compute(self, macs: Mapping[int, float]) -> float | None:
        """Microjoules for multiplications by mantissa length; None if it is not known.

        A length that was not measured costs what the next longer one does.
        """
        total = 0.0
        for length, count in macs.items():
            longer = [known for known in self.element if known >= max(length, 1)]
            if not length or not longer:
                return None
            total += 1e-6 * count * self.element[min(longer)]
        return total


def _is_energy(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 < value < math.inf
