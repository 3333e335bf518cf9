"""Reads k of the N bit-planes of runs of blocks from memory, over AXI4."""

from dataclasses import dataclass

from amaranth.hdl import Module, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.bus.axi4 import PAGE_BYTES, Axi4Parameters, connect_read_pins, read_pins
from lamina.formats.planes import BEAT_BYTES, BLOCK_CODES, plane_beat_layout, run_layout
from lamina.parameters import check_power_of_two, check_range
from lamina.store.fetch_issue import FetchIssue
from lamina.store.fetch_reorder import FetchReorder
from lamina.stream.buffer import Queue, QueueParameters, SkidBuffer, SkidBufferParameters
from lamina.stream.memory import BlockMemoryParameters

__all__ = ["Fetcher", "FetcherParameters"]

#: Chunks under way. Only runs of a few blocks have chunks so small that this could bind.
_CHUNKS = 32

#: Parts of the register slice from which beats leave: whether one does is known late.
_PARTS = 4


@dataclass(frozen=True, kw_only=True)
class FetcherParameters:
    """``address_bits`` of the memory; ``buffer_beats`` in the ring, which is all that is in flight;
    ``blocks_per_row``: R of the store's layout; ``planes_max``: largest N of a run.
    """

    address_bits: int = 48
    buffer_beats: int = 512
    blocks_per_row: int = 128
    planes_max: int = 16

    def __post_init__(self):
        check_range("planes_max", self.planes_max, 1, 16)
        check_power_of_two("blocks_per_row", self.blocks_per_row, 1, 1 << 16)
        check_power_of_two("buffer_beats", self.buffer_beats, 16, 1 << 16)
        if self.buffer_beats < 4 * self.planes_max:
            raise ValueError(
                f"buffer_beats must be at least 4 * planes_max = {4 * self.planes_max}, "
                f"not {self.buffer_beats}."
            )
        check_range("address_bits", self.address_bits, max(self.row_shift + 1, 12), 64)

    @property
    def axi(self) -> Axi4Parameters:
        """Of the read port."""
        return Axi4Parameters(address_bits=self.address_bits, data_bits=8 * BEAT_BYTES, id_bits=1)

    @property
    def column_bits(self) -> int:
        """Bits of a block's place in its row."""
        return self.blocks_per_row.bit_length() - 1

    @property
    def row_shift(self) -> int:
        """log2 of the bytes of a row; bases are multiples of it."""
        return self.column_bits + BEAT_BYTES.bit_length() - 1

    @property
    def unit_bits(self) -> int:
        """Bits of an address in rows."""
        return self.address_bits - self.row_shift

    @property
    def pointer_bits(self) -> int:
        """Bits of a ring pointer: one more than an index, to tell a full ring from an empty one."""
        return self.buffer_beats.bit_length()

    @property
    def ring(self) -> BlockMemoryParameters:
        """Of the ring: a beat and its error bit in each row."""
        # A beat is read when it has come, or for a run that is refused, whose bits mean nothing.
        return BlockMemoryParameters(width=BLOCK_CODES + 1, depth=self.buffer_beats, apart=True)

    @property
    def chunk_layout(self) -> data.StructLayout:
        """A chunk of ``count`` blocks, ``keep`` of ``planes`` each; ``end``: its run's last one.

        ``bad``: stands for a whole run that cannot be fetched; the rest means nothing then.
        """
        return data.StructLayout(
            {
                "count": unsigned(self.chunk_blocks(1).bit_length()),
                "keep": unsigned(self.planes_max.bit_length()),
                "planes": unsigned(self.planes_max.bit_length()),
                "end": unsigned(1),
                "bad": unsigned(1),
            }
        )

    @property
    def marked_layout(self) -> data.StructLayout:
        """A chunk, and whether a block has a ``single`` plane, and its first block is ``alone``."""
        marks = {"single": unsigned(1), "alone": unsigned(1)}
        return data.StructLayout(self.chunk_layout.members | marks)

    @property
    def beat_layout(self) -> data.StructLayout:
        """A ``beat`` that leaves, and the ``planes`` that its blocks store."""
        planes = unsigned(self.planes_max.bit_length())
        return data.StructLayout({"beat": plane_beat_layout(), "planes": planes})

    @property
    def out(self) -> SkidBufferParameters:
        """Of the register slice from which beats leave."""
        return SkidBufferParameters(shape=self.beat_layout, parts=_PARTS)

    def chunk_blocks(self, keep: int) -> int:
        """Blocks of a chunk, L: ``keep`` planes of them are at most a quarter of the ring.

        One quarter drains while three are in flight or being filled, so that a memory as slow as
        half the ring's beats is hidden.
        """
        most = min(PAGE_BYTES // BEAT_BYTES, self.blocks_per_row, self.buffer_beats // 4 // keep)
        return 1 << (most.bit_length() - 1)

    @property
    def latency(self) -> int:
        """Cycles from a run accepted to its first beat, with a memory that answers at once.

        Add the cycles from AR accepted to the first R beat.
        """
        return 8

    @property
    def throughput(self) -> str:
        """Beats a cycle."""
        return "1 beat per cycle"

    @property
    def storage_bits(self) -> int:
        """Ring, chunk queue, and beats that leave; a few hundred flip-flops stand around them."""
        queue = QueueParameters(shape=self.chunk_layout, depth=_CHUNKS)
        leaving = self.beat_layout.size + self.out.storage_bits
        return self.ring.storage_bits + queue.storage_bits + leaving


class Fetcher(wiring.Component):
    """Reads k of the N bit-planes of runs of blocks from memory, over AXI4.

    Only the k most significant planes of a block are read, k * 64 bytes. In memory, plane p of
    block b is the 64 bytes at base + ((b div R) * N + p) * R * 64 + (b mod R) * 64.

    Members
    -------
    i : In(stream of run_layout)
        ``base`` is a multiple of R * 64. A run that has no blocks, keeps no plane or more than it
        stores, stores more than ``planes_max``, or whose base is not such a multiple is answered
        by one beat with ``error``, ``last`` and ``end``, in its turn, and nothing is read.
    o : Out(stream of plane_beat_layout)
        Runs in order, in them block by block, in them plane by plane, plane 0 first. ``error``
        marks exactly the beats that the memory answered with an error; their bits mean nothing.
    planes : Out
        N of the run of the beat on ``o``.
    m_axi_ar*, m_axi_r* : AXI4 read master, 512 bits
        INCR bursts of whole beats under one ID; none crosses 4 KiB, or its row.

    Timing
    ------
    One beat a cycle, also from run to run, over memories that answer within ``buffer_beats`` / 2
    cycles; a run of few blocks costs at least ``keep`` + 2 cycles. ``m_axi_rready`` is always up.
    Memory and fetcher are reset together, as AXI has it: bursts under way are forgotten.

    Source: the layout that lets bytes and row activations fall with k (SmartQuant, bit-plane
    in-memory placement).
    """

    def __init__(self, parameters: FetcherParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(run_layout(p.address_bits, p.planes_max))),
                "o": Out(stream.Signature(plane_beat_layout())),
                "planes": Out(p.beat_layout["planes"].shape),
                **read_pins("m_axi", p.axi),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.issue = issue = FetchIssue(p)
        m.submodules.chunks = chunks = Queue(QueueParameters(shape=p.chunk_layout, depth=_CHUNKS))
        m.submodules.reorder = reorder = FetchReorder(p)
        wiring.connect(m, wiring.flipped(self.i), issue.i)
        # So that what ends a chunk has no way to the queue in the same cycle.
        m.submodules.next = next_ = SkidBuffer(SkidBufferParameters(shape=p.marked_layout))
        wiring.connect(m, issue.chunk, chunks.i)
        chunk = chunks.o
        m.d.comb += [
            Value.cast(next_.i.p)[: p.chunk_layout.size].eq(chunk.p),
            next_.i.p.single.eq(chunk.p.keep == 1),
            next_.i.p.alone.eq(chunk.p.count == 1),
            next_.i.valid.eq(chunk.valid),
            chunk.ready.eq(next_.i.ready),
        ]
        wiring.connect(m, next_.o, reorder.chunk)
        m.d.comb += [
            self.o.p.eq(reorder.o.p.beat),
            self.planes.eq(reorder.o.p.planes),
            self.o.valid.eq(reorder.o.valid),
            reorder.o.ready.eq(self.o.ready),
            issue.tail.eq(reorder.tail),
        ]
        connect_read_pins(m, self, "m_axi", issue.ar, reorder.r)
        return m
