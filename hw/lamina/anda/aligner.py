"""Serial aligner: one element's significand, put out bit by bit at the group's exponent."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal
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
    def place_shape(self) -> Shape:
        """Shape of a bit's number in the significand, which may be outside of it."""
        return Shape.cast(range(-MANTISSA_BITS_MAX, DISTANCE_MAX + self.form.precision))

    @property
    def half_place_shape(self) -> Shape:
        """Shape of precision - 1 - M."""
        return Shape.cast(range(self.form.precision - 1 - MANTISSA_BITS_MAX, self.form.precision))

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
        precision = self.form.precision
        added = (precision + self.place_shape.width, precision)[-self.ranks :] if self.ranks else ()
        return 2 * kept + sum(kept + width for width in added)


class SerialAligner(wiring.Component):
    """Shift a significand right by its distance to the group's exponent without a shifter.

    As long as the distance is not used up a zero goes out and the distance falls by one; then the
    significand leaves, most significant bit first. Stopping after M bits truncates.

    Members
    -------
    value : In(16), exponent : In(8), take : In(1)
        First rank: with ``take``, keep the value's significand and its distance to ``exponent``,
        the largest of its group (at least 1).
    half_place : In(signed), rounding : In(1)
        Of the group that the first rank holds: precision - 1 - M, the bit of the significand that
        is half a unit where there is no distance; and 1 to round to nearest, ties to even,
        saturating. Ranks between the stages of rounding move with ``take``, too.
    moves : In(1)
        Go on to the next bit.
    load : In(1)
        With ``moves``: to the first one of what the last rank holds, rounded.
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
                "half_place": In(parameters.half_place_shape),
                "rounding": In(1),
                "moves": In(1),
                "load": In(1),
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
        with m.If(self.moves):
            with m.If(self.load):
                m.d.sync += [significand.eq(rounded[0]), distance.eq(rounded[1])]
            with m.Elif(distance != 0):
                m.d.sync += distance.eq(distance - 1)
            with m.Else():
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
        names = ("significand", "distance", "result")
        ranks = [
            Signal.like(value, name=f"{name}_{kind}", reset_less=True)
            for kind, value in zip(names, values, strict=True)
        ]
        with m.If(self.take):
            m.d.sync += [rank.eq(value) for rank, value in zip(ranks, values, strict=True)]
        return tuple(ranks)

    def _place(self, m, significand, distance):
        """Return of each bit whether it would be an even tie as half a unit of the last kept one;
        and above these which bit it is, or -1 to truncate.
        """
        place, ties = Signal(self.parameters.place_shape), Signal.like(significand)
        truncate = ~self.rounding.replicate(len(place))
        m.d.comb += [
            place.eq((distance + self.half_place)[: len(place)] | truncate),
            # Nothing below the half, and the last kept bit, above it, clear.
            *(
                tie.eq(~Cat(significand[:n], significand[n + 1 : n + 2]).any())
                for n, tie in enumerate(ties)
            ),
        ]
        return Cat(ties, place)

    def _decide(self, m, significand, distance, placed):
        """Return what is added: half a unit, or nothing if it is an even tie."""
        ties, place = placed[: len(significand)], placed[len(significand) :].as_signed()
        added = Signal.like(significand)
        # No multiplexer: synthesis would make a reset of it, which the enable has to go into.
        m.d.comb += added.eq(Cat((place == n) & ~tie for n, tie in enumerate(ties)))
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
