"""Where a block lies in memory: base + ((b div R) * N) * R + (b mod R), in beats."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.views import place_layout

__all__ = ["BlockLocator"]


#: A number of planes as one addition: 2 << ``large``, and ``one`` or ``two`` more, or ``less``.
_FACTOR = data.StructLayout({"large": 2, "one": 1, "two": 1, "less": 1})


def _factor(planes: Value) -> dict[str, Value]:
    """Return 2 to 8, or 16, planes as a factor."""
    low = planes[:3]
    return {
        "large": Mux(planes[4], 3, Mux(planes[3] | low.all(), 2, planes[2])),
        "one": planes[0],
        "two": low == 6,
        "less": low == 7,
    }


def _times(row: Value, factor, bits: int) -> Value:
    """Return the low ``bits`` of row * factor: one addition, from whose lowest bit one carries."""
    large = (row << 1 << factor.large)[:bits]
    small = (Mux(factor.one, row, 0) | Mux(factor.two, row << 1, 0)) ^ factor.less.replicate(bits)
    return (Cat(factor.less, large) + Cat(factor.less, small[:bits]))[1:]


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
        row, factor = Signal(32), Signal(_FACTOR)
        # What is only passed on, in each of the stages.
        shifts = [Signal(4, name=f"shift_{n}") for n in range(2)]
        columns = [Signal(15, name=f"column_{n}") for n in range(2)]
        stores = [Signal(beat_bits, name=f"store_{n}") for n in range(3)]
        start, offset = Signal(beat_bits), Signal(beat_bits)
        with m.If(self.advance):
            m.d.sync += [
                row.eq(block >> view.row_shift),
                columns[0].eq(Cat(block[n] & (view.row_shift > n) for n in range(15))),
                *(factor[name].eq(value) for name, value in _factor(view.planes).items()),
                shifts[0].eq(view.row_shift),
                stores[0].eq(view.store),
                start.eq(_times(row, factor, beat_bits)),
                shifts[1].eq(shifts[0]),
                columns[1].eq(columns[0]),
                stores[1].eq(stores[0]),
            ]
        m.d.sync += [offset.eq((start << shifts[1]) | columns[1]), stores[2].eq(stores[1])]
        m.d.comb += self.address.eq(stores[2] + offset)
        return m
