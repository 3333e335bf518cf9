"""Which view an address belongs to, and which block and line of it."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.views import (
    GRANULE_LINES_BITS,
    VIEW_INDEX_BITS,
    message_layout,
    place_layout,
)
from lamina.stream.buffer import SkidBuffer, SkidBufferParameters

__all__ = ["ViewLookup"]

#: Views of which it is known early whether any was hit.
_GROUP = 4


def _first(hits: Value) -> Value:
    """Return the number of the first bit that is set, of those of which one is."""
    last, bits = len(hits) - 1, (len(hits) - 1).bit_length()
    first = [(hits[n] if n < last else 1) & ~hits[:n].any() for n in range(1, last + 1)]
    return Cat(
        Cat(here for n, here in enumerate(first, 1) if n >> bit & 1).any() for bit in range(bits)
    )


class ViewLookup(wiring.Component):
    """Three stages: how far it is into each window, the entry of the view that counts, its block
    and line.

    Parameters: `DeviceParameters`.

    Members
    -------
    i, i_line, i_mapped, i_valid : In
        From `DeviceFront`.
    valid, first, limit : In
        From `ViewTable`; where windows overlap, the one of the lowest index counts.
    index, view
        Of the view in the table.
    o : Out(stream of place_layout)
        Whether the block is one of the view's is not checked. A slice is the last of the stages:
        what stalls behind it is known to those before it from a register.
    advance, goes : Out
        The stages move, and all before them; ``goes`` says the same from a register of its own, to
        those who do more with it than to move.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(message_layout()),
                "i_line": In(p.device_line_bits),
                "i_mapped": In(1),
                "i_valid": In(1),
                "valid": In(p.views),
                "first": In(p.granule_bits * p.views),
                "limit": In((p.granule_bits + 1) * p.views),
                "index": Out(VIEW_INDEX_BITS),
                "view": In(p.view),
                "o": Out(stream.Signature(place_layout(p.view))),
                "advance": Out(1),
                "goes": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        message = [Signal(message_layout(), name=f"message_{n}") for n in (3, 4)]
        line = [Signal(GRANULE_LINES_BITS, name=f"line_{n}") for n in (3, 4)]
        valid = [Signal(name=f"valid_{n}") for n in (3, 4)]
        found, index = Signal(), Signal(VIEW_INDEX_BITS)
        hit, mapped = Signal(p.views), Signal()
        groups = [hit[n : n + _GROUP] for n in range(0, p.views, _GROUP)]
        # Of each group of views, whether any was hit, and which was first.
        some, firsts = Signal(len(groups)), Signal(len(groups) * len(_first(groups[0])))
        # How far the address is into each window, in granules; and into the one that counts.
        granule, bits = self.i_line[GRANULE_LINES_BITS:], p.granule_bits
        ahead, offsets = (
            [Signal(bits, name=f"{name}_{v}") for v in range(p.views)]
            for name in ("ahead", "offset")
        )
        granules = Signal(bits)
        for v in range(p.views):
            before = Signal(name=f"before_{v}")
            limit = self.limit.word_select(v, bits + 1)
            m.d.comb += [
                Cat(ahead[v], before).eq(granule - self.first.word_select(v, bits)),
                hit[v].eq(self.valid[v] & ~before & (granule < limit)),
            ]
        group, step = _first(some), len(firsts) // len(groups)
        here = [
            Cat(offsets[n : n + _GROUP]).word_select(firsts.word_select(n // _GROUP, step), bits)
            for n in range(0, p.views, _GROUP)
        ]
        m.d.comb += self.index.eq(Cat(firsts.word_select(group, step), group))
        with m.If(self.advance):
            m.d.sync += [
                firsts.eq(Cat(_first(group) for group in groups)),
                some.eq(Cat(group.any() for group in groups)),
                Cat(offsets).eq(Cat(ahead)),
                granules.eq(Cat(here).word_select(group, bits)),
                mapped.eq(self.i_mapped),
                Cat(*message).eq(Cat(self.i, message[0])),
                Cat(*line).eq(Cat(self.i_line[:GRANULE_LINES_BITS], line[0])),
                Cat(*valid).eq(Cat(self.i_valid, valid[0])),
                found.eq(some.any() & mapped),
                index.eq(self.index),
            ]
        m.submodules.last = last = SkidBuffer(SkidBufferParameters(shape=self.o.p.shape()))
        wiring.connect(m, last.o, wiring.flipped(self.o))
        m.d.comb += [self.advance.eq(last.i.ready), last.i.valid.eq(valid[1])]
        stalls = self.o.valid & ~self.o.ready
        m.d.sync += self.goes.eq(~(stalls & (valid[1] | ~self.goes)))
        self._place(m, last.i.p, message[1], Cat(line[1], granules), found, index)
        return m

    def _place(self, m, place, message, offset, found, index):
        """Third stage: in which block of the window the address is."""
        m.d.comb += [
            place.message.eq(message),
            place.mapped.eq(found),
            place.index.eq(index),
            place.view.eq(self.view),
        ]
        # One bit of the number of lines is set: it says how far. Kept: this is not to become one
        # with the slice's multiplexer.
        shifted = Signal(len(offset), attrs={"keep": 1})
        lines = self.view.lines
        # Nothing is cut off where a window was found: none is longer than its blocks, in granules.
        m.d.comb += [
            shifted.eq(reduce(or_, (Mux(lines[n], offset >> n, 0) for n in range(len(lines))))),
            place.block.eq(shifted),
            place.line.eq(offset[:4] & (lines - 1)[:4]),
            place.elsewhere.eq(~Cat(place.block, place.index)),
        ]
