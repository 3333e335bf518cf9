"""An octet's part of the register file: the operands of two warp operations."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.tensor import (
    A_TILES_MAX,
    B_TILES,
    WORDS,
    Flow,
    a_tile_layout,
    b_tile_layout,
    operation_layout,
    word_scales_layout,
)
from lamina.stream.buffer import Queue, QueueParameters
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["Fragments", "FragmentsParameters"]

#: Operations that there is room for: one is worked on while the next one comes.
OPERATIONS = 2

#: Who is told of an operation.
_READERS = ("a", "b", "issue")


@dataclass(frozen=True, kw_only=True)
class FragmentsParameters:
    """Nothing to choose: the sizes are those of a warp operation."""

    @property
    def memories(self) -> dict[str, BlockMemoryParameters]:
        """Of the tiles of A and B and the scales, each with room for two operations."""
        sizes = {
            "a": (a_tile_layout(), A_TILES_MAX),
            "b": (b_tile_layout(), B_TILES),
            "scales": (word_scales_layout(), WORDS),
        }
        return {
            name: BlockMemoryParameters(width=layout.size, depth=OPERATIONS * count)
            for name, (layout, count) in sizes.items()
        }

    @property
    def operations(self) -> QueueParameters:
        """Of the queues of operations whose operands are all there."""
        return QueueParameters(shape=operation_layout(), depth=OPERATIONS + 1)

    @property
    def latency(self) -> int:
        """Cycles from an operation to its appearance, of the shortest load."""
        return WORDS + 1 + self.operations.latency

    @property
    def throughput(self) -> str:
        """Of each stream of operands."""
        return "a tile of A, a tile of B and the scales of a word per cycle"

    @property
    def storage_bits(self) -> int:
        """Memories, queues, and what is being loaded."""
        parts = [*self.memories.values(), *[self.operations] * len(_READERS)]
        counts = sum(count.bit_length() for count in (A_TILES_MAX, B_TILES, WORDS))
        beside = operation_layout().size + 1 + 1 + OPERATIONS.bit_length()
        return sum(part.storage_bits for part in parts) + counts + beside


class Fragments(wiring.Component):
    """Takes the operands of warp operations and lets them be read.

    Members
    -------
    i : In(stream) of `operation_layout`
        Taken when there is room for its operands, which come next.
    i_a, i_b, i_scales : In(stream)
        Tiles with k ascending, for each k the two of m or n; the scales of the eight words.
    o_a, o_b, o_issue : Out(stream) of `operation_layout`
        Each operation when its operands are all there, for those who read them.
    a_enable, a_address, a_data; b_...; scales_... : Out and In
        Read ports with a latency of one cycle. Tile 2 * k + m (or n), word; above it the number of
        the operation modulo 2.
    release : In
        The oldest operation's operands are no longer needed.
    held : Out
        Operations whose operands are all there.
    """

    def __init__(self, parameters: FragmentsParameters):
        self.parameters = p = parameters
        operation = stream.Signature(operation_layout())
        ports = {}
        for name, memory in p.memories.items():
            ports |= {
                f"{name}_enable": In(1),
                f"{name}_address": In(memory.address_bits),
                f"{name}_data": Out(memory.width),
            }
        super().__init__(
            {
                "i": In(operation),
                "i_a": In(stream.Signature(a_tile_layout())),
                "i_b": In(stream.Signature(b_tile_layout())),
                "i_scales": In(stream.Signature(word_scales_layout())),
                **{f"o_{reader}": Out(operation) for reader in _READERS},
                **ports,
                "release": In(1),
                "held": Out(range(OPERATIONS + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        loading, operation, half = Signal(), Signal(operation_layout()), Signal()
        start, done = Signal(), Signal()
        a_tiles = Mux(
            operation.flow == Flow.PACKED_K, Mux(operation.int2, A_TILES_MAX, A_TILES_MAX // 2), 8
        )
        ended = [
            self._load(m, name, total, start, half)
            for name, total in (("a", a_tiles), ("b", B_TILES), ("scales", WORDS))
        ]
        m.d.comb += [
            self.i.ready.eq(~loading & (self.held != OPERATIONS)),
            start.eq(self.i.valid & self.i.ready),
            done.eq(loading & Cat(ended).all()),
        ]
        with m.If(start):
            m.d.sync += [loading.eq(1), operation.eq(self.i.p)]
        with m.If(done):
            m.d.sync += [loading.eq(0), half.eq(~half)]
        m.d.sync += self.held.eq(self.held + done - self.release)
        for reader in _READERS:
            m.submodules[f"operations_{reader}"] = queue = Queue(self.parameters.operations)
            # There is always room: no more operations are held.
            m.d.comb += [queue.i.valid.eq(done), queue.i.p.eq(operation)]
            wiring.connect(m, queue.o, wiring.flipped(getattr(self, f"o_{reader}")))
        return m

    def _load(self, m, name, total, start, half):
        """Write a stream of operands to its memory; return whether all have come."""
        source = getattr(self, f"i_{name}")
        memory = BlockMemory(self.parameters.memories[name])
        m.submodules[name] = memory
        count = Signal(len(memory.write_address) - 1)  # of one operation
        wanted = Signal()  # the stream's ready: a register, as every row of the memory hears of it
        m.d.comb += [
            source.ready.eq(wanted),
            memory.write_enable.eq(source.valid & source.ready),
            memory.write_address.eq(Cat(count, half)),
            memory.write_data.eq(source.p),
            memory.read_enable.eq(getattr(self, f"{name}_enable")),
            memory.read_address.eq(getattr(self, f"{name}_address")),
            getattr(self, f"{name}_data").eq(memory.read_data),
        ]
        with m.If(start):
            m.d.sync += [count.eq(0), wanted.eq(1)]
        with m.Elif(memory.write_enable):
            m.d.sync += [count.eq(count + 1), wanted.eq(count != total - 1)]
        assert Shape.cast(source.p.shape()).width == memory.parameters.width
        return ~wanted
