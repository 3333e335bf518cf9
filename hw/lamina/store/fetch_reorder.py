"""Back half of the fetcher: planes arrive burst by burst, and leave block by block."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import read_data_layout
from lamina.formats.planes import BLOCK_CODES, plane_beat_layout
from lamina.stream.memory import BlockMemory

__all__ = ["FetchReorder"]


class FetchReorder(wiring.Component):
    """Writes beats into a ring in the order of arrival and reads them out in strides.

    Parameters: `FetcherParameters`.

    Members
    -------
    r : In(stream of bus.axi4.read_data_layout)
        Always ready: a burst is asked only when its beats have room.
    chunk : In(stream of FetcherParameters.chunk_layout)
        What the beats are: ``keep`` bursts of ``count`` beats for each chunk, in order.
    o : Out(stream of plane_beat_layout)
    tail : Out
        Ring pointer up to which beats have been read out; moves once per chunk, because a chunk is
        read in another order than it was written in.

    Timing: a beat leaves ``o`` two cycles after it was taken from ``r``, at the earliest.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "r": In(stream.Signature(read_data_layout(p.axi))),
                "chunk": In(stream.Signature(p.chunk_layout)),
                "o": Out(stream.Signature(plane_beat_layout())),
                "tail": Out(p.pointer_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p, chunk = self.parameters, self.chunk.p
        m.submodules.ring = ring = BlockMemory(p.ring)
        head, address = Signal(p.pointer_bits), Signal(p.pointer_bits)
        m.d.comb += [
            self.r.ready.eq(1),
            ring.write_enable.eq(self.r.valid),
            ring.write_address.eq(head),
            # Bit 1 of a response tells both errors (slave, decode) from both kinds of okay.
            ring.write_data.eq(self.r.p.data | (self.r.p.resp[1] << BLOCK_CODES)),
        ]
        with m.If(self.r.valid):
            m.d.sync += head.eq(head + 1)

        arrived, fire = Signal(p.pointer_bits), Signal()
        last_plane, last_block = Signal(), Signal()
        bad = Signal()
        m.d.comb += [
            # Counted from the beat wanted next; "negative" as long as that has not come.
            arrived.eq(head - address - 1),
            fire.eq(self.chunk.valid & (chunk.bad | ~arrived[-1]) & (self.o.ready | ~self.o.valid)),
            self.chunk.ready.eq(fire & (chunk.bad | (last_plane & last_block))),
            ring.read_enable.eq(fire),
            ring.read_address.eq(address),
            self.o.p.bits.eq(ring.read_data),
            self.o.p.error.eq(ring.read_data[BLOCK_CODES] | bad),
        ]
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += self.o.valid.eq(fire)
        with m.If(fire):
            m.d.sync += [
                bad.eq(chunk.bad),
                self.o.p.last.eq(last_plane | chunk.bad),
                self.o.p.end.eq((last_plane & last_block & chunk.end) | chunk.bad),
            ]
        self._walk(m, address, last_plane, last_block, fire & ~chunk.bad)
        return m

    def _walk(self, m, address, last_plane, last_block, step):
        """Step ``address`` through the chunk: all planes of a block, then the next block."""
        chunk = self.chunk.p
        plane, block = Signal.like(chunk.keep), Signal.like(chunk.count)
        first = Signal.like(address)  # plane 0 of the present block
        m.d.comb += [
            last_plane.eq(plane + 1 == chunk.keep),
            last_block.eq(block + 1 == chunk.count),
        ]
        with m.If(step & ~last_plane):
            m.d.sync += [plane.eq(plane + 1), address.eq(address + chunk.count)]
        with m.Elif(step & ~last_block):
            m.d.sync += [plane.eq(0), block.eq(block + 1)]
            m.d.sync += [first.eq(first + 1), address.eq(first + 1)]
        with m.Elif(step):
            # The last plane of the last block was the last beat to come.
            m.d.sync += [plane.eq(0), block.eq(0)]
            m.d.sync += [first.eq(address + 1), address.eq(address + 1), self.tail.eq(address + 1)]
