"""Payloads of the baselines: aligned groups taken whole, and steps of floating-point lanes."""

from amaranth.hdl import ShapeLike, signed, unsigned
from amaranth.lib import data

from lamina.formats.anda import EXPONENT_BITS, GROUP

__all__ = ["aligned_integers_layout", "lane_step_layout", "pair_sums_layout"]


def aligned_integers_layout(mantissa_bits: int, index_bits: int) -> data.StructLayout:
    """Return one group of activations that share an exponent, all bits at once.

    ``values[i]``: (-1)^s_i * m_i in two's complement, |value| < 2^mantissa_bits, in units of
    2^(exponent - bias - mantissa_bits + 1). The other fields are those of `group_word_layout`.
    """
    return data.StructLayout(
        {
            "values": data.ArrayLayout(signed(mantissa_bits + 1), GROUP),
            "exponent": unsigned(EXPONENT_BITS),
            "index": unsigned(index_bits),
            "load": unsigned(1),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


def pair_sums_layout(mantissa_bits: int) -> data.StructLayout:
    """Return what a pair of activations can add: ``even``, ``odd`` and ``both``, their sum."""
    return data.StructLayout(
        {
            "even": signed(mantissa_bits + 1),
            "odd": signed(mantissa_bits + 1),
            "both": signed(mantissa_bits + 2),
        }
    )


def lane_step_layout(operands: dict[str, ShapeLike], index_bits: int) -> data.StructLayout:
    """Return one step of a floating-point lane: its ``operands`` and which sum they add to.

    ``index``: of the sum. ``begin``: the sum starts anew from +0. ``end``: it leaves.
    """
    place = {"index": unsigned(index_bits), "begin": unsigned(1), "end": unsigned(1)}
    return data.StructLayout(operands | place)
