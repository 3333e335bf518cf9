"""Bit-planes of the weight store: blocks, beats, and how a tile of weights lies in a block."""

from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["BLOCK_CODES", "TILE_COLUMNS", "TILE_ROWS", "plane_beat_layout", "tile_layout"]

#: Codes of a block; one plane of it is one 512-bit beat, bit i belonging to code i.
BLOCK_CODES = 512

#: A weight tile is one block: weight (k0 + i, n0 + j) is code TILE_ROWS * j + i.
TILE_ROWS = 64
TILE_COLUMNS = BLOCK_CODES // TILE_ROWS


def plane_beat_layout() -> data.StructLayout:
    """Return one plane of one block on its way from the store.

    ``bits``: 512 bits, code i in bit i. ``error``: the memory answered this beat with an error.
    ``last``: last plane of its block. ``end``: last plane of the last block of the run.
    """
    return data.StructLayout(
        {
            "bits": unsigned(BLOCK_CODES),
            "error": unsigned(1),
            "last": unsigned(1),
            "end": unsigned(1),
        }
    )


def tile_layout(code_bits: int) -> data.StructLayout:
    """Return one block as operands: ``codes`` two's complement, code i in [i], and ``error``."""
    return data.StructLayout(
        {"codes": data.ArrayLayout(unsigned(code_bits), BLOCK_CODES), "error": unsigned(1)}
    )
