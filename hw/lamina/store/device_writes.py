"""The device's way of writes: gather lines, write planes, answer."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import address_layout, write_data_layout, write_response_layout
from lamina.formats.cxl import LINE_ADDRESS_BITS
from lamina.formats.views import line_layout, write_layout
from lamina.store.block_lookup import MARK_BITS
from lamina.store.device_front import response_layout
from lamina.store.plane_buffer import PlaneBuffer, PlaneBufferParameters
from lamina.store.poison_table import update_layout
from lamina.store.write_finish import WriteFinish
from lamina.store.write_gather import WriteGather, staged_layout
from lamina.store.write_issue import WriteIssue
from lamina.store.write_queue import WriteQueue
from lamina.stream.buffer import Queue, QueueParameters, SkidBufferParameters, sliced
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["DeviceWrites"]


class DeviceWrites(wiring.Component):
    """Queues, write buffer, and the three steps of a write.

    Parameters: `DeviceParameters`.

    Members
    -------
    i, i_valid : In
        `write_layout`; always taken: every write whose data were taken has its place.
    payload : In(stream)
        Data of the writes, in their order, some time before.
    fetch, fetched
        A line that a partial write needs.
    aw, w, b : AXI4 write channels
    any_poison, update
        Of the poison table.
    stale, stale_mark : Out
    finished, dropped : Out(streams of response_layout)
    load : Out
        How full the queue of writes is, in quarters.
    unmapped, read_only, partial, failed : Out
        Pulses for the counters.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(write_layout(p.beat_bits)),
                "i_valid": In(1),
                "payload": In(stream.Signature(p.payload_layout)),
                "fetch": Out(stream.Signature(LINE_ADDRESS_BITS)),
                "fetched": In(stream.Signature(line_layout())),
                "aw": Out(stream.Signature(address_layout(p.axi))),
                "w": Out(stream.Signature(write_data_layout(p.axi))),
                "b": In(stream.Signature(write_response_layout(p.axi))),
                "any_poison": In(1),
                "update": Out(stream.Signature(update_layout(p.beat_bits))),
                "stale": Out(1),
                "stale_mark": Out(MARK_BITS),
                "finished": Out(stream.Signature(response_layout())),
                "dropped": Out(stream.Signature(response_layout())),
                "load": Out(2),
                "unmapped": Out(1),
                "read_only": Out(1),
                "partial": Out(1),
                "failed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.gather = gather = WriteGather(p)
        m.submodules.issue = issue = WriteIssue(p)
        m.submodules.finish = finish = WriteFinish(p)
        m.submodules.planes = planes = PlaneBuffer(PlaneBufferParameters(slots=p.write_blocks))
        m.submodules.queue = queue = WriteQueue(p)
        m.submodules.expected = expected = Queue(QueueParameters(shape=5, depth=p.write_blocks))
        m.d.comb += [queue.i.eq(self.i), queue.i_valid.eq(self.i_valid)]
        wiring.connect(m, wiring.flipped(self.payload), queue.payload)
        wiring.connect(m, queue.order, gather.i)
        wiring.connect(m, queue.data, gather.payload)
        wiring.connect(m, gather.fetch, wiring.flipped(self.fetch))
        wiring.connect(m, wiring.flipped(self.fetched), gather.fetched)
        answer = SkidBufferParameters(shape=response_layout())
        dropped = sliced(m, "dropped", gather.dropped, answer)
        finished = sliced(m, "finished", finish.o, answer)
        wiring.connect(m, dropped, wiring.flipped(self.dropped))
        wiring.connect(m, finished, wiring.flipped(self.finished))
        wiring.connect(m, issue.expect, expected.i)
        wiring.connect(m, expected.o, finish.expect)
        wiring.connect(m, issue.aw, wiring.flipped(self.aw))
        wiring.connect(m, issue.w, wiring.flipped(self.w))
        wiring.connect(m, wiring.flipped(self.b), finish.b)
        wiring.connect(m, finish.update, wiring.flipped(self.update))
        m.d.comb += [
            planes.write_enable.eq(gather.write_enable),
            planes.write.eq(gather.write),
            planes.write_data.eq(gather.write_data),
            planes.read_enable.eq(issue.read_enable),
            planes.read.eq(issue.read),
            issue.read_data.eq(planes.read_data),
            issue.tail.eq(gather.tail),
            gather.begins.eq(issue.begins),
            gather.begun.eq(issue.begun),
            gather.done.eq(finish.done),
            finish.any_poison.eq(self.any_poison),
            self.stale.eq(finish.stale),
            self.stale_mark.eq(finish.stale_mark),
            self.load.eq(queue.load),
            self.unmapped.eq(gather.unmapped),
            self.read_only.eq(gather.read_only),
            self.partial.eq(gather.partial),
            self.failed.eq(finish.failed),
        ]
        self._remember(m, gather, issue, finish)
        return m

    def _remember(self, m, gather, issue, finish):
        """What is known of each slot, for the two that ask; and whom to answer."""
        p = self.parameters
        layout = staged_layout(p.beat_bits)
        for n, reader in enumerate((issue, finish)):
            m.submodules[f"staged_{n}"] = memory = BlockMemory(
                BlockMemoryParameters(width=layout.size, depth=p.write_blocks)
            )
            m.d.comb += [
                memory.write_enable.eq(gather.staged_enable),
                memory.write_address.eq(gather.staged_slot),
                memory.write_data.eq(gather.staged),
                memory.read_enable.eq(1),
                memory.read_address.eq(reader.staged_slot),
                reader.staged.eq(memory.read_data),
            ]
        m.submodules.tags = tags = BlockMemory(
            BlockMemoryParameters(width=response_layout().size, depth=16 * p.write_blocks)
        )
        m.d.comb += [
            tags.write_enable.eq(gather.tag_enable),
            tags.write_address.eq(gather.tag_place),
            tags.write_data.eq(gather.tag),
            tags.read_enable.eq(finish.tag_read),
            tags.read_address.eq(finish.tag_place),
            finish.tag.eq(tags.read_data),
        ]
