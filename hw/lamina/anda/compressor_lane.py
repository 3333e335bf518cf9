"""Compressor lane: a compressor, and the queues in which its groups wait for those of others."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.compressor import Compressor, CompressorParameters
from lamina.anda.plane_packer import PlanePacker
from lamina.formats.anda import (
    GROUP,
    MANTISSA_BITS_MAX,
    beats_of,
    group_values_layout,
    packed_words_layout,
)
from lamina.parameters import check_choice, check_range, narrowed
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["CompressorLane", "CompressorLaneParameters"]

#: Beats of room beside a whole group: what stalls the compressor is known a cycle late.
_SPARE = 2


@dataclass(frozen=True, kw_only=True)
class CompressorLaneParameters(CompressorParameters):
    """``planes``: words of a beat, 1, 2 or 4. ``queues`` that get groups in turn. And as of
    `CompressorParameters`.
    """

    planes: int
    queues: int

    def __post_init__(self):
        super().__post_init__()
        check_choice("planes", self.planes, (1, 2, 4))
        check_range("queues", self.queues, 1, 64)

    def beats(self, mantissa_bits: int) -> int:
        """Beats of a group."""
        return beats_of(mantissa_bits, self.planes)

    def cycles(self, mantissa_bits: int) -> int:
        """Cycles that a group takes in steady state: in beats of one word, the signs are one."""
        alone = self.compressor.cycles(mantissa_bits)
        return max(alone, mantissa_bits + 1) if self.planes == 1 else alone

    @property
    def compressor(self) -> CompressorParameters:
        """Parameters of the compressor."""
        return narrowed(CompressorParameters, self)

    @property
    def queue(self) -> QueueParameters:
        """Parameters of each queue: the longest group fits, so that none waits for another."""
        depth = self.beats(MANTISSA_BITS_MAX) + _SPARE
        return QueueParameters(shape=packed_words_layout(self.planes), depth=depth)

    @property
    def latency(self) -> int:
        """Cycles from a group accepted to its first beat valid, if planes fill that."""
        return self.compressor.latency + max(self.planes - 2, 0) + self.queue.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one group in M + 1 cycles" if self.planes == 1 else self.compressor.throughput

    @property
    def storage_bits(self) -> int:
        """The compressor, what waits for its beat, the queues, and which of them is next."""
        packer = (self.planes - 1) * GROUP + self.planes.bit_length()
        queues = self.queues * (self.queue.storage_bits + 1)
        return self.compressor.storage_bits + packer + queues + (self.queues > 1) * self.queues


class CompressorLane(wiring.Component):
    """Compress groups, and deal them to queues in turn.

    Members
    -------
    i : In(stream of `group_values_layout`)
    o_0, o_1, ... : Out(stream of `packed_words_layout` (planes)), ``queues`` of them
        Group g leaves by o_(g mod ``queues``).

    Timing: see `CompressorLaneParameters`. Nothing of the outputs reaches the compressor in the
    same cycle.
    """

    def __init__(self, parameters: CompressorLaneParameters):
        self.parameters = p = parameters
        beats = stream.Signature(packed_words_layout(p.planes))
        outputs = {f"o_{number}": Out(beats) for number in range(p.queues)}
        super().__init__({"i": In(stream.Signature(group_values_layout())), **outputs})

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.compressor = compressor = Compressor(p.compressor)
        m.submodules.packer = packer = PlanePacker(p.planes)
        wiring.connect(m, wiring.flipped(self.i), compressor.i)
        wiring.connect(m, compressor.o, packer.i)
        turn, roomy = Signal(p.queues, init=1), Signal(p.queues)
        m.d.comb += packer.room.eq((turn & roomy).any())
        if p.queues > 1:
            with m.If(packer.put & packer.o.last):
                m.d.sync += turn.eq(turn.rotate_left(1))
        for number in range(p.queues):
            m.submodules[f"queue_{number}"] = queue = Queue(p.queue)
            m.d.comb += [
                queue.i.valid.eq(packer.put & turn[number]),
                queue.i.payload.eq(packer.o),
            ]
            # One beat may come while this is found out.
            m.d.sync += roomy[number].eq(queue.level <= p.queue.depth - _SPARE)
            wiring.connect(m, queue.o, wiring.flipped(getattr(self, f"o_{number}")))
        return m
