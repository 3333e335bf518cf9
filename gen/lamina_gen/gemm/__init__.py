"""A user's matrix product on the generated hardware, in Verilator, beside its golden model."""

from lamina_gen.gemm.engine import EngineMachine, EngineOutcome
from lamina_gen.gemm.machine import Machine, Stored
from lamina_gen.gemm.outcome import Outcome
from lamina_gen.gemm.problem import Problem
from lamina_gen.gemm.tensor import TensorMachine, TensorOutcome

__all__ = [
    "EngineMachine",
    "EngineOutcome",
    "Machine",
    "Outcome",
    "Problem",
    "Stored",
    "TensorMachine",
    "TensorOutcome",
]
