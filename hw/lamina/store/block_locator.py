"""Where a block lies in memory: base + ((b div R) * N) * R + (b mod R), in beats."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.views import place_layout

__all__ = ["BlockLocator"]


def _times(row: Value, planes: Value) -> Value:
    """Return row * planes for 2 to 8, or 16, planes: two additions."""
    low = Mux(planes[0], row, 0) + Mux(planes[1], row << 1, 0)
    return low + Mux(planes[4], row << 4, Mux(planes[3], row << 3, Mux(planes[2], row << 2, 0)))


class BlockLocator(wiring.Component):
    """Computes the address of plane 0 of a block, in three stages.

    Parameters: `DeviceParameters`.

    Members
    -------
    i : In(place_layout)
    address : Out
        Combinational behind three stages; the first two move with ``advance``, as the slot lookup
        beside them does, the third always.
    advance : In
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(place_layout(p.view)),
                "address": Out(p.beat_bits),
                "advance": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat_bits = self.parameters.beat_bits
        view, block = self.i.view, self.i.block
        row, planes = Signal(32), Signal(5)
        # What is only passed on, in each of the stages.
        shifts = [Signal(4, name=f"shift_{n}") for n in range(2)]
        columns = [Signal(15, name=f"column_{n}") for n in range(2)]
        stores = [Signal(beat_bits, name=f"store_{n}") for n in range(3)]
        start, offset = Signal(beat_bits), Signal(beat_bits)
        with m.If(self.advance):
            m.d.sync += [
                row.eq(block >> view.row_shift),
                columns[0].eq(Cat(block[n] & (view.row_shift > n) for n in range(15))),
                planes.eq(view.planes),
                shifts[0].eq(view.row_shift),
                stores[0].eq(view.store),
                start.eq(_times(row, planes)),
                shifts[1].eq(shifts[0]),
                columns[1].eq(columns[0]),
                stores[1].eq(stores[0]),
            ]
        m.d.sync += [offset.eq((start << shifts[1]) | columns[1]), stores[2].eq(stores[1])]
        m.d.comb += self.address.eq(stores[2] + offset)
        return m
