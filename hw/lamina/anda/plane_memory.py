"""Plane memory: a ring of rows that are written once, and read until they are released."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lamina.cell import Cell
from lamina.formats.anda import EXPONENT_BITS, GROUP
from lamina.formats.engine import plane_words_layout
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["PlaneMemory"]


class PlaneMemory(wiring.Component):
    """Rows of ``planes`` words and the exponent of each of ``rows`` rows of activations.

    A ring: what is loaded next takes the places of what was released. A tile that is worked on and
    the next one need no halves of fixed size.

    Members
    -------
    write, words, exponents : In
        Written behind what is there already; not while ``full``.
    full : Out(1)
    release : In(1), released : In(5)
        So many of the oldest rows are needed no more.
    read, address : In
    read_words, read_exponents : Out
        Of the row ``address``, a cycle after ``read``; they stay until the next ``read``.
    """

    def __init__(self, rows: int, planes: int, depth: int):
        self.rows = rows
        self.row = BlockMemoryParameters(width=planes * GROUP + EXPONENT_BITS, depth=depth)
        beat = plane_words_layout(rows, planes).members
        super().__init__(
            {
                "write": In(1),
                "words": In(beat["words"]),
                "exponents": In(beat["exponents"]),
                "full": Out(1),
                "release": In(1),
                "released": In(5),
                "read": In(1),
                "address": In(self.row.address_bits),
                "read_words": Out(beat["words"]),
                "read_exponents": Out(beat["exponents"]),
            }
        )

    def elaborate(self, platform):
        m = Module()
        place = Signal(self.row.address_bits)
        used = Signal(range(self.row.depth + 1))
        m.d.comb += self.full.eq(used == self.row.depth)
        m.d.sync += [
            place.eq(place + self.write),
            used.eq(used + self.write - (self.released & self.release.replicate(5))),
        ]
        for row in range(self.rows):
            m.submodules[f"row_{row}"] = memory = Cell(BlockMemory, self.row)
            m.d.comb += [
                memory.write_enable.eq(self.write),
                memory.write_address.eq(place),
                memory.write_data.eq(Cat(self.words[row], self.exponents[row])),
                memory.read_enable.eq(self.read),
                memory.read_address.eq(self.address),
                Cat(self.read_words[row], self.read_exponents[row]).eq(memory.read_data),
            ]
        return m
