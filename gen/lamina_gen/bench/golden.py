"""How fast the golden models are, on one core."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina_sim.golden import anda, pacq

__all__ = ["measure"]

_ROWS, _DEPTH, _COLUMNS = 64, 4096, 4096


def measure() -> dict[str, Any]:
    """Time encode on 2^23 elements and both engines' gemm of [64,4096] x [4096,4096]."""
    # BLAS decides on its threads when NumPy is imported: hence a process of its own.
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(threads, "1")}
    command = [sys.executable, "-m", "lamina_gen.bench.golden"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def _measure_here() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    elements = rng.standard_normal((2048, _DEPTH)).astype(np.float16)
    x = elements[:_ROWS]
    codes = rng.integers(-8, 8, (_DEPTH, _COLUMNS), np.int8)
    scales = rng.uniform(0.001, 0.01, (_DEPTH // 128, _COLUMNS)).astype(np.float16)
    encode = _seconds(lambda: anda.encode(elements, 8))
    return {
        "encode_elements_per_second": elements.size / encode,
        "anda_gemm_seconds": _seconds(lambda: anda.gemm(x, codes, scales, mantissa_bits=8)),
        "pacq_gemm_seconds": _seconds(lambda: pacq.gemm(x, codes, scales)),
        "gemm_shape": [_ROWS, _DEPTH, _COLUMNS],
    }


def _seconds(work: Callable[[], object]) -> float:
    """Return the shortest of three runs: the others were disturbed."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    print(json.dumps(_measure_here()))
