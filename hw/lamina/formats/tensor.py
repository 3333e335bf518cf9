"""Payloads of PacQ's tensor core: warp operations, and their operands in 4 x 4 tiles.

A warp operation multiplies 16 rows of A by 16 x 16 words of B. An octet has 8 rows and 8 words of
columns of it.
"""

from amaranth.hdl import Mux, Value, signed, unsigned
from amaranth.lib import data, enum

from lamina.formats.packed import LANES, WORD_BITS, WORD_COLUMNS_MAX, weights_per_word

__all__ = [
    "A_TILES_MAX",
    "B_TILES",
    "TILE",
    "WORDS",
    "Flow",
    "a_tile_layout",
    "b_tile_layout",
    "columns_of",
    "counters_layout",
    "element_layout",
    "operation_layout",
    "placed_element_layout",
    "product_operation_layout",
    "word_scales_layout",
]

#: Rows and columns of a tile.
TILE = LANES

#: Words of columns of an octet, and rows as well.
WORDS = 2 * TILE

#: Tiles of an octet's operands: of A in the longest operation, 2 by 16 / 4 * 8; of B, 2 by 16 / 4.
A_TILES_MAX = 64
B_TILES = 8


class Flow(enum.Enum, shape=2):
    """How the weights of an operation are packed, and with that the order of its loops.

    PACKED_N: a word holds 4 or 8 columns at one k, the operation has k = 16. PACKED_K: it holds 4
    or 8 k of one column, and k = 64 or 128. FP16: a word is one FP16 weight, dequantized before.
    """

    PACKED_N = 0
    PACKED_K = 1
    FP16 = 2


def operation_layout() -> data.StructLayout:
    """Return a warp operation, all of whose k lie in one scale group.

    ``int2``: weights are INT2, else INT4. ``group_first``, ``group_last``: the operation is the
    first, the last one of its scale group; ``begin``, ``end``: the group is the first, the last one
    of its outputs' sums over k.
    """
    names = ("int2", "group_first", "group_last", "begin", "end")
    return data.StructLayout({"flow": Flow} | {name: unsigned(1) for name in names})


def product_operation_layout() -> data.StructLayout:
    """Return a warp operation in a byte: `operation_layout`, and whether it ends its product."""
    return data.StructLayout({**operation_layout().members, "last": unsigned(1)})


def columns_of(operation: data.View) -> Value:
    """Return how many columns a word of a warp operation covers: 4 or 8 along n, else 1."""
    along_n = Mux(operation.int2, weights_per_word(2), weights_per_word(4))
    return Mux(operation.flow == Flow.PACKED_N, along_n, 1)


def a_tile_layout() -> data.StructLayout:
    """Return a tile of A: ``values[4 * i + j]`` is the FP16 value at row i and k = j."""
    return data.StructLayout({"values": data.ArrayLayout(unsigned(16), TILE * TILE)})


def b_tile_layout() -> data.StructLayout:
    """Return a tile of B: ``words[4 * j + i]`` is the word of column j, i-th along k."""
    return data.StructLayout({"words": data.ArrayLayout(unsigned(WORD_BITS), TILE * TILE)})


def word_scales_layout() -> data.StructLayout:
    """Return FP16 scales and zero points (two's complement) of a word of columns.

    A word along k has one column, the first.
    """
    return data.StructLayout(
        {
            "scales": data.ArrayLayout(unsigned(16), WORD_COLUMNS_MAX),
            "zeros": data.ArrayLayout(signed(4), WORD_COLUMNS_MAX),
        }
    )


def element_layout(row_bits: int) -> data.StructLayout:
    """Return a finished element of C: ``value``, FP32, and where it is.

    ``row`` and ``word`` (of columns) have ``row_bits`` bits: 3 within an octet, 4 within a warp's
    tile. ``column`` of the word: 0 of a word along k.
    """
    place = {"column": unsigned(3), "word": unsigned(row_bits), "row": unsigned(row_bits)}
    return data.StructLayout({"value": unsigned(32)} | place)


def placed_element_layout() -> data.StructLayout:
    """Return a finished element of a warp's tile in 8 bytes, a byte for each part of its place.

    ``there``: 1 of an element, and 0, as is all else, where there is none.
    """
    place = {name: unsigned(8) for name in ("column", "word", "row")}
    return data.StructLayout({"value": unsigned(32), **place, "there": unsigned(8)})


def counters_layout() -> data.StructLayout:
    """Return what has been done since reset, 32 bits each.

    ``register_file_a``, ``_b``: tiles read; ``_c``: tiles written, each 16 elements. ``buffer_a``:
    reads of four activations of a row; ``buffer_b``: reads of the weights that meet them, one for
    both DP-4. ``issue_cycles``: operands enter the trees. ``cycles``: there is an operation whose
    operands are all in the register file and whose last element has not left.
    """
    names = [f"register_file_{operand}" for operand in "abc"]
    names += ["buffer_a", "buffer_b", "issue_cycles", "cycles"]
    return data.StructLayout({name: unsigned(32) for name in names})
