"""Plane packer: the planes of compressed groups become beats of several words."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import compressed_plane_layout, packed_words_layout

__all__ = ["PlanePacker"]


class PlanePacker(wiring.Component):
    """Put the signs before the planes of a group, and ``planes`` words into a beat.

    Members
    -------
    i : In(stream of `compressed_plane_layout`)
    room : In(1)
        What is put out is taken. A register's: it stalls all aligners of a compressor.
    o : Out(`packed_words_layout` (planes))
        With ``put``; in the cycle in which its last plane comes.
    put : Out(1)

    Timing: a plane a cycle; with ``planes`` = 1 the signs take one more.
    """

    def __init__(self, planes: int):
        self.planes = planes
        super().__init__(
            {
                "i": In(stream.Signature(compressed_plane_layout())),
                "room": In(1),
                "o": Out(packed_words_layout(planes)),
                "put": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self.planes == 1:
            self._one(m)
        else:
            self._several(m)
        m.d.comb += self.o.exponent.eq(self.i.payload.exponent)
        return m

    def _one(self, m):
        coming, signs, past = self.i.payload, Signal(), Signal()
        m.d.comb += [
            signs.eq(coming.first & ~past),
            self.put.eq(self.i.valid & self.room),
            self.i.ready.eq(self.room & ~signs),
            self.o.words[0].eq(Mux(signs, coming.signs, coming.plane)),
            self.o.last.eq(coming.last & ~signs),
        ]
        with m.If(self.put):
            m.d.sync += past.eq(signs)

    def _several(self, m):
        coming = self.i.payload
        place, behind = Signal(range(self.planes)), Signal(range(self.planes))
        begun, head, taken, full = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            # The signs are in the place before; they stay beside the group's planes.
            place.eq(Mux(coming.first, 1, behind)),
            head.eq(coming.first | begun),
            full.eq((place == self.planes - 1) | coming.last),
            self.i.ready.eq(self.room),
            taken.eq(self.i.valid & self.room),
            self.put.eq(taken & full),
            self.o.last.eq(coming.last),
        ]
        with m.If(taken):
            m.d.sync += [behind.eq(Mux(full, 0, place + 1)), begun.eq(head & ~full)]
        for number, word in enumerate(self.o.words):
            before = 0
            if number < self.planes - 1:
                held = Signal(len(coming.plane), name=f"held_{number}", reset_less=True)
                before = Mux(place > number, held, 0)
                with m.If(taken & (place == number)):
                    m.d.sync += held.eq(coming.plane)
            if number == 0:
                before = Mux(head, coming.signs, before)
            m.d.comb += word.eq(Mux(place == number, coming.plane, before))
