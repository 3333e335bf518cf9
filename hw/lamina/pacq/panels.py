"""An octet's operand buffer: from the register file to what the DP-4 units work on."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import delayed
from lamina.formats.tensor import A_TILES_MAX, B_TILES, Flow, a_tile_layout, operation_layout
from lamina.parameters import check_choice, check_flag
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["Panels", "PanelsParameters"]

#: Panels in the buffer: one is read while the next one comes.
PANELS = 2

#: Tiles of the longest panel: of A, as many k as a word of INT2 along k has tiles; of B, 16 words.
_TILES = {"a": 8, "b": 4}
_FRAGMENTS = {"a": A_TILES_MAX, "b": B_TILES}


@dataclass(frozen=True, kw_only=True)
class PanelsParameters:
    """``operand``: "a" or "b". ``rank``: a register behind the register file, for a block RAM."""

    operand: str = "a"
    rank: bool = False

    def __post_init__(self):
        check_choice("operand", self.operand, tuple(_TILES))
        check_flag("rank", self.rank)

    @property
    def tile_bits(self) -> int:
        """Bits of a tile's number within a panel."""
        return (_TILES[self.operand] - 1).bit_length()

    @property
    def fragment_bits(self) -> int:
        """Bits of a tile's address in the register file, of two operations."""
        return (_FRAGMENTS[self.operand] - 1).bit_length() + 1

    @property
    def memory(self) -> BlockMemoryParameters:
        """Of the tiles of two panels."""
        return BlockMemoryParameters(
            width=a_tile_layout().size, depth=PANELS * _TILES[self.operand]
        )

    @property
    def latency(self) -> int:
        """Cycles from an operation to the first tile of its first panel of four."""
        return 4 + 1 + self.rank

    @property
    def throughput(self) -> str:
        """Of the port to the register file."""
        return "1 tile per cycle"

    @property
    def storage_bits(self) -> int:
        """The tiles, and where the next one goes, the rank's tile beside it."""
        rank = self.memory.width + 2 + self.memory.address_bits if self.rank else 0
        places = 4 + self.tile_bits + 3 + 2 * 2 + 1 + self.tile_bits + 1
        return self.memory.storage_bits + places + rank


class Panels(wiring.Component):
    """Fetches the panels of an operand, in the order of the flow, ahead of their use.

    A panel is what an output needs of an operand to be summed without leaving the trees: four tiles
    along k; in the flow that packs along k the tiles that meet one tile of words, 4 or 8 of A and 1
    of B. Panels come with m fastest, then n, then k. Words along n are fetched again for each m,
    other words stay.

    Members
    -------
    i : In(stream) of `operation_layout`
        Taken with its last fetch.
    fragment_enable, fragment_address, fragment_data
        Read port of the register file, latency one cycle: each access fetches one tile.
    there : Out
        There is a panel; ``release`` (In) makes room for the next one.
    read_enable, read_address : In
        A tile of that panel is read; ``read_data`` (Out) has it a cycle later.

    Timing: one tile a cycle; the next panel comes while one is used.
    """

    def __init__(self, parameters: PanelsParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(operation_layout())),
                "fragment_enable": Out(1),
                "fragment_address": Out(p.fragment_bits),
                "fragment_data": In(p.memory.width),
                "there": Out(1),
                "release": In(1),
                "read_enable": In(1),
                "read_address": In(p.tile_bits),
                "read_data": Out(p.memory.width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.tiles = tiles = BlockMemory(p.memory)
        place, tile, half = Signal(4), Signal(p.tile_bits), Signal()
        last_tile, last_panel, ends = Signal(), Signal(), Signal()
        skip = self._describe(m, place, tile, half, last_tile, last_panel)
        asked, present, writing = Signal(2), Signal(2), Signal()
        m.d.comb += [
            self.fragment_enable.eq(self.i.valid & (asked != PANELS)),
            ends.eq(self.fragment_enable & last_tile),
            self.i.ready.eq(ends & last_panel),
        ]
        with m.If(self.fragment_enable):
            m.d.sync += tile.eq(Mux(last_tile, 0, tile + 1))
        with m.If(ends):
            m.d.sync += [
                place.eq(Mux(last_panel, 0, place + 1 + skip)),
                half.eq(half ^ last_panel),
                writing.eq(~writing),
            ]
        # What is read from the register file is written a cycle or two later, and there after that.
        ranks, reading = 1 + p.rank, Signal()
        address = delayed(m, Cat(tile, writing), Const(1), ranks, "address")
        data = delayed(m, self.fragment_data, Const(1), p.rank, "data")
        arriving = delayed(m, self.fragment_enable, Const(1), ranks, "arriving", reset_less=False)
        arrived = delayed(m, ends, Const(1), ranks, "arrived", reset_less=False)
        m.d.sync += [
            asked.eq(asked + ends - self.release),
            present.eq(present + arrived - self.release),
            reading.eq(reading ^ self.release),
        ]
        m.d.comb += [
            self.there.eq(present != 0),
            tiles.write_enable.eq(arriving),
            tiles.write_address.eq(address),
            tiles.write_data.eq(data),
            tiles.read_enable.eq(self.read_enable),
            tiles.read_address.eq(Cat(self.read_address, reading)),
            self.read_data.eq(tiles.read_data),
        ]
        return m

    def _describe(self, m, place, tile, half, last_tile, last_panel):
        """Say where the loops are; return whether they skip m."""
        operation, along_k = self.i.p, Signal()
        m_tile, n_tile, k_tile = place[0], place[1], place[2:]
        if self.parameters.operand == "a":
            skip = 0
            tiles = Mux(along_k & operation.int2, 8, 4)
            k = Mux(operation.int2, Cat(tile, k_tile), Cat(tile[:2], k_tile))
            fragment = Cat(m_tile, k[:5], half)
        else:
            skip = operation.flow != Flow.PACKED_N
            tiles = Mux(along_k, 1, 4)
            fragment = Cat(n_tile, Mux(along_k, k_tile, tile), half)
        m.d.comb += [
            along_k.eq(operation.flow == Flow.PACKED_K),
            last_tile.eq(tile == tiles - 1),
            last_panel.eq((place | skip) == Mux(along_k, 15, 3)),
            self.fragment_address.eq(fragment),
        ]
        return skip
