"""Puts the planes of a block together: a tile of integer operands, at any number of planes."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.copies import COPIES_MAX, copies
from lamina.formats.planes import BLOCK_CODES, TILE_COLUMNS, plane_beat_layout, tile_layout
from lamina.parameters import check_range
from lamina.stream.buffer import SkidBuffer, SkidBufferParameters

__all__ = ["Assembler", "AssemblerParameters"]

#: Registers that say of a plane of the tile where it comes from, each for some of its codes.
_COPIES = 4


@dataclass(frozen=True, kw_only=True)
class AssemblerParameters:
    """``code_bits`` of an operand: the most planes that a block may store."""

    code_bits: int = 4

    def __post_init__(self):
        check_range("code_bits", self.code_bits, 1, 16)

    @property
    def merges(self) -> int:
        """Copies of what enables the tile that grows."""
        return min(self.code_bits, COPIES_MAX)

    @property
    def out(self) -> SkidBufferParameters:
        """Of the register slice from which tiles leave."""
        return SkidBufferParameters(shape=tile_layout(self.code_bits), parts=TILE_COLUMNS)

    @property
    def latency(self) -> int:
        """Cycles from a block's only plane accepted to its tile; k planes take k - 1 more."""
        return 2

    @property
    def throughput(self) -> str:
        """Beats in."""
        return "1 plane per cycle"

    @property
    def storage_bits(self) -> int:
        """The plane at hand with where it goes, the tile that grows and those that leave."""
        places = (1 + 2 * _COPIES) * self.code_bits + 1 + self.merges
        tiles = tile_layout(self.code_bits).size + self.out.storage_bits
        return plane_beat_layout().size + tiles + places + 1


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

    Timing: a plane in every cycle, whatever k: tiles leave from a register slice. Where a plane
    goes is found out a cycle before it goes there, for all bits of the tile wait for that; the tile
    is valid two cycles after its last plane was taken.

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
        m.submodules.out = out = SkidBuffer(self.parameters.out)
        wiring.connect(m, out.o, wiring.flipped(self.o))
        advance = Signal()
        plane, takes, keeps = self._place(m, advance)
        # Whether a plane is there, for the tile alone: 512 registers wait for each copy.
        merges = copies(m, "merges", [self.i.valid], advance, self.parameters.merges)
        grown = []  # plane b of the tile, with this plane
        error = Signal()
        for b in range(self.parameters.code_bits):
            row = Signal(BLOCK_CODES, name=f"row_{b}", reset_less=True)
            merged = Signal(BLOCK_CODES, name=f"merged_{b}")
            m.d.comb += merged.eq(plane.payload.bits & takes[b] | row & keeps[b])
            grown.append(merged)
            # A plane that waits is merged again, which changes nothing.
            with m.If(merges[b % len(merges)]):
                m.d.sync += row.eq(merged)

        last, wrong = plane.payload.last, error | plane.payload.error
        m.d.comb += [
            advance.eq(out.i.ready | ~last | ~plane.valid),
            out.i.valid.eq(plane.valid & last),
            out.i.p.codes.eq(Cat(merged[i] for i in range(BLOCK_CODES) for merged in grown)),
            out.i.p.error.eq(wrong),
        ]
        with m.If(plane.valid & advance):
            m.d.sync += error.eq(~last & wrong)
        return m

    def _place(self, m, advance):
        """Register the plane that comes in, and which planes of the tile take it or stay, a bit for
        each code.

        Plane 0 is the sign: it fills all bits from its own up; those below start at zero.
        """
        bits, beat = self.parameters.code_bits, self.i.p
        plane = stream.Signature(plane_beat_layout()).create()
        takes, keeps, first = [], [], Signal(init=1)
        # One-hot: the code bit of the next plane, N - 1 for the first one.
        place, following = Signal(bits), Signal(bits)
        m.d.comb += [
            place.eq(Mux(first, (1 << self.planes) >> 1, following)),
            self.i.ready.eq(advance),
        ]
        for b in range(bits):
            take = place[b] | first & place[:b].any()
            for name, value, to in (("takes", take, takes), ("keeps", ~first & ~take, keeps)):
                kept = copies(m, f"{name}_{b}", [value], advance, _COPIES)
                to.append(Cat(bit.replicate(BLOCK_CODES // _COPIES) for bit in kept))
        with m.If(advance):
            m.d.sync += [plane.valid.eq(self.i.valid), plane.payload.eq(beat)]
            with m.If(self.i.valid):
                m.d.sync += [following.eq(place >> 1), first.eq(beat.last)]
        return plane, takes, keeps
