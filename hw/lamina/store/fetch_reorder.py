"""Back half of the fetcher: planes arrive burst by burst, and leave block by block."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import read_data_layout
from lamina.formats.planes import BLOCK_CODES
from lamina.stream.buffer import SkidBuffer
from lamina.stream.memory import BlockMemory

__all__ = ["FetchReorder"]


class FetchReorder(wiring.Component):
    """Writes beats into a ring in the order of arrival and reads them out in strides.

    Parameters: `FetcherParameters`.

    Members
    -------
    r : In(stream of bus.axi4.read_data_layout)
        Always ready: a burst is asked only when its beats have room.
    chunk : In(stream of FetcherParameters.marked_layout)
        What the beats are: ``keep`` bursts of ``count`` beats for each chunk, in order.
    o : Out(stream of FetcherParameters.beat_layout)
    tail : Out
        Ring pointer up to which beats have been read out; moves once per chunk, because a chunk is
        read in another order than it was written in.

    Timing: a beat leaves ``o`` four cycles after it was taken from ``r``, at the earliest.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "r": In(stream.Signature(read_data_layout(p.axi))),
                "chunk": In(stream.Signature(p.marked_layout)),
                "o": Out(stream.Signature(p.beat_layout)),
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
        ahead = Signal(signed(p.pointer_bits), init=-1)
        fire, step = Signal(), Signal()  # a beat is read; one of a chunk that has any
        last_plane, last_block = Signal(), Signal()
        m.submodules.out = out = SkidBuffer(p.out)
        wiring.connect(m, out.o, wiring.flipped(self.o))
        # Fields of the beat in the ring's output, which is slow: so it has a register behind it.
        # Both move when the slice is ready, which is a register: no more may be asked here.
        reads, bad, last, end = Signal(), Signal(), Signal(), Signal()
        planes = Signal.like(chunk.planes)
        beat = out.i.p.beat
        m.d.comb += [
            fire.eq(self.chunk.valid & (chunk.bad | (ahead >= 0)) & out.i.ready),
            step.eq(self.chunk.valid & ~chunk.bad & (ahead >= 0) & out.i.ready),
            self.chunk.ready.eq(fire & (chunk.bad | (last_plane & last_block))),
            ring.read_enable.eq(fire),
            ring.read_address.eq(address),
        ]
        with m.If(out.i.ready):
            m.d.sync += [
                reads.eq(fire),
                out.i.valid.eq(reads),
                beat.bits.eq(ring.read_data),
                beat.error.eq(ring.read_data[BLOCK_CODES] | bad),
                beat.last.eq(last),
                beat.end.eq(end),
                out.i.p.planes.eq(planes),
            ]
        with m.If(fire):
            m.d.sync += [
                bad.eq(chunk.bad),
                planes.eq(chunk.planes),
                last.eq(last_plane | chunk.bad),
                end.eq((last_plane & last_block & chunk.end) | chunk.bad),
            ]
        self._walk(m, address, ahead, last_plane, last_block, step)
        return m

    def _walk(self, m, address, ahead, last_plane, last_block, step):
        """Step ``address`` through the chunk: all planes of a block, then the next block.

        ``ahead`` is the writing pointer - ``address`` - 1. It is kept, not computed: everything
        waits for its sign, and so all else is found out before a beat comes to be read.
        """
        chunk, came = self.chunk.p, self.r.valid
        # The plane and the block after these, counted from one, and whether these are the last; in
        # a chunk's first beat the chunk says that.
        plane = Signal(len(chunk.keep) + 1, init=2)
        block = Signal(len(chunk.count) + 1, init=2)
        opening, final_plane, final_block = Signal(init=1), Signal(), Signal()
        m.d.comb += [
            last_plane.eq(Mux(opening, chunk.single, final_plane)),
            last_block.eq(Mux(opening, chunk.alone, final_block)),
        ]
        with m.If(step):
            m.d.sync += [
                opening.eq(last_plane & last_block),
                plane.eq(Mux(last_plane, 2, plane + 1)),
                final_plane.eq(Mux(last_plane, chunk.single, plane == chunk.keep)),
                final_block.eq(Mux(last_plane, block == chunk.count, last_block)),
            ]
            with m.If(last_plane):
                m.d.sync += block.eq(Mux(last_block, 2, block + 1))

        # Of plane 0 of the present block, and of the next one: the last plane of the last block was
        # the last beat to come.
        first, first_ahead = Signal.like(address), Signal.like(ahead, init=-1)
        following, after = Signal.like(address), Signal.like(ahead)
        m.d.comb += [
            following.eq(Mux(last_block, address + 1, first + 1)),
            after.eq(Mux(last_block, ahead - 1 + came, first_ahead - 1 + came)),
        ]
        m.d.sync += [ahead.eq(ahead + came), first_ahead.eq(first_ahead + came)]
        with m.If(step):
            m.d.sync += [
                address.eq(Mux(last_plane, following, address + chunk.count)),
                ahead.eq(Mux(last_plane, after, ahead - chunk.count + came)),
            ]
            with m.If(last_plane):
                m.d.sync += [first.eq(following), first_ahead.eq(after)]
                with m.If(last_block):
                    m.d.sync += self.tail.eq(following)
