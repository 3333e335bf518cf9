"""Serial aligner: one element's significand, put out bit by bit at the group's exponent."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import EXPONENT_BITS, FORMATS, MANTISSA_BITS_MAX
from lamina.formats.ieee import Format
from lamina.parameters import check_choice

__all__ = ["SerialAligner", "SerialAlignerParameters"]

#: Distances above this are kept as this: beyond the longest mantissa nothing is left to round up.
DISTANCE_MAX = 2 * MANTISSA_BITS_MAX - 1


@dataclass(frozen=True, kw_only=True)
class SerialAlignerParameters:
    """``format``: "fp16" or "bf16"."""

    format: str

    def __post_init__(self):
        check_choice("format", self.format, tuple(FORMATS))

    @property
    def form(self) -> Format:
        """Layout of a value."""
        return FORMATS[self.format]

    @property
    def latency(self) -> int:
        """Cycles from a value taken to its first bit."""
        return 2

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one bit a cycle"

    @property
    def storage_bits(self) -> int:
        """Significand and distance, before and after rounding."""
        return 2 * (self.form.precision + DISTANCE_MAX.bit_length())


class SerialAligner(wiring.Component):
    """Shift a significand right by its distance to the group's exponent without a shifter.

    As long as the distance is not used up a zero goes out and the distance falls by one; then the
    significand leaves, most significant bit first. Stopping after M bits truncates.

    Members
    -------
    value : In(16), exponent : In(8), take : In(1)
        First rank: with ``take``, keep the value's significand and its distance to ``exponent``,
        the largest of its group (at least 1).
    mantissa_bits : In(5), rounding : In(1), load : In(1)
        Second rank: with ``load``, round what the first rank holds (``rounding`` = 1: to nearest,
        ties to even, saturating) for M = ``mantissa_bits`` and start.
    shift : In(1)
        Go on to the next bit.
    plane_bit : Out(1)
        The current mantissa bit.

    Numerics
    --------
    Rounding adds a one-hot half unit to the significand where the last kept bit will be: distance
    and M say where. A carry out shortens the distance by one; with no distance left it saturates.
    """

    def __init__(self, parameters: SerialAlignerParameters):
        self.parameters = parameters
        super().__init__(
            {
                "value": In(16),
                "exponent": In(EXPONENT_BITS),
                "take": In(1),
                "mantissa_bits": In(5),
                "rounding": In(1),
                "load": In(1),
                "shift": In(1),
                "plane_bit": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        precision = self.parameters.form.precision
        taken = Signal(precision, reset_less=True)
        taken_distance = Signal(range(DISTANCE_MAX + 1), reset_less=True)
        significand = Signal.like(taken)
        distance = Signal.like(taken_distance)
        split = self._split(m)
        rounded = self._round(m, taken, taken_distance)
        with m.If(self.take):
            m.d.sync += [taken.eq(split[0]), taken_distance.eq(split[1])]
        with m.If(self.load):
            m.d.sync += [significand.eq(rounded[0]), distance.eq(rounded[1])]
        with m.Elif(self.shift & (distance != 0)):
            m.d.sync += distance.eq(distance - 1)
        with m.Elif(self.shift):
            m.d.sync += significand.eq(significand << 1)
        m.d.comb += self.plane_bit.eq(significand[-1] & (distance == 0))
        return m

    def _split(self, m):
        """Return the value's significand, and how far its exponent is below the group's."""
        value = Signal(self.parameters.form.layout)
        normal = Signal()
        exact = Signal(EXPONENT_BITS)
        m.d.comb += [
            value.eq(self.value),
            normal.eq(value.exponent != 0),
            # A subnormal's exponent is 1: the field 0 is one nearer than it says.
            exact.eq(self.exponent - value.exponent - ~normal),
        ]
        return Cat(value.fraction, normal), Mux(exact > DISTANCE_MAX, DISTANCE_MAX, exact)

    def _round(self, m, significand, distance):
        """Return both after adding half a unit of the last kept bit, unless that is an even tie."""
        precision = len(significand)
        place = Signal(range(-MANTISSA_BITS_MAX, DISTANCE_MAX + precision))
        half = Signal(precision)
        even_tie = Signal()
        total = Signal(precision + 1)
        m.d.comb += place.eq(distance + (precision - 1) - self.mantissa_bits)
        for bit in range(precision):
            m.d.comb += half[bit].eq(self.rounding & (place == bit))
        m.d.comb += [
            # Nothing below the half, and the last kept bit, above it, clear.
            even_tie.eq(~(significand & ((half - 1) | (half << 1))).any()),
            total.eq(significand + Mux(even_tie, 0, half)),
        ]
        carry = total[-1]
        at_top = distance == 0
        return (
            Mux(carry, Mux(at_top, ~0, total[1:]), total[:-1]),
            distance - (carry & ~at_top),
        )
