"""Anda's payloads: groups of 64 activations that share an exponent, as bit-planes."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

__all__ = [
    "EXPONENT_BITS",
    "GROUP",
    "MANTISSA_BITS_MAX",
    "column_weights_layout",
    "group_sum_bits",
    "group_sum_layout",
    "group_word_layout",
    "output_layout",
]

#: Activations of a group, and bits of a plane word.
GROUP = 64

#: Longest mantissa; a group is one sign word and 1 to 16 mantissa words.
MANTISSA_BITS_MAX = 16

#: Slot of the shared exponent: FP16 uses 5 bits of it, BF16 all 8.
EXPONENT_BITS = 8


def group_word_layout(index_bits: int) -> data.StructLayout:
    """Return one word of a group on its way to an element, in the order in which it is stored.

    ``word``: the signs first, then the mantissa planes, most significant first; bit i = element i.
    ``first``, ``last``: first (sign) and last word of the group, whose mantissa length is the
    number of words between. The other fields belong to the group and are the same in all its words:
    ``exponent``: the shared exponent field. ``index``: which output row the group adds to.
    ``load``: take the next set of weights with this group. ``begin``, ``end``: the group is the
    first, the last one of its output's sum over k.
    """
    return data.StructLayout(
        {
            "word": unsigned(GROUP),
            "first": unsigned(1),
            "last": unsigned(1),
            "exponent": unsigned(EXPONENT_BITS),
            "index": unsigned(index_bits),
            "load": unsigned(1),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def column_weights_layout(columns: int, weight_bits: int) -> data.StructLayout:
    """Return one set of weights: for each column 64 codes, a zero point and an FP16 scale.

    ``codes[c][i]`` and ``zeros[c]`` are two's complement of ``weight_bits`` bits.
    """
    return data.StructLayout(
        {
            "codes": data.ArrayLayout(data.ArrayLayout(signed(weight_bits), GROUP), columns),
            "zeros": data.ArrayLayout(signed(weight_bits), columns),
            "scales": data.ArrayLayout(unsigned(16), columns),
        }
    )


def group_sum_bits(weight_bits: int) -> int:
    """Width of P_g = sum of +-m_i * B_i: |m| < 2^16, |B| < 2^weight_bits, 64 terms, and a sign."""
    return MANTISSA_BITS_MAX + weight_bits + (GROUP - 1).bit_length() + 1


def group_sum_layout(columns: int, weight_bits: int, index_bits: int) -> data.StructLayout:
    """Return the exact sums P_g of one group, one per column, with what their rounding needs.

    ``sums[c]``: P_g of column c. ``scales[c]``: FP16 scale of column c. ``exponent``: the group's
    exponent field, ``mantissa_bits``: its M (1 to 16). ``index``, ``begin``, ``end``: as in
    `group_word_layout`.
    """
    return data.StructLayout(
        {
            "sums": data.ArrayLayout(signed(group_sum_bits(weight_bits)), columns),
            "scales": data.ArrayLayout(unsigned(16), columns),
            "exponent": unsigned(EXPONENT_BITS),
            "mantissa_bits": unsigned(5),
            "index": unsigned(index_bits),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def output_layout(index_bits: int) -> data.StructLayout:
    """Return one finished FP32 output: ``value`` and ``index`` (row * columns + column)."""
    return data.StructLayout({"value": unsigned(32), "index": unsigned(index_bits)})
