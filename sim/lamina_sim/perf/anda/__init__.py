"""The Anda engine: in which order it takes a GEMM's operands, and how long it takes."""

from lamina_sim.perf.anda._cost import Cost, cost, row_turns
from lamina_sim.perf.anda._schedule import (
    Engine,
    Gemm,
    Pass,
    activation_order,
    passes,
    weight_order,
)

__all__ = [
    "Cost",
    "Engine",
    "Gemm",
    "Pass",
    "activation_order",
    "cost",
    "passes",
    "row_turns",
    "weight_order",
]
