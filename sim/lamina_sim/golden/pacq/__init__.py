"""PacQ: FP16 activations times INT4 or INT2 weights packed along n.

Source: Yin et al., "PacQ" (DAC 2025), sections III and IV; docs/numerics.md has the contract.
"""

from lamina_sim.golden.pacq._gemm import gemm
from lamina_sim.golden.pacq._printed import gemm_as_printed, hidden_bit_as_printed
from lamina_sim.golden.pacq._words import Products, multiply, pack, unpack

__all__ = [
    "Products",
    "gemm",
    "gemm_as_printed",
    "hidden_bit_as_printed",
    "multiply",
    "pack",
    "unpack",
]
