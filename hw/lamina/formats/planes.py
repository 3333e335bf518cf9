"""Bit-planes of the weight store: blocks, beats, and how a tile of weights lies in a block."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

__all__ = [
    "BEAT_BYTES",
    "BLOCK_BITS",
    "BLOCK_CODES",
    "FLOAT_PLANES",
    "TILE_COLUMNS",
    "TILE_ROWS",
    "code_format_layout",
    "formatted_beat_layout",
    "plane_beat_layout",
    "run_layout",
    "tile_layout",
    "tile_scales_layout",
]

#: Codes of a block; one plane of it is one 512-bit beat, bit i belonging to code i.
BLOCK_CODES = 512
BEAT_BYTES = BLOCK_CODES // 8

#: Bits of a block's number, and of a count of blocks: 2 TiB of 8-bit codes.
BLOCK_BITS = 32

#: Planes of a block of FP16 or BF16.
FLOAT_PLANES = 16

#: A weight tile is one block: weight (k0 + i, n0 + j) is code TILE_ROWS * j + i.
TILE_ROWS = 64
TILE_COLUMNS = BLOCK_CODES // TILE_ROWS


def plane_beat_layout() -> data.StructLayout:
    """Return one plane of one block on its way from the store.

    ``bits``: 512 bits, code i in bit i. ``error``: the memory answered this beat with an error.
    ``last``: last plane of its block. ``end``: last plane of the last block of the run.

    A container line of a block (64 bytes of host data) has the same fields.
    """
    return data.StructLayout(
        {
            "bits": unsigned(BLOCK_CODES),
            "error": unsigned(1),
            "last": unsigned(1),
            "end": unsigned(1),
        }
    )


def code_format_layout() -> data.StructLayout:
    """Return how the codes of a block are stored and how many of their planes are asked.

    ``planes``: N stored planes, the n of INTn, or 16 for floats. ``keep``: k, the planes that stay.
    ``nearest``: round to nearest; a beat more than ``keep``, the guard plane, then comes with the
    block if ``keep`` < ``planes``. ``bfloat``: of 16-bit codes, BF16 rather than FP16.
    """
    return data.StructLayout(
        {
            "planes": unsigned(5),
            "keep": unsigned(5),
            "nearest": unsigned(1),
            "bfloat": unsigned(1),
        }
    )


def formatted_beat_layout() -> data.StructLayout:
    """Return a beat, and the format of its block, which is the same in all beats of the block."""
    return data.StructLayout({"beat": plane_beat_layout(), "format": code_format_layout()})


def run_layout(address_bits: int, planes_max: int) -> data.StructLayout:
    """Return an order to fetch neighbouring blocks.

    ``base``: byte address of block 0 of the region. ``block``: first block, ``blocks``: how many.
    ``planes``: N stored planes, ``keep``: k of them are fetched, the most significant ones.
    """
    count = unsigned(planes_max.bit_length())
    return data.StructLayout(
        {
            "base": unsigned(address_bits),
            "block": unsigned(BLOCK_BITS),
            "blocks": unsigned(BLOCK_BITS),
            "planes": count,
            "keep": count,
        }
    )


def tile_layout(code_bits: int) -> data.StructLayout:
    """Return one block as operands: ``codes`` two's complement, code i in [i], and ``error``."""
    return data.StructLayout(
        {"codes": data.ArrayLayout(unsigned(code_bits), BLOCK_CODES), "error": unsigned(1)}
    )


def tile_scales_layout(code_bits: int) -> data.StructLayout:
    """Return what belongs to one scale group of a tile: FP16 ``scales`` and ``zeros`` by column.

    ``last``: last scale group that has elements in the tile.
    """
    return data.StructLayout(
        {
            "scales": data.ArrayLayout(unsigned(16), TILE_COLUMNS),
            "zeros": data.ArrayLayout(signed(code_bits), TILE_COLUMNS),
            "last": unsigned(1),
        }
    )
