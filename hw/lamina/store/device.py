"""The store as a CXL.mem device: the address of a read picks its precision."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import (
    Axi4Parameters,
    connect_read_pins,
    connect_write_pins,
    read_pins,
    write_pins,
)
from lamina.bus.axi4_lite import add_registers, lite_pins
from lamina.formats.cxl import (
    LINE_ADDRESS_BITS,
    m2s_req_layout,
    m2s_rwd_layout,
    s2m_drs_layout,
    s2m_ndr_layout,
)
from lamina.formats.planes import BEAT_BYTES
from lamina.formats.views import (
    BLOCK_ROWS,
    GRANULE_LINES_BITS,
    VIEW_INDEX_BITS,
    fetch_layout,
    line_layout,
    read_layout,
    run_layout,
    view_layout,
    write_layout,
)
from lamina.parameters import check_power_of_two, check_range
from lamina.store.block_lookup import MARK_BITS
from lamina.store.device_answers import LINES_BOOKED, DeviceAnswers
from lamina.store.device_front import DeviceFront, decoder_members
from lamina.store.device_reads import DeviceReads
from lamina.store.device_registers import DeviceRegisters
from lamina.store.device_writes import DeviceWrites
from lamina.store.poison_table import PoisonTable
from lamina.store.read_plan import PACKED_TABLE_ROWS, packed_layout
from lamina.store.read_queue import READS_AHEAD
from lamina.store.register_map import ADDRESS_BITS, COUNTERS
from lamina.store.view_lookup import ViewLookup
from lamina.store.view_table import ENTRY_WORDS, ViewTable
from lamina.stream.buffer import Queue, QueueParameters, SkidBufferParameters, sliced

__all__ = ["Device", "DeviceParameters"]

#: Flip-flops of the stages, which hardly depend on the parameters.
_PIPELINE_BITS = 19_000


@dataclass(frozen=True, kw_only=True)
class DeviceParameters:
    """``address_bits`` of the memory, ``device_bits`` of the space in which the views lie.

    ``views``, ``decoders``, ``poison_entries``: of the tables. ``blocks`` in the read buffer,
    ``reads`` that wait for it; ``streams`` of reads that are followed to fetch ahead of them;
    ``write_blocks`` in the write buffer, ``writes`` before it.
    """

    address_bits: int = 40
    device_bits: int = 44
    views: int = 16
    decoders: int = 2
    poison_entries: int = 64
    blocks: int = 64
    reads: int = 128
    streams: int = 4
    write_blocks: int = 8
    writes: int = 32

    def __post_init__(self):
        check_range("address_bits", self.address_bits, 24, 52)
        check_range("device_bits", self.device_bits, 30, 52)
        check_power_of_two("views", self.views, 2, 64)
        check_power_of_two("decoders", self.decoders, 1, 4)
        check_power_of_two("poison_entries", self.poison_entries, 2, 128)
        check_power_of_two("blocks", self.blocks, 8, 128)
        check_power_of_two("reads", self.reads, 8, 512)
        check_range("streams", self.streams, 1, 16)
        check_power_of_two("write_blocks", self.write_blocks, 2, 16)
        check_power_of_two("writes", self.writes, 4, 256)

    @property
    def axi(self) -> Axi4Parameters:
        """Of the port to memory."""
        return Axi4Parameters(address_bits=self.address_bits, data_bits=8 * BEAT_BYTES, id_bits=1)

    @property
    def beat_bits(self) -> int:
        """Bits of an address in memory, in beats."""
        return self.address_bits - BEAT_BYTES.bit_length() + 1

    @property
    def device_line_bits(self) -> int:
        """Bits of an address of the device, in lines."""
        return self.device_bits - 6

    @property
    def granule_bits(self) -> int:
        """The same in the grain of windows."""
        return self.device_line_bits - GRANULE_LINES_BITS

    @property
    def slot_bits(self) -> int:
        """Bits of a slot of the read buffer."""
        return self.blocks.bit_length() - 1

    @property
    def write_slot_bits(self) -> int:
        """Bits of a slot of the write buffer."""
        return self.write_blocks.bit_length() - 1

    @property
    def sequence_bits(self) -> int:
        """Bits of a count of beats: as many as are under way, and a sign."""
        return (BLOCK_ROWS * self.blocks).bit_length() + 1

    @property
    def view(self) -> data.StructLayout:
        """A view as the device uses it."""
        return view_layout(self.beat_bits)

    @property
    def payload_layout(self) -> data.StructLayout:
        """Data of a write."""
        return data.StructLayout({"data": unsigned(8 * BEAT_BYTES), "byte_enable": unsigned(64)})

    @property
    def latency(self) -> int:
        """Cycles from a read of a plane accepted to its line, without those of the memory.

        The memory's are those from an address accepted to its beat: four or more, or as many more
        are needed here.
        """
        return 12

    @property
    def throughput(self) -> str:
        """Lines of `planes` and full-width views."""
        return "1 line per cycle"

    @property
    def storage_bits(self) -> int:
        """Both buffers, queues and tables; the registers between them as counted once."""
        slot, beat, view = self.slot_bits, self.beat_bits, self.view.size
        buffers = (self.blocks + self.write_blocks) * BLOCK_ROWS * 8 * BEAT_BYTES
        queues = (self.reads + READS_AHEAD) * read_layout(slot).size
        queues += self.writes * (write_layout(beat).size + self.payload_layout.size)
        queues += sum(LINES_BOOKED) * line_layout().size
        queues += self.blocks * (fetch_layout(slot, beat).size + run_layout(slot, beat).size)
        tables = self.views * (view + 32 * ENTRY_WORDS + 3 * self.granule_bits + 2)
        tables += self.blocks * (VIEW_INDEX_BITS + 32 + MARK_BITS + self.sequence_bits + 65 + slot)
        tables += self.streams * (VIEW_INDEX_BITS + 2 * 32 + LINE_ADDRESS_BITS + 17)
        tables += PACKED_TABLE_ROWS * packed_layout().size
        tables += self.poison_entries * (beat + BLOCK_ROWS)
        tables += self.write_blocks * (BLOCK_ROWS * 22 + 2 * beat + 20)
        return buffers + queues + tables + _PIPELINE_BITS


class Device(wiring.Component):
    """A CXL.mem device behind the link layer that stores weights as bit-planes.

    Members
    -------
    i_req, i_rwd : In(streams of m2s_req_layout, m2s_rwd_layout)
    o_drs, o_ndr : Out(streams of s2m_drs_layout, s2m_ndr_layout)
        A DRS for every read, a Cmp for every write and invalidation; tag and LD-ID reflected.
    s_axil_* : AXI4-Lite slave
        Registers: `register_map`.
    m_axi_* : AXI4 master, 512 bits, one ID
    link_violations : In
        What the link in front of the device dropped or could not count: a register shows it.

    Numerics: as the golden model's `store.read` and `store.write`; a plane that a view does not
    read counts as zero.

    Order: a read that is taken after the Cmp of a write has left sees the write, through every
    view. No read waits for a write.

    Source: SmartQuant's logical spaces; CXL.mem of an HDM-H device.
    """

    def __init__(self, parameters: DeviceParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i_req": In(stream.Signature(m2s_req_layout())),
                "i_rwd": In(stream.Signature(m2s_rwd_layout())),
                "o_drs": Out(stream.Signature(s2m_drs_layout())),
                "o_ndr": Out(stream.Signature(s2m_ndr_layout())),
                "link_violations": In(16),
                **lite_pins("s_axil", ADDRESS_BITS),
                **read_pins("m_axi", p.axi),
                **write_pins("m_axi", p.axi),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.front = front = DeviceFront(p)
        m.submodules.views = views = ViewTable(p)
        m.submodules.lookup = lookup = ViewLookup(p)
        m.submodules.reads = reads = DeviceReads(p)
        m.submodules.writes = writes = DeviceWrites(p)
        m.submodules.poison = poison = PoisonTable(p)
        m.submodules.answers = answers = DeviceAnswers(p)
        m.submodules.invalidated = invalidated = Queue(
            QueueParameters(shape=front.invalidated.payload.shape(), depth=16)
        )
        wiring.connect(m, wiring.flipped(self.i_req), front.req)
        wiring.connect(m, wiring.flipped(self.i_rwd), front.rwd)
        wiring.connect(m, lookup.o, reads.i)
        # Whether there is room is a register of the slice: the front asks late.
        slice_ = SkidBufferParameters(shape=front.invalidated.payload.shape())
        wiring.connect(m, sliced(m, "answered", front.invalidated, slice_), invalidated.i)
        wiring.connect(m, invalidated.o, answers.invalidated)
        wiring.connect(m, front.data, writes.payload)
        wiring.connect(m, writes.fetch, front.internal)
        wiring.connect(m, answers.internal, writes.fetched)
        wiring.connect(m, reads.line, answers.line)
        wiring.connect(m, reads.formed, answers.formed)
        wiring.connect(m, writes.finished, answers.finished)
        wiring.connect(m, writes.dropped, answers.dropped)
        wiring.connect(m, reads.lookup, poison.lookup)
        wiring.connect(m, writes.update, poison.update)
        wiring.connect(m, answers.drs, wiring.flipped(self.o_drs))
        wiring.connect(m, answers.ndr, wiring.flipped(self.o_ndr))
        connect_read_pins(m, self, "m_axi", reads.ar, reads.r)
        connect_write_pins(m, self, "m_axi", writes.aw, writes.w, writes.b)
        m.d.comb += [
            lookup.i.eq(front.o),
            lookup.i_line.eq(front.o_line),
            lookup.i_mapped.eq(front.o_mapped),
            lookup.i_valid.eq(front.o_valid),
            lookup.valid.eq(views.valid),
            lookup.first.eq(views.first),
            lookup.limit.eq(views.limit),
            lookup.view.eq(views.view),
            views.index.eq(lookup.index),
            views.enable.eq(lookup.advance),
            front.advance.eq(lookup.advance),
            front.goes.eq(lookup.goes),
            front.ask.eq(reads.ask),
            front.ask_line.eq(reads.ask_line),
            reads.asked.eq(front.asked),
            reads.stale.eq(writes.stale),
            reads.stale_mark.eq(writes.stale_mark),
            reads.poisoned.eq(poison.poisoned),
            reads.lookup_done.eq(poison.lookup_done),
            reads.lookup_lines.eq(poison.lookup_lines),
            writes.i.eq(reads.write),
            writes.i_valid.eq(reads.write_valid),
            writes.any_poison.eq(poison.poisoned),
            answers.line_booked.eq(reads.line_booked),
            answers.formed_booked.eq(reads.formed_booked),
            reads.line_room.eq(answers.line_room),
            reads.formed_room.eq(answers.formed_room),
            answers.load.eq(Mux(reads.load > writes.load, reads.load, writes.load)),
        ]
        self._registers(m, front, views, reads, writes, poison, answers)
        return m

    def _registers(self, m, front, views, reads, writes, poison, answers):
        registers = DeviceRegisters(self.parameters)
        add_registers(m, self, registers)
        events = {
            "reads": front.read,
            "writes": front.write,
            "invalidates": front.invalidate,
            "malformed": front.malformed,
            "unmapped_reads": reads.unmapped,
            "unmapped_writes": writes.unmapped,
            "read_only_writes": writes.read_only,
            "partial_writes": writes.partial,
            "poisoned_reads": answers.poisoned,
            "joined_reads": reads.hit,
            "isolated_blocks": reads.isolated,
            "unread_blocks": reads.unread,
            "prefetched_blocks": reads.prefetched,
            "fetched_blocks": reads.fetched,
            "read_beats": reads.r.valid & reads.r.ready,
            "written_beats": writes.w.valid & writes.w.ready,
            "read_errors": reads.failed,
            "write_errors": writes.failed,
        }
        m.d.sync += registers.events.eq(Cat(events[name] for name in COUNTERS))
        m.d.comb += [
            views.entry.eq(registers.entry),
            views.word.eq(registers.word),
            views.write_enable.eq(registers.entry_write),
            views.write_data.eq(registers.write_data),
            views.commit.eq(registers.commit),
            registers.entry_data.eq(views.read_data),
            registers.busy.eq(views.busy | registers.commit),
            reads.flush.eq(registers.flush),
            reads.prefetch_depth.eq(registers.prefetch),
            registers.poison_count.eq(poison.count),
            registers.link_violations.eq(self.link_violations),
        ]
        for name in decoder_members(self.parameters.decoders, In):
            m.d.comb += getattr(front, name).eq(getattr(registers, name))
        for name in ("overflow", "low", "high", "accessed", "access_done"):
            m.d.comb += getattr(registers, name).eq(getattr(poison, name))
        for name in ("access", "access_clear", "access_index", "overflow_clear"):
            m.d.comb += getattr(poison, name).eq(getattr(registers, name))
