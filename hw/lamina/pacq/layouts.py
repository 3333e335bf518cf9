"""What flows between the parts of the dot product unit, and how wide its exact sums are."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from lamina.formats.packed import LANES, WORD_COLUMNS_MAX

__all__ = [
    "COLUMN_BITS",
    "PAIR_BITS",
    "ROW_SUM_BITS",
    "STEP_SUM_BITS",
    "TERM_BITS",
    "TOTAL_BITS",
    "UNIT_EXPONENT",
    "aligned_step_layout",
    "column_sum_layout",
    "column_sums_layout",
    "operand_layout",
    "pair_layout",
    "phase_bits",
    "segment_layout",
    "special_layout",
    "summed_layout",
]

#: All sums are integers in units of 2^-24, the smallest subnormal of FP16.
UNIT_EXPONENT = -24

#: A finite activation lies below 2^40 units.
TERM_BITS = 41
PAIR_BITS = TERM_BITS + 1
STEP_SUM_BITS = PAIR_BITS + 1

#: Activations of the longest scale group: 2^18.
_GROUP_BITS = 18
ROW_SUM_BITS = TERM_BITS + _GROUP_BITS

#: Sum over a group of activation times a weight below 2^4: 62 bits and a sign, of which we use the
#: next machine word.
TOTAL_BITS = 64

#: Bits of a column's number within its word.
COLUMN_BITS = (WORD_COLUMNS_MAX - 1).bit_length()


def phase_bits(trees: int) -> int:
    """Bits that number the beats of a step, of ``trees`` columns each."""
    return (WORD_COLUMNS_MAX // trees - 1).bit_length()


def aligned_step_layout(*, single: bool = False) -> data.StructLayout:
    """Return a step whose activations are fixed-point and whose weights are 2-bit digits.

    ``terms[i]``: minus activation i in units of 2^-24. ``low[i]``, ``high[i]``: digit j in bits
    [2j, 2j + 2) of column j; INT2 has no high digit. ``offsets[j]``: what the stored code of column
    j exceeds the weight by, range offset and zero point. ``infinite``, ``negative``: per
    activation; ``nan``: any of them is NaN. ``single``, no bit wide without that option: only
    column 0 is computed.
    """
    return data.StructLayout(
        {
            "terms": data.ArrayLayout(signed(TERM_BITS), LANES),
            "low": data.ArrayLayout(unsigned(2 * WORD_COLUMNS_MAX), LANES),
            "high": data.ArrayLayout(unsigned(WORD_COLUMNS_MAX), LANES),
            "offsets": data.ArrayLayout(unsigned(4), WORD_COLUMNS_MAX),
            "infinite": unsigned(LANES),
            "negative": unsigned(LANES),
            "nan": unsigned(1),
            "int2": unsigned(1),
            "single": unsigned(int(single)),
            "first": unsigned(1),
            "last": unsigned(1),
        }
    )


def pair_layout() -> data.StructLayout:
    """Return the three sums that a pair of weight bits can select."""
    return data.StructLayout({name: signed(PAIR_BITS) for name in ("one", "other", "both")})


def operand_layout(trees: int, *, single: bool = False) -> data.StructLayout:
    """Return one beat of a step: ``trees`` columns, starting at column ``phase * trees``.

    ``pairs``: tables of the activations 0, 1 and 2, 3. ``digits[t][i]``: stored code of tree t's
    column for activation i. ``offsets[t]``: as in `aligned_step_layout`, as are the other fields.
    """
    return data.StructLayout(
        {
            "pairs": data.ArrayLayout(pair_layout(), LANES // 2),
            "digits": data.ArrayLayout(data.ArrayLayout(unsigned(4), LANES), trees),
            "offsets": data.ArrayLayout(unsigned(4), trees),
            "infinite": unsigned(LANES),
            "negative": unsigned(LANES),
            "nan": unsigned(1),
            "int2": unsigned(1),
            "single": unsigned(int(single)),
            "first": unsigned(1),
            "last": unsigned(1),
            "phase": unsigned(phase_bits(trees)),
        }
    )


def special_layout() -> data.StructLayout:
    """Return which values that are no numbers a sum has met."""
    return data.StructLayout({"plus": unsigned(1), "minus": unsigned(1), "nan": unsigned(1)})


def column_sum_layout() -> data.StructLayout:
    """Return a segment's exact sum of one column, before offset and zero point are taken out.

    ``total``: sum of activation times stored code. ``row_sum``: minus the sum of the activations,
    the same in all columns. ``last``: last column of the segment.
    """
    return data.StructLayout(
        {
            "total": signed(TOTAL_BITS),
            "special": special_layout(),
            "row_sum": signed(ROW_SUM_BITS),
            "column": unsigned(COLUMN_BITS),
            "last": unsigned(1),
        }
    )


def column_sums_layout(lanes: int) -> data.StructLayout:
    """Return sums of ``lanes`` columns that leave at once, lane l that of column l * 8 / lanes on.

    ``int2``: there are columns beyond the fourth. Other fields as in `column_sum_layout`;
    ``column`` is that of lane 0.
    """
    fields = dict(column_sum_layout().members)
    lane = data.StructLayout({name: fields.pop(name) for name in ("total", "special")})
    return data.StructLayout(
        {"lanes": data.ArrayLayout(lane, lanes)} | fields | {"int2": unsigned(1)}
    )


def segment_layout(index_bits: int) -> data.StructLayout:
    """Return what a segment's steps have in common; the fields are those of `dot_step_layout`."""
    return data.StructLayout(
        {
            "offsets": data.ArrayLayout(unsigned(4), WORD_COLUMNS_MAX),
            "scales": data.ArrayLayout(unsigned(16), WORD_COLUMNS_MAX),
            "index": unsigned(index_bits),
            "group_first": unsigned(1),
            "group_last": unsigned(1),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def summed_layout(index_bits: int) -> data.StructLayout:
    """Return a column's ``sum`` over a segment, and what the segment says of that column.

    ``offset``, ``scale``: the column's own. The other fields are those of `segment_layout`.
    """
    segment = dict(segment_layout(index_bits).members)
    own = {"offset": segment.pop("offsets").elem_shape, "scale": segment.pop("scales").elem_shape}
    return data.StructLayout({"sum": column_sum_layout()} | own | segment)
