"""How many cycles the hardware takes, counted in Verilator."""

import time
from typing import Any

import numpy as np

from lamina_gen.build import build_model
from lamina_gen.configurations import settings_of
from lamina_gen.gemm import Machine, Problem
from lamina_gen.gemm.problem import ENGINES
from lamina_sim.verilated import Memory

__all__ = ["measure_element", "measure_fetcher", "measure_gemm"]

_GROUPS = 1000
_STORED = 8
_BEATS = (1 << 20) // 64


def measure_element() -> dict[str, Any]:
    """Count the cycles per group of `anda.element` for each mantissa length."""
    model = build_model("anda.element", {"columns": 8})
    rng = np.random.default_rng(1)
    weights = rng.integers(-8, 8, (1, 8, 64), np.int64)
    cycles = {}
    for mantissa_bits in range(1, 17):
        place = np.tile(np.arange(mantissa_bits + 1), _GROUPS)
        group = np.repeat(np.arange(_GROUPS), mantissa_bits + 1)
        words = {
            "word": rng.integers(0, 1 << 64, len(place), np.uint64),
            "first": (place == 0).astype(np.int64),
            "last": (place == mantissa_bits).astype(np.int64),
            "load": (group == 0).astype(np.int64),
            "exponent": np.full(len(place), 15),
            "index": group % 1024,
            "begin": np.ones(len(place), np.int64),
            "end": np.ones(len(place), np.int64),
        }
        sets = {"codes": weights, "zeros": np.zeros((1, 8), int), "scales": np.ones((1, 8), int)}
        result = model.run({"i": words, "i_weights": sets}, outputs={"o": _GROUPS})
        done = result["o"].cycles
        cycles[str(mantissa_bits)] = float(done[-1] - done[0]) / (_GROUPS - 1)
    return {"columns": 8, "cycles_per_group": cycles}


def measure_fetcher() -> dict[str, Any]:
    """Count the beats per cycle of `store.fetcher` over 1 MiB, by memory latency and planes."""
    model = build_model("store.fetcher", {})
    contents = np.random.default_rng(1).integers(0, 256, _STORED << 20, np.uint8)
    shares: dict[str, dict[str, float]] = {}
    for latency in (1, 100):
        memory = Memory(data=contents, base=0, latency=latency)
        shares[str(latency)] = {}
        for keep in range(1, _STORED + 1):
            blocks = _BEATS // keep
            run = {"base": 0, "block": 0, "blocks": blocks, "planes": _STORED, "keep": keep}
            result = model.run({"i": run}, outputs={"o": blocks * keep}, memory=memory)
            span = int(result["o"].cycles[-1] + 1 - result.accepted["i"][0])
            shares[str(latency)][str(keep)] = blocks * keep / span
    return {"stored_planes": _STORED, "beats_per_cycle_by_latency_and_planes": shares}


def measure_gemm() -> dict[str, Any]:
    """Time a product of INT4 weights on the system `tiny` of each engine, builds left out."""
    rng = np.random.default_rng(1)
    m, n, k = 64, 1024, 1024
    operands: dict[str, Any] = {
        "activations": rng.standard_normal((m, k)).astype(np.float16),
        "codes": rng.integers(-8, 8, (k, n)).astype(np.int8),
        "scales": rng.random((k // 128, n)).astype(np.float16),
    }
    rows = []
    for engine in ENGINES:
        machine = Machine(engine, settings_of("tiny", "system"))
        machine.build()
        problem = Problem(engine=engine, **operands)
        start = time.perf_counter()
        outcome = machine.run(problem)
        seconds = time.perf_counter() - start
        rows.append(
            {
                "engine": engine,
                "seconds": seconds,
                "cycles": outcome.cycles,
                "cycles_per_second": outcome.cycles / seconds,
                "macs_per_cycle": outcome.macs_per_cycle,
                "bit_exact": outcome.exact,
            }
        )
    return {"m": m, "n": n, "k": k, "rows": rows}
