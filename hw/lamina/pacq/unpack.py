"""FP16 as PacQ's integer datapaths take it."""

from amaranth.hdl import Cat, Value
from amaranth.lib import data

from lamina.formats.ieee import FP16

__all__ = ["SIGNIFICAND_BITS", "Unpacked"]

#: Width of a signed significand: FP16's 11 bits and the sign.
SIGNIFICAND_BITS = FP16.precision + 1


class Unpacked:
    """The parts of the FP16 pattern ``bits``, as expressions: significand * 2^(exponent - 25).

    Members: ``significand`` signed, (-1)^s * F in two's complement, or its opposite if ``negate``;
    ``exponent`` from 1 to 31, so that subnormals need no case of their own; ``negative``, ``inf``
    and ``nan``, one bit each.
    """

    def __init__(self, bits: Value, *, negate: bool = False):
        a = data.View(FP16.layout, bits)
        normal, special = a.exponent.any(), a.exponent.all()
        minus = ~a.sign if negate else a.sign
        # Negated here, in 12 bits, rather than after products or a shift have made it wide.
        flipped = Cat(a.fraction, normal, 0) ^ minus.replicate(SIGNIFICAND_BITS)
        self.significand = (flipped + minus)[:SIGNIFICAND_BITS].as_signed()
        self.exponent = Cat(a.exponent[0] | ~normal, a.exponent[1:])
        self.negative = a.sign
        self.inf = special & ~a.fraction.any()
        self.nan = special & a.fraction.any()
