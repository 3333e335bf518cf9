"""IEEE 754 formats as bit layouts. Fields run from the least significant bit up."""

from dataclasses import dataclass

from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["BF16", "FP16", "FP32", "FP32_NAN", "Format"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A binary interchange format.

    ``precision`` is p, the significand's bits with the leading one; the value of exponent field e
    and significand F = {e != 0, fraction} is F * 2^(max(e, 1) - bias - p + 1).
    """

    precision: int
    exponent_bits: int

    @property
    def bias(self) -> int:
        """Exponent field of 1.0."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def fraction_bits(self) -> int:
        """Stored bits of the significand."""
        return self.precision - 1

    @property
    def width(self) -> int:
        """Bits of the whole pattern."""
        return self.precision + self.exponent_bits

    @property
    def exponent_ones(self) -> int:
        """The all-ones exponent field, which marks Inf and NaN."""
        return (1 << self.exponent_bits) - 1

    @property
    def nan(self) -> int:
        """The one NaN that Lamina's arithmetic produces: quiet, positive, nothing else set."""
        return self.exponent_ones << self.fraction_bits | 1 << (self.fraction_bits - 1)

    @property
    def layout(self) -> data.StructLayout:
        """Fields ``fraction``, ``exponent``, ``sign``."""
        return data.StructLayout(
            {
                "fraction": unsigned(self.fraction_bits),
                "exponent": unsigned(self.exponent_bits),
                "sign": unsigned(1),
            }
        )


FP16 = Format(precision=11, exponent_bits=5)
BF16 = Format(precision=8, exponent_bits=8)
FP32 = Format(precision=24, exponent_bits=8)

#: The one NaN that Lamina's FP32 arithmetic produces: 0x7FC00000.
FP32_NAN = FP32.nan
