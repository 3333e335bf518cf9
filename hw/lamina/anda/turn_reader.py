"""Turn reader: each turn becomes beats of words for the array, read from the plane memory."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import array_words_layout
from lamina.formats.engine import plane_words_layout, turn_layout

__all__ = ["TurnReader"]

#: Of a beat, beside its words and exponents: whether its first word counts, and its others.
_FLAGS = data.StructLayout(
    dict.fromkeys(("first", "last", "load", "begin", "end", "top", "rest"), 1)
)


class TurnReader(wiring.Component):
    """Read a group's rows of memory backwards, and put beats of zeros behind its signs.

    The signs are in the last row, where the array wants them in the first beat: with fewer rows
    than beats, that row is read twice, once for the signs and once for its other words.

    Parameters: `EngineParameters`.

    Members
    -------
    turn : In(stream of `turn_layout`)
        Ready with the turn's last beat.
    begins : Out(1)
        The turn's first beat is read.
    read, address : Out; words, exponents : In
        As `PlaneMemory` has them.
    o : Out(stream of `array_words_layout`)
        A cycle later.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        beat = plane_words_layout(p.rows, p.planes).members
        super().__init__(
            {
                "turn": In(stream.Signature(turn_layout(p.address_bits))),
                "begins": Out(1),
                "read": Out(1),
                "address": Out(p.address_bits),
                "words": In(beat["words"]),
                "exponents": In(beat["exponents"]),
                "o": Out(stream.Signature(array_words_layout(p.rows, p.planes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        turn = self.turn.payload
        behind, left = Signal(5), Signal(5)  # beats left behind this one, with it
        row, moves = Signal.like(self.address), Signal()
        coming, flags = Signal(_FLAGS), Signal(_FLAGS)
        first, last, advance = Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(self.o.ready | ~self.o.valid),
            first.eq(behind == 0),
            last.eq(behind == 1),
            left.eq(Mux(first, turn.cycles, behind)),
            self.read.eq(self.turn.valid & advance),
            self.address.eq(Mux(first, turn.address + turn.beats, row) - (first | moves)),
            self.turn.ready.eq(advance & last),
            self.begins.eq(self.read & first),
            coming.first.eq(first),
            coming.last.eq(last),
            coming.load.eq(turn.load),
            coming.begin.eq(turn.begin),
            coming.end.eq(turn.end),
            coming.top.eq(turn.real & (first | (left < turn.beats))),
            coming.rest.eq(turn.real & (left <= turn.beats)),
        ]
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(self.turn.valid), flags.eq(coming)]
        with m.If(self.read):
            m.d.sync += [behind.eq(left - 1), row.eq(self.address), moves.eq(left <= turn.beats)]
        words = self.o.payload
        for name in ("first", "last", "load", "begin", "end"):
            m.d.comb += words[name].eq(flags[name])
        m.d.comb += words.exponents.eq(self.exponents)
        for row in range(self.parameters.rows):
            for place, word in enumerate(self.words[row]):
                m.d.comb += words.words[row][place].eq(
                    Mux(flags.rest if place else flags.top, word, 0)
                )
        return m
