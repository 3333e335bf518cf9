"""Asks the memory for the planes of blocks: of neighbours that wait together, plane by plane."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import BURST_INCR, address_layout
from lamina.formats.planes import BEAT_BYTES
from lamina.formats.views import BLOCK_ROWS, RUN_BLOCKS_BITS, fetch_layout, run_layout
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["BlockFetch"]

_BEAT_SHIFT = BEAT_BYTES.bit_length() - 1

#: What blocks that are fetched together have in common.
_COMMON = ("row_shift", "count", "top", "group")


class BlockFetch(wiring.Component):
    """Turns orders to fetch into AXI4 read addresses, and looks poisoned lines up before.

    Parameters: `DeviceParameters`.

    Orders that wait while addresses go out become a run, as long as each is of the block behind
    the one before, in the same row: of a run each plane is one burst. Bursts are thus as long as
    memory makes the orders wait. An order that finds nothing to wait for goes out alone.

    Members
    -------
    i, i_valid : In
        `fetch_layout`; taken always: there is room for an order of every slot.
    ar : Out(stream)
        A burst per plane: the planes of a block lie in different rows.
    started : Out(stream of run_layout)
        A run whose beats come next; always taken.
    joined : Out
        Pulse: the slot ``joined_slot`` is the next one of a run; told before the run starts.
    poisoned : In
        Some line of the memory is poisoned: blocks are fetched one by one. Else nobody is asked.
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
                "started": Out(stream.Signature(run_layout(p.slot_bits, p.beat_bits))),
                "joined": Out(1),
                "joined_slot": Out(p.slot_bits),
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
        run = self.started.payload.shape()
        job, valid, checked, asked = Signal(run), Signal(), Signal(), Signal()
        free, head, pop = Signal(), Signal.like(self.i), Signal()
        waits, wait_valid = Signal(run), Signal()
        m.d.comb += [
            free.eq(~valid | (checked & self.ar.ready & (job.order.count == 1))),
            self.started.valid.eq(free & (wait_valid | pop)),
            self.started.payload.eq(waits),
            self.ar.valid.eq(valid & checked),
            self.ar.p.addr.eq(job.order.address << _BEAT_SHIFT),
            self.ar.p.len.eq(job.blocks),
            self.ar.p.size.eq(p.axi.size),
            self.ar.p.burst.eq(BURST_INCR),
        ]
        self._next(m, head, pop, free, waits, wait_valid, asked & ~checked)
        with m.If(~wait_valid):
            m.d.comb += self.started.p.order.eq(head)
            m.d.comb += self.started.p.blocks.eq(0)
        with m.If(free):
            m.d.sync += wait_valid.eq(wait_valid & pop)
        with m.Elif(pop):
            m.d.sync += wait_valid.eq(1)
        with m.If(pop & (free | ~wait_valid)):
            m.d.sync += [waits.order.eq(head), waits.blocks.eq(0)]
        with m.Elif(pop):
            m.d.sync += waits.blocks.eq(waits.blocks + 1)
        with m.If(self.ar.valid & self.ar.ready):
            m.d.sync += job.order.count.eq(job.order.count - 1)
            m.d.sync += job.order.address.eq(job.order.address + (1 << job.order.row_shift))
        with m.If(free):
            m.d.sync += valid.eq(self.started.valid)
        with m.If(self.started.valid):
            single = self.started.p.blocks == 0
            m.d.sync += [job.eq(self.started.payload), checked.eq(~(self.poisoned & single))]
            m.d.sync += asked.eq(0)
        self._look_up(m, job.order, valid, checked, asked, head, pop)
        return m

    def _next(self, m, head, pop, free, waits, wait_valid, busy):
        """The next order: one that comes need not queue if nothing is before it.

        ``busy``: a lookup's answer is told by the way on which slots are told to be clean.
        """
        m.submodules.waiting = waiting = Queue(
            QueueParameters(shape=self.i.shape(), depth=self.parameters.blocks)
        )
        direct, queued, last = Signal(), waiting.o.p, Signal.like(head.address)
        low, grows = slice(RUN_BLOCKS_BITS), Signal()
        inside = Signal(RUN_BLOCKS_BITS)
        m.d.comb += [
            head.eq(Mux(waiting.o.valid, waiting.o.payload, self.i)),
            direct.eq((waiting.level == 0) & ~wait_valid & ~busy),
            waiting.i.valid.eq(self.i_valid & ~direct),
            waiting.i.payload.eq(self.i),
            waiting.o.ready.eq((free | ~wait_valid | grows) & ~busy),
            pop.eq((waiting.o.valid & waiting.o.ready) | (self.i_valid & direct)),
            # The block behind the run's last one, in the same row and page.
            inside.eq(queued.address & ((1 << queued.row_shift) - 1)),
            grows.eq(
                inside.any()
                & (queued.address[RUN_BLOCKS_BITS:] == last[RUN_BLOCKS_BITS:])
                & (queued.address[low] == (last[low] + 1)[low])
                & ~self.poisoned
                & (waits.blocks != min(self.parameters.blocks, 1 << RUN_BLOCKS_BITS) - 1)
            ),
        ]
        for name in _COMMON:
            with m.If(queued[name] != waits.order[name]):
                m.d.comb += grows.eq(0)
        with m.If(pop):
            m.d.sync += last.eq(head.address)

    def _look_up(self, m, job, valid, checked, asked, head, pop):
        m.d.comb += [
            self.joined.eq(pop),
            self.joined_slot.eq(head.slot),
            self.lookup.valid.eq(valid & ~checked & ~asked),
            self.lookup.payload.eq(job.address),
            self.lines_enable.eq(pop | (asked & ~checked)),
            self.lines_slot.eq(Mux(pop, head.slot, job.slot)),
            self.lines.eq(Mux(pop, 0, self.lookup_lines)),
        ]
        with m.If(self.lookup.valid & self.lookup.ready):
            m.d.sync += asked.eq(1)
        with m.If(asked & self.lookup_done):
            m.d.sync += checked.eq(1)
