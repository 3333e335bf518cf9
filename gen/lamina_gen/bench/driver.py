"""How many vectors a second the bulk driver takes through a module."""

import time
from typing import Any

import numpy as np

from lamina_gen.build import build_model

__all__ = ["measure"]

_MODULES = ("pacq.multiplier", "arith.fp32_add", "arith.fp32_multiply")
_VECTORS = 1 << 21


def measure() -> dict[str, Any]:
    """Time packed random beats, after the build: drive, simulate, collect."""
    rng = np.random.default_rng(1)
    rates = {}
    for name in _MODULES:
        model = build_model(name, {})
        words = -(-int(model.ports["i"].shape["width"]) // 32)
        beats = rng.integers(0, 1 << 32, (_VECTORS, words), np.uint32)
        beats[:, -1] &= (1 << (int(model.ports["i"].shape["width"]) - 1) % 32 + 1) - 1
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            result = model.run({"i": beats}, outputs={"o": _VECTORS})
            best = min(best, time.perf_counter() - start)
        assert len(result["o"].cycles) == _VECTORS
        rates[name] = _VECTORS / best
    return {"vectors_per_second": rates}
