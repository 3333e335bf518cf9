"""Result port: outputs of the array with their places; what lies beyond m or n is left out."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import array_output_layout
from lamina.formats.engine import TAG_BITS, result_layout, tile_layout

__all__ = ["ResultPort"]


class ResultPort(wiring.Component):
    """Give each beat of outputs its place, and say when all results of a GEMM are out.

    The blocks of the array finish the same tile one after the other, and the next tile begins
    before the last block is through: places wait in a queue from which each block reads its own.

    Parameters: `EngineParameters`.

    Members
    -------
    i : In(stream of `array_output_layout`)
    tile, enter : In
        A group with ``end`` is on its way to the array: where its outputs belong.
    crowded : Out(1)
        No further tile may enter.
    o : Out(stream of `result_layout`)
        A cycle later; beats without any result are dropped but for the last of a GEMM.
    done : Out(stream of the tag)
        The last beat of a GEMM was taken.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        array = p.array
        units, block = array.block.units, array.block_columns
        super().__init__(
            {
                "i": In(
                    stream.Signature(array_output_layout(units, block, array.blocks, p.sharing))
                ),
                "tile": In(tile_layout(p.rows, p.columns)),
                "enter": In(1),
                "crowded": Out(1),
                "o": Out(stream.Signature(result_layout(units, block))),
                "done": Out(stream.Signature(TAG_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        out, coming = self.o.payload, self.i.payload
        tile = Signal(tile_layout(p.rows, p.columns))
        final = Signal()
        self._tiles(m, tile, final)
        units, columns = len(out.values), p.block_columns
        row, column = Signal(range(p.sharing * units + 1)), Signal(range(p.columns + 1))
        keep = Signal(out.keep.shape())
        ending = Signal()
        m.d.comb += [
            row.eq(coming.step * units),
            column.eq(coming.block * columns),
            ending.eq(self.o.valid & out.last),
            self.i.ready.eq(
                (self.o.ready | ~self.o.valid)
                & ~(final & (ending | (self.done.valid & ~self.done.ready)))
            ),
        ]
        for unit in range(units):
            for place in range(columns):
                inside = (row + unit < tile.rows) & (column + place < tile.columns)
                # A step without rows comes when its tile has been left already.
                m.d.comb += keep[unit][place].eq(inside & (coming.step < p.steps))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid & (keep.as_value().any() | final)),
                out.values.eq(coming.values),
                out.keep.eq(keep),
                out.row.eq(tile.row + row),
                out.column.eq(tile.column + column),
                out.tag.eq(tile.tag),
                out.last.eq(final),
            ]
        with m.If(self.done.ready):
            m.d.sync += self.done.valid.eq(0)
        with m.If(ending & self.o.ready):
            m.d.sync += [self.done.valid.eq(1), self.done.payload.eq(out.tag)]
        return m

    def _tiles(self, m, tile, final):
        """Keep tiles until all blocks are through with them."""
        p = self.parameters
        blocks = p.array.blocks
        tiles = Array(
            Signal(tile.shape(), name=f"tile_{n}", reset_less=True) for n in range(p.tiles)
        )
        entered = Signal(range(p.tiles))
        places = Array(Signal(range(p.tiles), name=f"place_{n}") for n in range(blocks))
        level = Signal(range(p.tiles + 1))
        through, leave = Signal(), Signal()
        coming = self.i.payload
        m.d.comb += [
            self.crowded.eq(level == p.tiles),
            tile.eq(tiles[places[coming.block]]),
            through.eq(coming.step == p.steps - 1),
            leave.eq(self.i.valid & self.i.ready & through & (coming.block == blocks - 1)),
            final.eq(through & (coming.block == blocks - 1) & tile.last),
        ]
        m.d.sync += level.eq(level + self.enter - leave)
        with m.If(self.enter):
            m.d.sync += [tiles[entered].eq(self.tile), entered.eq(entered + 1)]
        with m.If(self.i.valid & self.i.ready & through):
            m.d.sync += places[coming.block].eq(places[coming.block] + 1)
