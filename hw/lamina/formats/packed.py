"""PacQ's payloads: FP16 activations and weights packed along n into 16-bit words."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

__all__ = [
    "GROUP",
    "LANES",
    "STEPS",
    "WORD_BITS",
    "WORD_COLUMNS_MAX",
    "dot_step_layout",
    "row_group_layout",
    "weights_per_word",
]

#: Activations, and words, of one step of a DP-4.
LANES = 4

#: Activations of one row that meet one weight tile, and the steps that take them, four at a time.
GROUP = 64
STEPS = GROUP // LANES

#: A word holds 4 INT4 or 8 INT2 codes of neighbouring n at the same k, code j in bits
#: [bits * j, bits * (j + 1)), stored as offset code = code + 2^(bits - 1).
WORD_BITS = 16

#: Columns that a word of the narrowest weights covers.
WORD_COLUMNS_MAX = 8


def weights_per_word(bits: int) -> int:
    """Weights of ``bits`` bits (2 or 4) in one word."""
    return WORD_BITS // bits


def dot_step_layout(index_bits: int, *, single: bool = False) -> data.StructLayout:
    """Return one step of a dot product unit: four k at once, for one row and one word of columns.

    ``a[i]``: FP16 activation at k + i. ``words[i]``: the weights at k + i. ``int2``: the words hold
    8 INT2 codes, else 4 INT4. ``zeros[j]``, ``scales[j]``: zero point (two's complement) and FP16
    scale of column j for the scale group of this step. ``index``: which output (row and word
    column) the step adds to. ``first``, ``last``: first and last step of a run of steps with the
    same index and scale group, a segment. ``group_first``, ``group_last``: the segment is the
    first, the last one of its scale group (all segments of a group are summed exactly before the
    one rounding). ``begin``, ``end``: the scale group is the first, the last one of its output's
    sum over k. Fields other than ``a``, ``words``, ``first`` and ``last`` are the same in all steps
    of a segment.

    With ``single`` there is a field of that name: each word holds one code, that of column 0, in
    its low bits, and no other column is computed.
    """
    return data.StructLayout(
        {
            "a": data.ArrayLayout(unsigned(16), LANES),
            "words": data.ArrayLayout(unsigned(WORD_BITS), LANES),
            "int2": unsigned(1),
            "zeros": data.ArrayLayout(signed(4), WORD_COLUMNS_MAX),
            "scales": data.ArrayLayout(unsigned(16), WORD_COLUMNS_MAX),
            "index": unsigned(index_bits),
            "first": unsigned(1),
            "last": unsigned(1),
            "group_first": unsigned(1),
            "group_last": unsigned(1),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
        | ({"single": unsigned(1)} if single else {})
    )


def row_group_layout(index_bits: int) -> data.StructLayout:
    """Return 64 activations of one row on their way to a dot product unit.

    ``values[i]``: FP16 activation at k + i. ``index``: the row. ``int2``: weights are INT2, else
    INT4. ``load``: take the next weight tile, with its scales, before this group. ``ends``: bit q
    is set if a scale group ends with step q (k + 4q + 3). ``resume``: the first step goes on with a
    scale group that an earlier tile began. ``begin``: the first step belongs to the first scale
    group of its output's sum over k. ``end``: the last scale group that ends here is the last one.
    """
    return data.StructLayout(
        {
            "values": data.ArrayLayout(unsigned(16), GROUP),
            "index": unsigned(index_bits),
            "int2": unsigned(1),
            "load": unsigned(1),
            "ends": unsigned(STEPS),
            "resume": unsigned(1),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def scaled_sum_layout(index_bits: int) -> data.StructLayout:
    """Return the rounded sum of one scale group, on its way to be scaled and accumulated.

    ``value``: FP32. ``scale``: FP16. ``index``: which output it adds to. ``begin``, ``end``: the
    group is the first, the last one of its output.
    """
    return data.StructLayout(
        {
            "value": unsigned(32),
            "scale": unsigned(16),
            "index": unsigned(index_bits),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def multiplicand_layout() -> data.StructLayout:
    """Return one FP16 activation ``a`` and one ``word``: 8 INT2 codes if ``int2``, else 4 INT4."""
    return data.StructLayout({"a": unsigned(16), "word": unsigned(WORD_BITS), "int2": unsigned(1)})


def products_layout(*, fp16: bool = False) -> data.StructLayout:
    """Return the exact products of one activation with the weights of one word.

    The product with weight j is ``products[j] * 2^(exponent - 25)``; products of columns that the
    word does not have are 0. ``inf``, ``nan``: what the activation is, then ``exponent`` is 31.
    With ``fp16`` there is ``value``, FP32: the activation times the word taken as an FP16 number.
    """
    return data.StructLayout(
        {
            "products": data.ArrayLayout(signed(16), WORD_COLUMNS_MAX),
            "exponent": unsigned(5),
            "inf": unsigned(1),
            "nan": unsigned(1),
        }
        | ({"value": unsigned(32)} if fp16 else {})
    )
