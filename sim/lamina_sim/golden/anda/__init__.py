"""Anda: groups of activations with one exponent, and their dot products with integer weights.

Source: Fang et al., "Anda" (HPCA 2025), sections III and IV; docs/numerics.md has the contract.
"""

from lamina_sim.golden.anda._format import Anda, decode, encode, encode_results
from lamina_sim.golden.anda._gemm import accumulate, dot, gemm
from lamina_sim.golden.anda._planes import (
    from_planes,
    pack_rows,
    row_bytes,
    to_beats,
    to_planes,
    unpack_rows,
)

__all__ = [
    "Anda",
    "accumulate",
    "decode",
    "dot",
    "encode",
    "encode_results",
    "from_planes",
    "gemm",
    "pack_rows",
    "row_bytes",
    "to_beats",
    "to_planes",
    "unpack_rows",
]
