"""Puts the planes of a block together: a tile of integer operands, at any number of planes."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.planes import BLOCK_CODES, plane_beat_layout, tile_layout
from lamina.parameters import check_range

__all__ = ["Assembler", "AssemblerParameters"]


@dataclass(frozen=True, kw_only=True)
class AssemblerParameters:
    """``code_bits`` of an operand: the most planes that a block may store."""

    code_bits: int = 4

    def __post_init__(self):
        check_range("code_bits", self.code_bits, 1, 16)

    @property
    def latency(self) -> int:
        """Cycles from a block's only plane accepted to its tile; k planes take k - 1 more."""
        return 1

    @property
    def throughput(self) -> str:
        """Beats in."""
        return "1 plane per cycle"

    @property
    def storage_bits(self) -> int:
        """The tile that grows and the one that leaves, and the place of the next plane."""
        return 2 * tile_layout(self.code_bits).size + self.code_bits + 1


class Assembler(wiring.Component):
    """Puts the planes of a block together: a tile of integer operands, at any number of planes.

    Members
    -------
    planes : In
        N, the planes that the blocks store, 1 to ``code_bits``; may change between blocks.
    i : In(stream of plane_beat_layout)
        The k most significant planes of a block, ``last`` with the k-th.
    o : Out(stream of tile_layout)
        One tile a block; ``error`` if any of its beats had one.

    Timing: a plane in every cycle, whatever k: the tile that leaves has registers of its own. The
    tile is valid the cycle after its last plane was taken.

    Numerics: code i is code_k * 2^(N-k), sign-extended to ``code_bits``, so that scales and zero
    points are those of the whole N-bit code. Planes beyond the N-th are dropped.
    """

    def __init__(self, parameters: AssemblerParameters):
        self.parameters = parameters
        super().__init__(
            {
                "planes": In(range(parameters.code_bits + 1)),
                "i": In(stream.Signature(plane_beat_layout())),
                "o": Out(stream.Signature(tile_layout(parameters.code_bits))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits, beat = self.parameters.code_bits, self.i.p
        rows, grown = [], []  # plane b of the tile: as far as it has grown, and with this beat
        first, error = Signal(init=1), Signal()
        # One-hot: the code bit of the next plane, N - 1 for the first one.
        place, following = Signal(bits), Signal(bits)
        m.d.comb += place.eq(Mux(first, (1 << self.planes) >> 1, following))
        for b in range(bits):
            row = Signal(BLOCK_CODES, name=f"row_{b}", reset_less=True)
            merged = Signal(BLOCK_CODES, name=f"merged_{b}")
            # Plane 0 is the sign: it fills all bits from its own up; those below start at zero.
            sign = first & place[: b + 1].any()
            m.d.comb += merged.eq(Mux(sign | place[b], beat.bits, Mux(first, 0, row)))
            rows.append(row)
            grown.append(merged)

        leave = self.o.ready | ~self.o.valid
        m.d.comb += self.i.ready.eq(leave | ~beat.last)
        with m.If(leave):
            m.d.sync += self.o.valid.eq(self.i.valid & beat.last)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [row.eq(merged) for row, merged in zip(rows, grown, strict=True)]
            m.d.sync += [
                following.eq(place >> 1),
                first.eq(beat.last),
                error.eq(~beat.last & (error | beat.error)),
            ]
            with m.If(beat.last):
                codes = Cat(row[i] for i in range(BLOCK_CODES) for row in grown)
                m.d.sync += [self.o.p.codes.eq(codes), self.o.p.error.eq(error | beat.error)]
        return m
