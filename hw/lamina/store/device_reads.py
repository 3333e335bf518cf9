"""The device's way of reads: look the block up, fetch it, keep it, make lines of it."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import address_layout, read_data_layout
from lamina.formats.cxl import LINE_ADDRESS_BITS
from lamina.formats.views import (
    BLOCK_ROWS,
    ViewKind,
    line_layout,
    place_layout,
    write_layout,
)
from lamina.select import one_hot
from lamina.store.block_fetch import BlockFetch
from lamina.store.block_fill import BlockFill
from lamina.store.block_locator import BlockLocator
from lamina.store.block_lookup import MARK_BITS, BlockLookup
from lamina.store.block_reader import BlockReader
from lamina.store.line_former import LineFormer
from lamina.store.pair_buffer import PairBuffer, PairBufferParameters
from lamina.store.prefetch import DEPTH_BITS, Prefetch
from lamina.store.read_planner import ReadPlanner
from lamina.store.read_queue import ReadQueue
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["DeviceReads"]


class DeviceReads(wiring.Component):
    """Blocks in a buffer, and the reads that wait for them; writes only get their address here.

    Parameters: `DeviceParameters`.

    Members
    -------
    i : In(stream of place_layout)
    write, write_valid : Out
        Writes with their addresses; taken always.
    line, formed : Out(streams of line_layout)
    line_booked, formed_booked, line_room, formed_room
        As in `BlockReader`.
    prefetch_depth, ask, ask_line, asked
        As in `Prefetch`.
    ar, r : AXI4 read channels
    stale, stale_mark, flush
        As in `BlockLookup`, two cycles before, ``flush`` one.
    poisoned, lookup, lookup_done, lookup_lines
        As in `BlockFetch`.
    load : Out
        How full the queue of waiting reads is, in quarters.
    unmapped, hit, isolated, unread, prefetched, fetched, failed : Out
        Pulses for the counters.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        line = stream.Signature(line_layout())
        super().__init__(
            {
                "i": In(stream.Signature(place_layout(p.view))),
                "write": Out(write_layout(p.beat_bits)),
                "write_valid": Out(1),
                "line": Out(line),
                "line_booked": Out(1),
                "line_room": In(1),
                "formed": Out(line),
                "formed_booked": Out(1),
                "formed_room": In(1),
                "ask": Out(1),
                "ask_line": Out(LINE_ADDRESS_BITS),
                "asked": In(1),
                "prefetch_depth": In(DEPTH_BITS),
                "ar": Out(stream.Signature(address_layout(p.axi))),
                "r": In(stream.Signature(read_data_layout(p.axi))),
                "stale": In(1),
                "stale_mark": In(MARK_BITS),
                "flush": In(1),
                "poisoned": In(1),
                "lookup": Out(stream.Signature(p.beat_bits)),
                "lookup_done": In(1),
                "lookup_lines": In(BLOCK_ROWS),
                "load": Out(2),
                "unmapped": Out(1),
                "hit": Out(1),
                "isolated": Out(1),
                "unread": Out(1),
                "prefetched": Out(1),
                "fetched": Out(1),
                "failed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.lookup = lookup = BlockLookup(p)
        m.submodules.locator = locator = BlockLocator(p)
        m.submodules.fetch = fetch = BlockFetch(p)
        m.submodules.fill = fill = BlockFill(p)
        m.submodules.planner = planner = ReadPlanner(p)
        m.submodules.reader = reader = BlockReader(p)
        m.submodules.former = former = LineFormer()
        m.submodules.planes = planes = PairBuffer(PairBufferParameters(slots=p.blocks))
        m.submodules.waiting = waiting = ReadQueue(p)
        wiring.connect(m, wiring.flipped(self.i), lookup.i)
        wiring.connect(m, lookup.read, waiting.i)
        wiring.connect(m, waiting.o, planner.i)
        wiring.connect(m, planner.o, reader.i)
        wiring.connect(m, fetch.started, fill.i)
        m.d.comb += [fill.joined.eq(fetch.joined), fill.joined_slot.eq(fetch.joined_slot)]
        wiring.connect(m, reader.piece, former.i)
        wiring.connect(m, reader.line, wiring.flipped(self.line))
        wiring.connect(m, former.o, wiring.flipped(self.formed))
        wiring.connect(m, fetch.ar, wiring.flipped(self.ar))
        wiring.connect(m, wiring.flipped(self.r), fill.r)
        wiring.connect(m, fetch.lookup, wiring.flipped(self.lookup))
        # Two cycles later, where the slots are: a bit for each.
        came, fails, flush = Signal(p.blocks), Signal(p.blocks), Signal()
        at = one_hot(m, "at", fill.write.slot)
        m.d.sync += [
            flush.eq(self.flush),
            came.eq(Mux(fill.filled, at, 0)),
            fails.eq(Mux(fill.failed, at, 0)),
        ]
        m.d.comb += [
            locator.i.eq(self.i.p),
            locator.advance.eq(lookup.advance),
            lookup.room.eq(waiting.level < p.reads - 1),
            lookup.release.eq(reader.release),
            lookup.release_slot.eq(reader.release_slot),
            lookup.flush.eq(flush),
            lookup.filled.eq(came),
            planner.filling.eq(lookup.filling),
            planner.filled.eq(fill.filled),
            planner.fills_slot.eq(fill.write.slot),
            reader.i_there.eq(planner.there),
            reader.filled.eq(fill.filled),
            reader.filled_slot.eq(fill.errors_slot),
            reader.alone.eq(fill.alone),
            lookup.drop.eq(fails),
            fetch.poisoned.eq(self.poisoned),
            fetch.lookup_done.eq(self.lookup_done),
            fetch.lookup_lines.eq(self.lookup_lines),
            planes.write_enable.eq(fill.write_enable),
            planes.write.eq(fill.write),
            planes.write_turn.eq(fill.write_turn),
            planes.write_data.eq(fill.write_data),
            planes.read_enable.eq(reader.read_enable),
            planes.read.eq(reader.read),
            planes.read_rows.eq(reader.read_rows),
            planes.read_carry.eq(reader.read_carry),
            reader.read_data.eq(planes.read_data),
            reader.read_more.eq(planes.read_more),
            reader.line_room.eq(self.line_room),
            reader.piece_room.eq(self.formed_room),
            self.line_booked.eq(reader.line_booked),
            self.formed_booked.eq(reader.piece_booked),
            reader.arrived.eq(fill.arrived),
            self.hit.eq(lookup.hit),
            self.isolated.eq(lookup.isolated),
            self.unread.eq(lookup.unread),
            self.prefetched.eq(lookup.prefetched),
            self.fetched.eq(lookup.o_fetch),
            self.failed.eq(fill.failed),
            self.unmapped.eq(
                lookup.o_valid
                & ~lookup.o.message.write
                & ~lookup.o.message.prefetch
                & ~lookup.o_inside
            ),
            self.load.eq(waiting.level[-3:-1] | waiting.level[-1].replicate(2)),
        ]
        self._prefetch(m, lookup)
        self._dispatch(m, lookup, locator, fetch)
        self._mark(m, lookup, locator)
        self._remember(m, lookup, fetch, fill, planner, reader)
        return m

    def _prefetch(self, m, lookup):
        """Follow what the host reads."""
        m.submodules.prefetch = prefetch = Prefetch(self.parameters)
        message = lookup.o.message
        m.d.comb += [
            self.ask.eq(prefetch.ask),
            self.ask_line.eq(prefetch.line),
            prefetch.asked.eq(self.asked),
            prefetch.i.eq(lookup.o),
            prefetch.i_valid.eq(
                lookup.o_valid
                & lookup.o_inside
                & ~(message.write | message.internal | message.prefetch)
            ),
            prefetch.depth.eq(self.prefetch_depth),
            prefetch.room.eq(lookup.spare),
            prefetch.done.eq(lookup.prefetch_done),
            prefetch.flush.eq(self.flush),
            lookup.void.eq(prefetch.void),
        ]

    def _dispatch(self, m, lookup, locator, fetch):
        """When a block's address is known: order its planes, or hand the write on."""
        place, write = lookup.o, self.write
        view = place.view
        m.d.comb += [
            self.write_valid.eq(lookup.o_valid & place.message.write),
            fetch.i_valid.eq(lookup.o_fetch),
            fetch.i.slot.eq(lookup.o_slot),
            fetch.i.address.eq(locator.address),
            fetch.i.row_shift.eq(view.row_shift),
            fetch.i.count.eq(view.read),
            fetch.i.top.eq(view.width - 1),
            fetch.i.group.eq(view.group),
            write.message.eq(place.message),
            write.unmapped.eq(~lookup.o_inside),
            write.drop.eq(~lookup.o_inside | (view.kind != ViewKind.FULL)),
            write.index.eq(place.index),
            write.block.eq(place.block),
            write.line.eq(place.line),
            write.planes.eq(view.planes),
            write.wide.eq(view.wide),
            write.row_shift.eq(view.row_shift),
            write.address.eq(locator.address),
        ]

    def _mark(self, m, lookup, locator):
        """Tell the slots what is fetched, and what is out of date: both late by as much, since
        wires to all slots are long.
        """
        stale, stale_mark = Signal(), Signal(MARK_BITS)
        m.d.sync += [
            lookup.mark.eq(locator.address),
            stale.eq(self.stale),
            stale_mark.eq(self.stale_mark),
            lookup.stale.eq(stale),
            lookup.stale_mark.eq(stale_mark),
        ]

    def _remember(self, m, lookup, fetch, fill, planner, reader):
        """What is known of each slot beside its planes."""
        p = self.parameters
        ordered, orders = Signal(p.sequence_bits), Signal()
        slot, count = Signal.like(lookup.ordered_slot), Signal.like(lookup.ordered_count)
        m.d.sync += [
            orders.eq(lookup.ordered),
            slot.eq(lookup.ordered_slot),
            count.eq(lookup.ordered_count),
        ]
        memories = {
            "starts": (p.sequence_bits, orders, slot, ordered),
            "errors": (BLOCK_ROWS, fill.errors_enable, fill.errors_slot, fill.errors),
            "lines": (BLOCK_ROWS, fetch.lines_enable, fetch.lines_slot, fetch.lines),
        }
        built = {}
        for name, (width, enable, place, value) in memories.items():
            m.submodules[name] = memory = built[name] = BlockMemory(
                BlockMemoryParameters(width=width, depth=p.blocks)
            )
            m.d.comb += [
                memory.write_enable.eq(enable),
                memory.write_address.eq(place),
                memory.write_data.eq(value),
                memory.read_enable.eq(reader.read_enable),
                memory.read_address.eq(reader.read.slot),
            ]
        starts = built["starts"]
        m.d.comb += [
            starts.read_enable.eq(planner.start_enable),
            starts.read_address.eq(planner.start_slot),
            planner.start.eq(starts.read_data),
            reader.errors.eq(built["errors"].read_data),
            reader.poisoned.eq(built["lines"].read_data),
        ]
        with m.If(orders):
            m.d.sync += ordered.eq(ordered + count)
