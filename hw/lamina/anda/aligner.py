"""Serial aligner: one element's significand, put out bit by bit at the group's exponent."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import EXPONENT_BITS, FORMATS, MANTISSA_BITS_MAX
from lamina.formats.ieee import Format
from lamina.parameters import check_choice, check_range

__all__ = ["SerialAligner", "SerialAlignerParameters"]

#: Distances above this are kept as this: beyond the longest mantissa nothing is left to round up.
DISTANCE_MAX = 2 * MANTISSA_BITS_MAX - 1

#: Of rounding: where the half unit is, whether it is added, adding it.
_STAGES = 3


@dataclass(frozen=True, kw_only=True)
class SerialAlignerParameters:
    """``format``: "fp16" or "bf16". ``stages_per_rank``, 1 to 16: after so many of the three stages
    of rounding, short of the last, comes a rank of registers. 1 suits FPGAs; 3 has none.
    """

    format: str
    stages_per_rank: int = 1

    def __post_init__(self):
        check_choice("format", self.format, tuple(FORMATS))
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def ranks(self) -> int:
        """Ranks of registers between a value taken and its rounding."""
        return -(-_STAGES // self.stages_per_rank) - 1

    @property
    def form(self) -> Format:
        """Layout of a value."""
        return FORMATS[self.format]

    @property
    def latency(self) -> int:
        """Cycles from a value taken to its first bit."""
        return 2 + self.ranks

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one bit a cycle"

    @property
    def storage_bits(self) -> int:
        """Significand and distance, before and after rounding; with what is added in each rank."""
        kept = self.form.precision + DISTANCE_MAX.bit_length()
        return 2 * kept + self.ranks * (kept + self.form.precision)


class SerialAligner(wiring.Component):
    """Shift a significand right by its distance to the group's exponent without a shifter.

    As long as the distance is not used up a zero goes out and the distance falls by one; then the
    significand leaves, most significant bit first. Stopping after M bits truncates.

    Members
    -------
    value : In(16), exponent : In(8), take : In(1)
        First rank: with ``take``, keep the value's significand and its distance to ``exponent``,
        the largest of its group (at least 1).
    mantissa_bits : In(5), rounding : In(1)
        Of the group that the first rank holds: M, and 1 to round to nearest, ties to even,
        saturating. Ranks between the stages of rounding move with ``take``, too.
    load : In(1)
        Start with what the last rank holds, rounded.
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
        with m.If(self.take):
            m.d.sync += [taken.eq(split[0]), taken_distance.eq(split[1])]
        rounded = self._round(m, taken, taken_distance)
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
        form = self.parameters.form
        value = Signal(form.layout)
        normal = Signal()
        carried = Signal(1 + form.exponent_bits)
        distance = carried[1:]
        m.d.comb += [
            value.eq(self.value),
            normal.eq(value.exponent != 0),
            # The difference, one less if it is not normal: a subnormal's exponent is 1, so the
            # field 0 is one nearer than it says. The lowest bit is there to carry.
            carried.eq(Cat(Const(1, 1), self.exponent) + Cat(normal, ~value.exponent)),
        ]
        if len(distance) > DISTANCE_MAX.bit_length():
            distance = Mux(distance > DISTANCE_MAX, DISTANCE_MAX, distance)
        return Cat(value.fraction, normal), distance

    def _round(self, m, significand, distance):
        """Return both after adding half a unit of the last kept bit, unless that is an even tie."""
        values = (significand, distance)
        for number, stage in enumerate((self._place, self._decide), 1):
            values = (*values[:2], stage(m, *values))
            if number % self.parameters.stages_per_rank == 0:
                values = self._registered(m, values, stage.__name__)
        return self._add(m, *values)

    def _registered(self, m, values, name):
        """Return ``values`` behind a rank of registers."""
        names = ("significand", "distance", "half")
        ranks = [
            Signal.like(value, name=f"{name}_{kind}", reset_less=True)
            for kind, value in zip(names, values, strict=True)
        ]
        with m.If(self.take):
            m.d.sync += [rank.eq(value) for rank, value in zip(ranks, values, strict=True)]
        return tuple(ranks)

    def _place(self, m, significand, distance):
        """Return half a unit of the last kept bit, or 0 to truncate."""
        precision = len(significand)
        place = Signal(range(-MANTISSA_BITS_MAX, DISTANCE_MAX + precision))
        half = Signal(precision)
        m.d.comb += place.eq(distance + (precision - 1) - self.mantissa_bits)
        for bit in range(precision):
            m.d.comb += half[bit].eq(self.rounding & (place == bit))
        return half

    def _decide(self, m, significand, distance, half):
        """Return what is added: nothing if it is an even tie."""
        added = Signal.like(half)
        even_tie = Signal()
        m.d.comb += [
            # Nothing below the half, and the last kept bit, above it, clear.
            even_tie.eq(~(significand & ((half - 1) | (half << 1))).any()),
            added.eq(Mux(even_tie, 0, half)),
        ]
        return added

    def _add(self, m, significand, distance, added):
        """Return significand and distance of the sum."""
        total = Signal(len(significand) + 1)
        m.d.comb += total.eq(significand + added)
        carry = total[-1]
        at_top = distance == 0
        return (
            Mux(carry, Mux(at_top, ~0, total[1:]), total[:-1]),
            distance - (carry & ~at_top),
        )
