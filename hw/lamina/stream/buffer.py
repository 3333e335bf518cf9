"""Register slice and queue: where a stream is cut in time, or decoupled."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.parameters import check_range
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["Queue", "QueueParameters", "SkidBuffer", "SkidBufferParameters", "sliced"]


@dataclass(frozen=True, kw_only=True)
class SkidBufferParameters:
    """``shape`` of a beat.

    ``parts``: pieces of a wide beat, 1 to 64, each with a handshake of its own, all alike. On an
    FPGA the wire from one to all bits is longer than the logic before it.
    """

    shape: ShapeLike = 32
    parts: int = 1

    def __post_init__(self):
        check_range("parts", self.parts, 1, 64)

    @property
    def latency(self) -> int:
        """Cycles from a beat accepted to the beat valid on ``o``."""
        return 1

    @property
    def throughput(self) -> str:
        """Beats a cycle."""
        return "1 beat per cycle"

    @property
    def storage_bits(self) -> int:
        """Two beats; for each part their valid bits, and that it is ready."""
        return 2 * Shape.cast(self.shape).width + 3 * self.parts


class SkidBuffer(wiring.Component):
    """A register slice that cuts both directions of the handshake.

    A stream of ``shape`` flows from ``i`` to ``o``. Latency one cycle, one beat a cycle, no
    combinational path from ``o.ready`` to ``i.ready`` nor from ``i.valid`` to ``o.valid``; holds
    two beats.
    """

    def __init__(self, parameters: SkidBufferParameters):
        self.parameters = p = parameters
        super().__init__({"i": In(stream.Signature(p.shape)), "o": Out(stream.Signature(p.shape))})

    def elaborate(self, platform):
        m = Module()
        spare = Signal.like(self.i.payload)
        beats = [Value.cast(beat) for beat in (self.i.payload, spare, self.o.payload)]
        step = -(-len(beats[0]) // self.parameters.parts)
        for part in range(self.parameters.parts):
            # Ready is a register of its own: the other selects all of the payload, which is slow.
            ready, valid = Signal(init=1), self.o.valid
            if part == 0:
                m.d.comb += self.i.ready.eq(ready)
            else:
                valid = Signal(name=f"valid_{part}")
            self._part(m, ready, valid, *(beat[part * step : (part + 1) * step] for beat in beats))
        return m

    def _part(self, m, ready, valid, incoming, spare, outgoing):
        spare_valid, advance, keep = Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(self.o.ready | ~valid),
            keep.eq(~advance & (spare_valid | self.i.valid)),
        ]
        m.d.sync += [spare_valid.eq(keep), ready.eq(~keep)]
        with m.If(~spare_valid):  # for nothing, if there is no beat or it moves on at once
            m.d.sync += spare.eq(incoming)
        with m.If(advance):
            m.d.sync += [
                valid.eq(self.i.valid | spare_valid),
                outgoing.eq(Mux(spare_valid, spare, incoming)),
            ]


def sliced(m: Module, name: str, source, parameters: SkidBufferParameters | None):
    """Return the stream ``source`` behind a register slice ``name``, or itself without parameters.

    Behind a slice, what stalls the stream has no way to what is before it in the same cycle.
    """
    if parameters is None:
        return source
    m.submodules[name] = slice_ = SkidBuffer(parameters)
    wiring.connect(m, source, slice_.i)
    return slice_.o


@dataclass(frozen=True, kw_only=True)
class QueueParameters:
    """``shape`` of a beat and ``depth`` in beats."""

    shape: ShapeLike = 32
    depth: int = 16

    def __post_init__(self):
        check_range("depth", self.depth, 1, 1 << 16)

    @property
    def memory(self) -> BlockMemoryParameters:
        """Of the memory in which the beats wait."""
        # What is read as it is written waits for nobody: it is read again.
        width = Shape.cast(self.shape).width
        return BlockMemoryParameters(width=width, depth=max(self.depth, 2), apart=True)

    @property
    def latency(self) -> int:
        """Cycles from a beat accepted to the beat valid on ``o``, in an empty queue."""
        return 2

    @property
    def throughput(self) -> str:
        """Beats a cycle; a place is free again the cycle after its beat left."""
        return "1 beat per cycle" if self.depth > 2 else f"{self.depth} beats per 3 cycles"

    @property
    def storage_bits(self) -> int:
        """The memory, two pointers, the level and the valid bit."""
        memory = self.memory
        return memory.storage_bits + 2 * memory.address_bits + self.depth.bit_length() + 1


class Queue(wiring.Component):
    """First in, first out: up to ``depth`` beats wait between ``i`` and ``o``.

    Members: ``i``, ``o`` streams of ``shape``; ``level`` counts the beats held, the one on ``o``
    included. Latency two cycles; one beat a cycle from a depth of three on, because a beat holds
    its place for the two cycles of its way and for the one in which it leaves.
    """

    def __init__(self, parameters: QueueParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.shape)),
                "o": Out(stream.Signature(p.shape)),
                "level": Out(range(p.depth + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        memory = self.parameters.memory
        m.submodules.rows = rows = BlockMemory(memory)
        enter, leave = self.i.valid & self.i.ready, self.o.valid & self.o.ready
        advance, waiting = Signal(), Signal()
        depth = self.parameters.depth
        full = self.level[-1] if depth & (depth - 1) == 0 else self.level == depth
        m.d.comb += [
            self.i.ready.eq(~full),
            advance.eq(self.o.ready | ~self.o.valid),
            waiting.eq(self.level != self.o.valid),
            rows.write_enable.eq(enter),
            rows.write_data.eq(self.i.payload),
            # For nothing, if none waits.
            rows.read_enable.eq(advance),
            self.o.payload.eq(rows.read_data),
        ]
        with m.If(enter ^ leave):
            m.d.sync += self.level.eq(Mux(enter, self.level + 1, self.level - 1))
        with m.If(advance):
            m.d.sync += self.o.valid.eq(waiting)
        for enable, address in (
            (rows.write_enable, rows.write_address),
            (advance & waiting, rows.read_address),
        ):
            pointer = Signal(memory.address_bits)
            m.d.comb += address.eq(pointer)
            with m.If(enable):
                m.d.sync += pointer.eq(Mux(pointer == memory.depth - 1, 0, pointer + 1))
        return m
