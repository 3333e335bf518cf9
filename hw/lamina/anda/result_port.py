"""Result port: outputs of the array with their places; what lies beyond m or n is left out."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import array_output_layout
from lamina.formats.engine import TAG_BITS, result_layout, tile_layout
from lamina.stream.buffer import Queue

__all__ = ["ResultPort"]


class ResultPort(wiring.Component):
    """Give each beat of outputs its place, and say when all results of a GEMM are out.

    The blocks of the array put out the same step of a tile one after the other, then the next one:
    places wait in a queue, and the first of them is that of the beat that comes.

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
        """Keep tiles until all blocks are through with them: the last one's beat is a tile's last.

        Their queue begins with a register, and a tile is there long before its outputs are.
        """
        p = self.parameters
        m.submodules.tiles = tiles = Queue(p.places)
        coming = self.i.payload
        ends = (coming.step == p.steps - 1) & (coming.block == p.array.blocks - 1)
        m.d.comb += [
            tiles.i.valid.eq(self.enter),
            tiles.i.payload.eq(self.tile),
            self.crowded.eq(~tiles.i.ready),
            tile.eq(tiles.o.payload),
            tiles.o.ready.eq(self.i.valid & self.i.ready & ends),
            final.eq(ends & tile.last),
        ]
