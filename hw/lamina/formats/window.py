"""Payloads of PacQ's dot product unit with an alignment window."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from lamina.formats.packed import LANES, WORD_BITS

__all__ = ["window_scale_layout", "window_step_layout", "window_words_layout"]


def window_step_layout(rows: int, index_bits: int, lanes: int = LANES) -> data.StructLayout:
    """Return ``lanes`` activations of each of some rows, at the same k.

    ``a[r][i]``: FP16 activation of row r at k + i. ``last``: last step of a scale group. ``index``:
    which tile of outputs the group adds to. ``begin``, ``end``: the group is the first, the last
    one of its tile's sums over k. The last three are read with the last step of a group.
    """
    return data.StructLayout(
        {
            "a": data.ArrayLayout(data.ArrayLayout(unsigned(16), lanes), rows),
            "last": unsigned(1),
            "index": unsigned(index_bits),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def window_words_layout(words: int, lanes: int = LANES) -> data.StructLayout:
    """Return ``words[w][i]``: the weights of neighbouring columns at k + i; columns ascend with w.

    Codes are stored in a word as in `packed`.
    """
    word = data.ArrayLayout(unsigned(WORD_BITS), lanes)
    return data.StructLayout({"words": data.ArrayLayout(word, words)})


def window_scale_layout() -> data.StructLayout:
    """Return FP16 ``scale`` and two's complement ``zero`` point of a column for a scale group."""
    return data.StructLayout({"scale": unsigned(16), "zero": signed(4)})
