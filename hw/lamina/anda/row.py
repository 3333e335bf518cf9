"""Row: one plane, registered and decoded for all columns."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.pairs import decode_pairs
from lamina.copies import copies
from lamina.formats.anda import GROUP, PAIRS, plane_layout
from lamina.parameters import check_flag, check_range

__all__ = ["Row", "RowParameters"]


@dataclass(frozen=True, kw_only=True)
class RowParameters:
    """``index_bits`` of an output index. ``copies``, 1 to 4, of the plane's register.

    ``rank``: whether the plane passes another register before that.
    """

    index_bits: int
    copies: int = 1
    rank: bool = False

    def __post_init__(self):
        check_range("index_bits", self.index_bits, 1, 24)
        check_range("copies", self.copies, 1, 4)
        check_flag("rank", self.rank)

    @property
    def latency(self) -> int:
        """Cycles from a plane accepted to the same plane valid."""
        return 1 + self.rank

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one plane a cycle"

    @property
    def storage_bits(self) -> int:
        """The plane with its fields and the valid flag, in each rank, and the copies."""
        return self.latency * (plane_layout(self.index_bits).size + 1) + (self.copies - 1) * GROUP


class Row(wiring.Component):
    """Register a plane and decode its pairs of bits, once for all the columns that share it.

    Members
    -------
    i, o : streams of `plane_layout`
        The plane, ``latency`` cycles later. A bubble is not squeezed out: ``i.ready`` is
        ``o.ready``.
    selects : Out(ArrayLayout(ArrayLayout(unsigned(3), PAIRS), copies))
        The same from each copy. Per pair of elements (2p, 2p + 1) of ``o``: bit 0 only the even
        one has its bit set, bit 1 only the odd one, bit 2 both. One-hot or zero: what an AND-OR
        select wants.
    """

    def __init__(self, parameters: RowParameters):
        self.parameters = p = parameters
        plane = stream.Signature(plane_layout(p.index_bits))
        selects = data.ArrayLayout(data.ArrayLayout(unsigned(3), PAIRS), p.copies)
        super().__init__({"i": In(plane), "o": Out(plane), "selects": Out(selects)})

    def elaborate(self, platform):
        m = Module()
        valid, given, enable = self.i.valid, self.i.payload, self.i.ready
        if self.parameters.rank:
            waiting = Signal.like(given, reset_less=True)
            waits = Signal()
            with m.If(enable):
                m.d.sync += [waits.eq(valid), waiting.eq(given)]
            valid, given = waits, waiting
        planes = copies(m, "plane", [given.plane], enable, self.parameters.copies)
        m.d.comb += [self.i.ready.eq(self.o.ready), self.o.payload.plane.eq(planes[0])]
        for field in ("first", "last", "group"):
            held = Signal.like(given[field], name=field, reset_less=True)
            m.d.comb += self.o.payload[field].eq(held)
            with m.If(enable):
                m.d.sync += held.eq(given[field])
        with m.If(enable):
            m.d.sync += self.o.valid.eq(valid)
        for selects, bits in zip(self.selects, planes, strict=True):
            m.d.comb += selects.eq(decode_pairs(m, bits))
        return m
