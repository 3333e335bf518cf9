"""Asks the memory for the planes of blocks: of neighbours that wait together, plane by plane."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import BURST_INCR, address_layout
from lamina.compare import equal
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
        The poisoned lines of the block in a slot, told long before a read of it: its first plane
        is still to be fetched.

    Timing: an address a cycle, of blocks of one plane that had to wait and are no neighbours every
    other cycle; the first one is valid as its order comes, if nothing is poisoned and no order is
    before it. Since poison is looked up before data are read, and a
    write clears it after its data are in memory, bad data are never taken for good ones.
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
        job, valid, final = Signal(run), Signal(), Signal()
        checked, asked, busy = Signal(), Signal(), Signal()
        waits, wait_valid = Signal(run), Signal()
        free, bypass, pop, grows = Signal(), Signal(), Signal(), Signal()
        # An address goes out as its order comes; it went, and the next one is to be found.
        early, sent = Signal(), Signal()
        # The run that waits may become longer; the most blocks behind its first one.
        more, most = Signal(), min(p.blocks, 1 << RUN_BLOCKS_BITS) - 1
        # No order waits: found a cycle early, for one that comes is known late.
        quiet, stays = Signal(init=1), Signal()
        queued, follows, behind = self._queue(m, stays, pop)
        m.d.comb += [
            # A lookup's answer is told by the way on which slots are told to be clean.
            busy.eq(asked & ~checked),
            free.eq(~valid | (checked & self.ar.ready & final)),
            bypass.eq(self.i_valid & quiet & free),
            stays.eq(self.i_valid & ~(quiet & free)),
            grows.eq(follows & more),
            # Whether a run starts now is known too late to begin the next one, but not to grow it.
            pop.eq(queued.valid & (~wait_valid | grows) & ~busy),
            queued.ready.eq(pop),
            self.started.valid.eq((free & wait_valid) | bypass),
            self.started.p.order.eq(waits.order),
            self.started.p.blocks.eq(waits.blocks + pop),
            early.eq(self.i_valid & quiet & ~valid & ~self.poisoned),
            self.ar.valid.eq((valid & checked & ~sent) | early),
            self.ar.p.addr.eq(Mux(valid, job.order.address, self.i.address) << _BEAT_SHIFT),
            self.ar.p.len.eq(Mux(valid, job.blocks, 0)),
            self.ar.p.size.eq(p.axi.size),
            self.ar.p.burst.eq(BURST_INCR),
        ]
        with m.If(~wait_valid):
            m.d.comb += [self.started.p.order.eq(self.i), self.started.p.blocks.eq(0)]
        ends = (waits.blocks == most) | (pop & (waits.blocks == most - 1))
        m.d.sync += more.eq(~self.poisoned & ~(wait_valid & ends))
        with m.If(pop):
            m.d.sync += waits.blocks.eq(waits.blocks + 1)
        with m.If(~wait_valid):
            m.d.sync += [wait_valid.eq(pop), waits.order.eq(queued.p.order), waits.blocks.eq(0)]
        with m.Elif(free):
            m.d.sync += wait_valid.eq(0)
        m.d.sync += quiet.eq(~behind & ~stays & ~Mux(wait_valid, ~free, pop))
        m.d.sync += sent.eq(early & self.ar.ready)
        with m.If((self.ar.ready & checked) | sent):  # for nothing, if there is no job
            m.d.sync += [
                job.order.count.eq(job.order.count - 1),
                job.order.address.eq(job.order.address + (1 << job.order.row_shift)),
                final.eq(job.order.count == 2),
            ]
        with m.If(free):
            single = self.started.p.blocks == 0
            m.d.sync += [
                valid.eq(self.started.valid & ~(early & self.ar.ready & (self.i.count == 1))),
                job.eq(self.started.payload),
                final.eq(self.started.p.order.count == 1),
                checked.eq(~(self.poisoned & single)),
                asked.eq(0),
            ]
        self._look_up(m, job.order, valid, checked, asked, busy, bypass | pop)
        m.d.comb += self.joined_slot.eq(Mux(queued.valid, queued.p.order.slot, self.i.slot))
        return m

    def _queue(self, m, stays, pop):
        """Orders that cannot go at once: the oldest, whether it follows the one before, and whether
        there are more in the next cycle than what comes.
        """
        order = self.i.shape()
        m.submodules.waiting = waiting = Queue(
            QueueParameters(
                shape=data.StructLayout({"order": order, "follows": 1}),
                depth=self.parameters.blocks,
            )
        )
        late, late_valid, before, follows = Signal(order), Signal(), Signal(order), Signal()
        # Of the block behind one in the same row and page: its place in the page, which is not 0.
        low, after, inside = slice(RUN_BLOCKS_BITS), Signal(RUN_BLOCKS_BITS), Signal()
        row = (1 << self.i.row_shift) - 1
        m.d.sync += late_valid.eq(stays)
        with m.If(self.i_valid):
            m.d.sync += [
                late.eq(self.i),
                inside.eq((self.i.address & row)[low].any()),
                before.eq(late),
                after.eq(late.address + 1),
            ]
        here, wanted = (
            Cat(place, end.address[RUN_BLOCKS_BITS:], *(end[name] for name in _COMMON))
            for place, end in ((late.address[low], late), (after, before))
        )
        m.d.comb += [
            follows.eq(inside & equal(m, here, wanted)),
            waiting.i.valid.eq(late_valid),
            waiting.i.p.order.eq(late),
            waiting.i.p.follows.eq(follows),
        ]
        behind = late_valid | (waiting.level > 1) | ((waiting.level == 1) & ~pop)
        return waiting.o, waiting.o.p.follows, behind

    def _look_up(self, m, job, valid, checked, asked, busy, joins):
        m.d.comb += [
            self.joined.eq(joins),
            self.lookup.valid.eq(valid & ~checked & ~asked),
            self.lookup.payload.eq(job.address),
        ]
        m.d.sync += [
            self.lines_enable.eq(joins | busy),
            self.lines_slot.eq(Mux(busy, job.slot, self.joined_slot)),
            self.lines.eq(Mux(busy, self.lookup_lines, 0)),
        ]
        with m.If(self.lookup.valid & self.lookup.ready):
            m.d.sync += asked.eq(1)
        with m.If(asked & self.lookup_done):
            m.d.sync += checked.eq(1)
