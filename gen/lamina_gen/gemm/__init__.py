"""A user's matrix product on the generated hardware, in Verilator, beside its golden model."""

from lamina_gen.gemm.machine import Machine, Outcome
from lamina_gen.gemm.problem import Problem

__all__ = ["Machine", "Outcome", "Problem"]
