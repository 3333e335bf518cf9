"""PacQ: FP16 activations times INT4 or INT2 weights packed along n.

Source: Yin et al., "PacQ" (DAC 2025), sections III and IV; docs/numerics.md has the contract.
"""

from lamina_sim.golden.pacq._fp16 import gemm_fp16
from lamina_sim.golden.pacq._gemm import gemm
from lamina_sim.golden.pacq._printed import gemm_as_printed, hidden_bit_as_printed
from lamina_sim.golden.pacq._tensor import (
    FLOWS,
    Counters,
    Operation,
    TileStep,
    count,
    operation_shape,
    operations,
    tensor_core,
    tile_steps,
)
from lamina_sim.golden.pacq._window import Passes, window_passes
from lamina_sim.golden.pacq._words import Products, multiply, multiply_fp16, pack, pack_k, unpack

__all__ = [
    "FLOWS",
    "Counters",
    "Operation",
    "Passes",
    "Products",
    "TileStep",
    "count",
    "gemm",
    "gemm_as_printed",
    "gemm_fp16",
    "hidden_bit_as_printed",
    "multiply",
    "multiply_fp16",
    "operation_shape",
    "operations",
    "pack",
    "pack_k",
    "tensor_core",
    "tile_steps",
    "unpack",
    "window_passes",
]
