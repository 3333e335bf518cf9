"""Asks the memory for the planes of blocks, one block after the other."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import BURST_INCR, address_layout
from lamina.formats.planes import BEAT_BYTES
from lamina.formats.views import BLOCK_ROWS, fetch_layout
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["BlockFetch"]

_BEAT_SHIFT = BEAT_BYTES.bit_length() - 1


class BlockFetch(wiring.Component):
    """Turns orders to fetch into AXI4 read addresses, and looks poisoned lines up before.

    Parameters: `DeviceParameters`.

    Members
    -------
    i, i_valid : In
        `fetch_layout`; taken always: there is room for an order of every slot.
    ar : Out(stream)
        A burst of one beat per plane: the planes of a block lie in different rows.
    started : Out(stream of fetch_layout)
        An order whose beats come next; always taken.
    poisoned : In
        Some line of the memory is poisoned. Else nobody is asked.
    lookup : Out(stream of beat addresses)
    lookup_done, lookup_lines : In
        The answer: which lines of the full view are poisoned.
    lines_enable, lines_slot, lines : Out
        The poisoned lines of the block in a slot, told before its first address goes out.

    Timing: an address a cycle; the first one is valid the cycle after its order came, if nothing
    is poisoned. Since poison is looked up before data are read, and a write clears it after its
    data are in memory, bad data are never taken for good ones.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        order = fetch_layout(p.slot_bits, p.beat_bits)
        super().__init__(
            {
                "i": In(order),
                "i_valid": In(1),
                "ar": Out(stream.Signature(address_layout(p.axi))),
                "started": Out(stream.Signature(order)),
                "poisoned": In(1),
                "lookup": Out(stream.Signature(p.beat_bits)),
                "lookup_done": In(1),
                "lookup_lines": In(BLOCK_ROWS),
                "lines_enable": Out(1),
                "lines_slot": Out(p.slot_bits),
                "lines": Out(BLOCK_ROWS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        order = fetch_layout(p.slot_bits, p.beat_bits)
        m.submodules.waiting = waiting = Queue(QueueParameters(shape=order, depth=p.blocks))
        job, following, load = Signal(order), Signal(order), Signal()
        valid, checked, asked = Signal(), Signal(), Signal()
        direct = Signal()  # the order that comes now need not queue
        free = ~valid | (checked & self.ar.ready & (job.count == 1))
        m.d.comb += [
            direct.eq(free & (waiting.level == 0)),
            waiting.i.valid.eq(self.i_valid & ~direct),
            waiting.i.payload.eq(self.i),
            waiting.o.ready.eq(free),
            following.eq(Mux(waiting.o.valid, waiting.o.payload, self.i)),
            load.eq(free & (waiting.o.valid | (direct & self.i_valid))),
            self.started.valid.eq(load),
            self.started.payload.eq(following),
            self.ar.valid.eq(valid & checked),
            self.ar.p.addr.eq(job.address << _BEAT_SHIFT),
            self.ar.p.size.eq(p.axi.size),
            self.ar.p.burst.eq(BURST_INCR),
        ]
        with m.If(self.ar.valid & self.ar.ready):
            m.d.sync += job.count.eq(job.count - 1)
            m.d.sync += job.address.eq(job.address + (1 << job.row_shift))
        with m.If(free):
            m.d.sync += valid.eq(load)
        with m.If(load):
            m.d.sync += [job.eq(following), checked.eq(~self.poisoned), asked.eq(0)]
        self._look_up(m, job, valid, checked, asked)
        return m

    def _look_up(self, m, job, valid, checked, asked):
        m.d.comb += [
            self.lookup.valid.eq(valid & ~checked & ~asked),
            self.lookup.payload.eq(job.address),
            self.lines_enable.eq(valid),
            self.lines_slot.eq(job.slot),
            self.lines.eq(Mux(asked, self.lookup_lines, 0)),
        ]
        with m.If(self.lookup.valid & self.lookup.ready):
            m.d.sync += asked.eq(1)
        with m.If(asked & self.lookup_done):
            m.d.sync += checked.eq(1)
