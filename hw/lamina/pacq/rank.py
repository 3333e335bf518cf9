"""One rank of registers in a stream; on FPGAs it also cuts the way back."""

from dataclasses import dataclass

from amaranth.hdl import Module, Shape, ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.stream.buffer import SkidBuffer, SkidBufferParameters

__all__ = ["Rank", "RankParameters"]


@dataclass(frozen=True, kw_only=True)
class RankParameters:
    """``shape`` of a beat; ``cut``: ``i.ready`` comes from a register, a second beat has others."""

    shape: ShapeLike
    cut: bool = False

    @property
    def skid(self) -> SkidBufferParameters:
        """Parameters of what it is with ``cut``."""
        return SkidBufferParameters(shape=self.shape)

    @property
    def latency(self) -> int:
        """Cycles from a beat accepted to the beat valid on ``o``."""
        return 1

    @property
    def throughput(self) -> int:
        """Beats a cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """One beat, or two, and their valid bits."""
        return self.skid.storage_bits if self.cut else Shape.cast(self.shape).width + 1


class Rank(wiring.Component):
    """Registers a stream of ``shape`` from ``i`` to ``o``: latency one cycle, one beat a cycle.

    With ``cut`` it is a `SkidBuffer`: a stall does not run back through a unit in one cycle, which
    FPGAs need where enables fan out to hundreds of registers. Without, ``i.ready`` follows
    ``o.ready`` in the same cycle, and the second beat's registers are saved.
    """

    def __init__(self, parameters: RankParameters):
        self.parameters = p = parameters
        super().__init__({"i": In(stream.Signature(p.shape)), "o": Out(stream.Signature(p.shape))})

    def elaborate(self, platform):
        m = Module()
        if self.parameters.cut:
            m.submodules.cut = cut = SkidBuffer(self.parameters.skid)
            wiring.connect(m, wiring.flipped(self.i), cut.i)
            wiring.connect(m, cut.o, wiring.flipped(self.o))
            return m
        m.d.comb += self.i.ready.eq(self.o.ready | ~self.o.valid)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m
