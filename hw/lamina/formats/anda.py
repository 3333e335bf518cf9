"""Anda's payloads: groups of 64 activations that share an exponent, as bit-planes."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from lamina.formats.ieee import BF16, FP16, Format

__all__ = [
    "EXPONENT_BITS",
    "FORMATS",
    "GROUP",
    "MANTISSA_BITS_MAX",
    "PAIRS",
    "WIDE_SCALE",
    "array_finish_layout",
    "array_output_layout",
    "array_planes_layout",
    "array_weights_layout",
    "array_words_layout",
    "bank_values_layout",
    "beats_of",
    "column_weights_layout",
    "compressed_plane_layout",
    "group_descriptor_layout",
    "group_sum_bits",
    "group_sum_layout",
    "group_values_layout",
    "group_word_layout",
    "output_layout",
    "packed_words_layout",
    "pair_table_layout",
    "plane_layout",
    "stored_pair_layout",
    "units_of",
    "weight_pair_layout",
]

#: Activations of a group, and bits of a plane word.
GROUP = 64

#: What groups are made of, by the name that parameters and golden models use.
FORMATS = {"fp16": FP16, "bf16": BF16}

#: Neighbouring elements that share one table of weight sums.
PAIRS = GROUP // 2

#: Longest mantissa; a group is one sign word and 1 to 16 mantissa words.
MANTISSA_BITS_MAX = 16

#: Slot of the shared exponent: FP16 uses 5 bits of it, BF16 all 8.
EXPONENT_BITS = 8


#: FP16 with one more bit of exponent: no scale is subnormal.
WIDE_SCALE = Format(precision=FP16.precision, exponent_bits=FP16.exponent_bits + 1)


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


def group_descriptor_layout(index_bits: int) -> data.StructLayout:
    """Return what belongs to a group as a whole: its M, and the fields of `group_word_layout`."""
    return data.StructLayout(
        {
            "mantissa_bits": unsigned(5),
            "exponent": unsigned(EXPONENT_BITS),
            "index": unsigned(index_bits),
            "load": unsigned(1),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def plane_layout(index_bits: int) -> data.StructLayout:
    """Return one two's complement plane of a group, in the order in which an element eats it.

    ``plane``: bit i is element i's; the least significant plane comes first, the sign plane, of
    weight -2^M, last. ``first``, ``last``: those two planes. ``group``: `group_descriptor_layout`.
    """
    return data.StructLayout(
        {
            "plane": unsigned(GROUP),
            "first": unsigned(1),
            "last": unsigned(1),
            "group": group_descriptor_layout(index_bits),
        }
    )


def pair_table_layout(weight_bits: int) -> data.StructLayout:
    """Return the sums that one pair of weights can add: ``w0``, ``w1`` and ``both``, w0 + w1.

    ``weight_bits``: width of one weight after its zero point was taken off.
    """
    return data.StructLayout(
        {
            "w0": signed(weight_bits),
            "w1": signed(weight_bits),
            "both": signed(weight_bits + 1),
        }
    )


def stored_pair_layout(weight_bits: int) -> data.StructLayout:
    """Return what is kept of `pair_table_layout`: ``high`` is ``both`` but for its lowest bit.

    That is the XOR of those of the weights: a gate is smaller than a register.
    """
    return data.StructLayout({name: signed(weight_bits) for name in ("w0", "w1", "high")})


def weight_pair_layout(weight_bits: int) -> data.StructLayout:
    """Return what is kept of a pair of weights where their sum is added anew for each plane."""
    return data.StructLayout({name: signed(weight_bits) for name in ("w0", "w1")})


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
    """Width of P_g = sum of +-m_i * B_i, left-justified: |m| < 2^16, |B| < 2^weight_bits, 64 terms,
    and a sign.
    """
    return MANTISSA_BITS_MAX + weight_bits + (GROUP - 1).bit_length() + 1


def group_sum_layout(columns: int, weight_bits: int, index_bits: int) -> data.StructLayout:
    """Return the exact sums P_g of one group, one per column, with what their rounding needs.

    ``sums[c]``: P_g * 2^(16 - M) of column c: left-justified, in units of 2^(exponent - bias - 15)
    whatever M is, so that nothing behind needs to know it, or a shifter. ``scales[c]``: FP16 scale
    of column c. ``exponent``: the group's exponent field. ``index``, ``begin``, ``end``: as in
    `group_word_layout`.
    """
    return data.StructLayout(
        {
            "sums": data.ArrayLayout(signed(group_sum_bits(weight_bits)), columns),
            "scales": data.ArrayLayout(unsigned(16), columns),
            "exponent": unsigned(EXPONENT_BITS),
            "index": unsigned(index_bits),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def output_layout(index_bits: int) -> data.StructLayout:
    """Return one finished FP32 output: ``value`` and ``index`` (row * columns + column)."""
    return data.StructLayout({"value": unsigned(32), "index": unsigned(index_bits)})


def group_values_layout() -> data.StructLayout:
    """Return one group on its way into a compressor.

    ``values[i]``: FP16 or BF16 pattern of element i. ``mantissa_bits``: M, 1 to 16. ``rounding``: 0
    truncates, 1 rounds to nearest, ties to even, saturating at all ones.
    """
    return data.StructLayout(
        {
            "values": data.ArrayLayout(unsigned(16), GROUP),
            "mantissa_bits": unsigned(5),
            "rounding": unsigned(1),
        }
    )


def compressed_plane_layout() -> data.StructLayout:
    """Return one mantissa plane of a compressed group, most significant first.

    ``plane``: bit i is element i's. ``signs``, ``exponent``: the group's, the same in all its
    planes. ``first``, ``last``: first and last plane of the group.
    """
    return data.StructLayout(
        {
            "plane": unsigned(GROUP),
            "signs": unsigned(GROUP),
            "exponent": unsigned(EXPONENT_BITS),
            "first": unsigned(1),
            "last": unsigned(1),
        }
    )


def bank_values_layout(groups: int) -> data.StructLayout:
    """Return ``groups`` groups on their way into a bank of compressors, in their order.

    ``values[g][i]``: FP16 or BF16 pattern of element i. ``mantissa_bits``, ``rounding``: as in
    `group_values_layout`, of all groups of a set; looked at with its first one.
    """
    one = group_values_layout().members
    return data.StructLayout({**one, "values": data.ArrayLayout(one["values"], groups)})


def packed_words_layout(planes: int) -> data.StructLayout:
    """Return ``planes`` words of a compressed group: signs first, then the mantissa, most
    significant plane first; in the ``last`` beat of a group with zeros in the places that are left.
    ``exponent`` of the group.
    """
    return data.StructLayout(
        {
            "words": data.ArrayLayout(unsigned(GROUP), planes),
            "exponent": unsigned(EXPONENT_BITS),
            "last": unsigned(1),
        }
    )


def beats_of(mantissa_bits: int, planes: int) -> int:
    """Return how many beats of ``planes`` words hold a group: its signs and its mantissa."""
    return -(-(mantissa_bits + 1) // planes)


def units_of(rows: int, sharing: int) -> int:
    """Return how many sums of a column are read in a step, so that ``sharing`` read all rows'."""
    return -(-rows // sharing)


def array_words_layout(rows: int, planes: int) -> data.StructLayout:
    """Return one beat of the activations of an array: of one group in each row, in lockstep.

    ``words[r][p]``: beat j holds words planes * j + p of row r's group, in the order signs, zeros,
    mantissa planes from the least significant one on. There are as many words of zeros as make the
    beats full, and at least as many as the array needs (`ArrayParameters.cycles`). ``first``,
    ``last``: those beats of the group. The other fields belong to the group and are looked at in
    its first beat: ``exponents`` of each row's group; ``load``: the group comes with new weights;
    ``begin``, ``end``: it is the first, the last one of its outputs' sums over k.
    """
    words = data.ArrayLayout(data.ArrayLayout(unsigned(GROUP), planes), rows)
    return data.StructLayout(
        {
            "words": words,
            "first": unsigned(1),
            "last": unsigned(1),
            "exponents": data.ArrayLayout(unsigned(EXPONENT_BITS), rows),
            "load": unsigned(1),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def array_planes_layout(rows: int, planes: int, *, chains: bool = False) -> data.StructLayout:
    """Return planes on their way through an array, least significant first.

    ``inverses[r][p]``: NOT of a plane of row r, from which fewer cells decode its pairs; the plane
    of the least weight first; in offset binary: the top plane of a group is the inverted sign
    plane. For carry ``chains`` in its place ``planes[r][p]``, in two's complement. ``first``: the
    group's first beat; ``last``, for chains: its last one; ``load``: it takes new weights.
    """
    beat = data.ArrayLayout(data.ArrayLayout(unsigned(GROUP), planes), rows)
    return data.StructLayout(
        {
            "planes" if chains else "inverses": beat,
            "first": unsigned(1),
            **({"last": unsigned(1)} if chains else {}),
            "load": unsigned(1),
        }
    )


def array_finish_layout(units: int, sharing: int) -> data.StructLayout:
    """Return what follows the planes of a group, ``sharing`` beats, while its sums are read.

    ``steps``: bit s: the sums of rows s * units + u, u = 0 to units - 1, are read; none: nothing.
    ``exponents[u]`` of these rows. ``beats`` of planes that the group had, less 1. ``begin``,
    ``end`` of the group.
    """
    return data.StructLayout(
        {
            "steps": unsigned(sharing),
            "exponents": data.ArrayLayout(unsigned(EXPONENT_BITS), units),
            "beats": unsigned(MANTISSA_BITS_MAX.bit_length()),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def array_weights_layout(
    columns: int, entry_bits: int, *, triples: bool = False, chains: bool = False
) -> data.StructLayout:
    """Return weights as the blocks of an array take them, for each of ``columns``.

    ``tables`` of the pairs, as `stored_pair_layout`. ``corrections``: 2 * c - sum(B), c = 32 *
    (2^entry_bits - 1): what turns a sum of inverted offset-binary planes into the sum of the group.
    For carry ``chains`` there are none, and the tables are as `weight_pair_layout`.
    ``scales``: `WIDE_SCALE`. ``triples``, if wanted: three times their significands,
    but for the lowest bits, which are the same.
    """
    triple = {"triples": data.ArrayLayout(unsigned(WIDE_SCALE.precision + 1), columns)}
    pair = weight_pair_layout if chains else stored_pair_layout
    correction = {"corrections": data.ArrayLayout(unsigned(entry_bits + 6), columns)}
    return data.StructLayout(
        {
            "tables": data.ArrayLayout(data.ArrayLayout(pair(entry_bits), PAIRS), columns),
            **({} if chains else correction),
            "scales": data.ArrayLayout(unsigned(WIDE_SCALE.width), columns),
        }
        | (triple if triples else {})
    )


def array_output_layout(units: int, columns: int, blocks: int, sharing: int) -> data.StructLayout:
    """Return FP32 outputs of an array: ``values[u][c]`` is of row step * units + u and column
    block * columns + c; rows beyond the array's have no meaning.
    """
    return data.StructLayout(
        {
            "values": data.ArrayLayout(data.ArrayLayout(unsigned(32), columns), units),
            "block": range(blocks),
            "step": range(sharing),
        }
    )
