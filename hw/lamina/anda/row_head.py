"""Row head: words of a group as they are stored become offset-binary planes, P a cycle."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import GROUP
from lamina.parameters import check_choice

__all__ = ["RowHead", "RowHeadParameters"]


@dataclass(frozen=True, kw_only=True)
class RowHeadParameters:
    """``planes`` a cycle: 1, 2 or 4."""

    planes: int = 1

    def __post_init__(self):
        check_choice("planes", self.planes, (1, 2, 4))

    @property
    def latency(self) -> int:
        """Cycles from a beat to its planes: the last of them meets the next beat's first word."""
        return 1

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return f"{self.planes} words in and {self.planes} planes out a cycle"

    @property
    def storage_bits(self) -> int:
        """Signs, carries, and the planes that wait for the next beat."""
        return (self.planes + 1) * GROUP


class RowHead(wiring.Component):
    """Negate serially: sign and magnitude in, planes of (-1)^s * m + 2^M out, LSB first.

    Members
    -------
    words : In(ArrayLayout(unsigned(64), planes))
        A beat, in the order of `array_words_layout`.
    take : In(1), first : In(1)
        The beat is taken at this clock edge; it is the first of its group.
    closing : In(1)
        The beat taken before was the last of its group: its planes are to come out.
    inverses : Out(ArrayLayout(unsigned(64), planes))
        NOT of the planes of the beat taken before, the last of them with the help of ``words``, or
        if ``closing``, of the signs.

    Numerics: a lane with sign s puts out m XOR s from the bit after the lowest set one on; the top
    plane is inverted, which adds 2^M. Exact.
    """

    def __init__(self, parameters: RowHeadParameters):
        self.parameters = p = parameters
        beat = data.ArrayLayout(unsigned(GROUP), p.planes)
        ports = {"words": In(beat), "inverses": Out(beat)}
        super().__init__(ports | {name: In(1) for name in ("take", "first", "closing")})

    def elaborate(self, platform):
        m = Module()
        planes = self.parameters.planes
        signs = Signal(GROUP, reset_less=True)
        carries = Signal(GROUP, reset_less=True)
        negative = Signal(GROUP)
        m.d.comb += negative.eq(signs & carries)
        top = Mux(self.closing, negative, ~(self.words[0] ^ negative))
        # Of this beat's words the first is the signs, or completes the planes of the one before.
        signs_now = Signal(GROUP)
        carries_now = Signal(GROUP)
        m.d.comb += [
            signs_now.eq(Mux(self.first, self.words[0], signs)),
            carries_now.eq(Mux(self.first, 0, carries | self.words[0])),
        ]
        held = Signal(GROUP * (planes - 1), reset_less=True)
        coming = []
        for place in range(1, planes):
            # Where carries begin, the signs that come with them are not asked for yet.
            negates = (signs if place == 1 else signs_now) & carries_now
            coming.append(~(self.words[place] ^ negates))
            before, carries_now = carries_now, Signal(GROUP, name=f"carries_{place}")
            m.d.comb += carries_now.eq(before | self.words[place])
        m.d.comb += self.inverses.as_value().eq(Cat(held, top))
        with m.If(self.take):
            m.d.sync += [carries.eq(carries_now), held.eq(Cat(coming))]
            with m.If(self.first):
                m.d.sync += signs.eq(self.words[0])
        return m
