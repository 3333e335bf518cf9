"""The Anda engine: in which order it takes a GEMM's operands, and how long it takes."""

from lamina_sim.perf.anda._cost import Cost, cost, row_turns
from lamina_sim.perf.anda._evaluation import MODELS, Figures, Model, evaluate, geomean, speedup
from lamina_sim.perf.anda._schedule import (
    Engine,
    Gemm,
    Pass,
    activation_order,
    passes,
    weight_order,
)

__all__ = [
    "MODELS",
    "Cost",
    "Engine",
    "Figures",
    "Gemm",
    "Model",
    "Pass",
    "activation_order",
    "cost",
    "evaluate",
    "geomean",
    "passes",
    "row_turns",
    "speedup",
    "weight_order",
]
