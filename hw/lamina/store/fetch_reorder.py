"""Back half of the fetcher: planes arrive burst by burst, and leave block by block."""

from amaranth.hdl import Module, Signal, signed
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

        # Beats that came after the one wanted next; negative as long as that has not come itself.
        ahead, fire = Signal(signed(p.pointer_bits), init=-1), Signal()
        last_plane, last_block = Signal(), Signal()
        bad = Signal()
        m.d.comb += [
            fire.eq(self.chunk.valid & (chunk.bad | (ahead >= 0)) & (self.o.ready | ~self.o.valid)),
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
        self._walk(m, address, ahead, last_plane, last_block, fire & ~chunk.bad)
        return m

    def _walk(self, m, address, ahead, last_plane, last_block, step):
        """Step ``address`` through the chunk: all planes of a block, then the next block.

        ``ahead`` is the writing pointer - ``address`` - 1. It is kept, not computed: everything
        waits for its sign.
        """
        chunk = self.chunk.p
        # Counted from one: their comparisons end a long path, and so need no adder before.
        plane, block = Signal.like(chunk.keep, init=1), Signal.like(chunk.count, init=1)
        # The same two for plane 0 of the present block.
        first, first_ahead = Signal.like(address), Signal.like(ahead, init=-1)
        came = self.r.valid
        m.d.comb += [last_plane.eq(plane == chunk.keep), last_block.eq(block == chunk.count)]
        m.d.sync += [ahead.eq(ahead + came), first_ahead.eq(first_ahead + came)]
        with m.If(step & ~last_plane):
            m.d.sync += plane.eq(plane + 1)
            m.d.sync += [address.eq(address + chunk.count), ahead.eq(ahead - chunk.count + came)]
        with m.Elif(step & ~last_block):
            m.d.sync += [plane.eq(1), block.eq(block + 1)]
            following, after = first + 1, first_ahead - 1 + came
            m.d.sync += [first.eq(following), first_ahead.eq(after)]
            m.d.sync += [address.eq(following), ahead.eq(after)]
        with m.Elif(step):
            # The last plane of the last block was the last beat to come.
            m.d.sync += [plane.eq(1), block.eq(1)]
            following, after = address + 1, ahead - 1 + came
            m.d.sync += [first.eq(following), first_ahead.eq(after), self.tail.eq(following)]
            m.d.sync += [address.eq(following), ahead.eq(after)]
