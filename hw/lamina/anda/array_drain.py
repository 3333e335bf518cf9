"""Array drain: what the blocks of an array have finished leaves it, one block a cycle."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import array_output_layout
from lamina.parameters import check_range
from lamina.stream.buffer import SkidBuffer, SkidBufferParameters

__all__ = ["ArrayDrain", "ArrayDrainParameters"]


@dataclass(frozen=True, kw_only=True)
class ArrayDrainParameters:
    """``blocks`` of the array; ``units``, ``columns`` of a block; ``sharing``: steps of a unit."""

    blocks: int
    units: int
    columns: int
    sharing: int

    def __post_init__(self):
        check_range("blocks", self.blocks, 1, 256)
        check_range("units", self.units, 1, 64)
        check_range("columns", self.columns, 1, 16)
        check_range("sharing", self.sharing, 1, 16)

    @property
    def layout(self) -> data.StructLayout:
        """Payload of ``o``."""
        return array_output_layout(self.units, self.columns, self.blocks, self.sharing)

    @property
    def latency(self) -> int:
        """Cycles from a block's outputs finished to those on ``o``."""
        return 1

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one block's outputs a cycle"

    @property
    def storage_bits(self) -> int:
        """Two beats, how many there are, and which blocks have been served."""
        return self.slice.storage_bits + self.blocks

    @property
    def slice(self) -> SkidBufferParameters:
        """Parameters of the register slice."""
        return SkidBufferParameters(shape=self.layout)


class ArrayDrain(wiring.Component):
    """Put out what blocks have finished, lowest block first.

    Members
    -------
    advance : In(1)
        The blocks move on after this cycle; what is in ``values`` then is lost.
    values : In(ArrayLayout(values of a block, blocks))
    ends, ends_next : In(ArrayLayout(unsigned(sharing), blocks))
        Which of ``values`` are finished, by step, in this cycle; and in the next if blocks move on.
    clear_next : Out(1)
        In the next cycle the blocks may move on: what is finished then has a place to go to.
    o : Out(stream of `array_output_layout`)
    """

    def __init__(self, parameters: ArrayDrainParameters):
        self.parameters = p = parameters
        ends = data.ArrayLayout(p.sharing, p.blocks)
        super().__init__(
            {
                "advance": In(1),
                "values": In(data.ArrayLayout(p.layout["values"].shape, p.blocks)),
                "ends": In(ends),
                "ends_next": In(ends),
                "clear_next": Out(1),
                "o": Out(stream.Signature(p.layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.slice = slice_ = SkidBuffer(p.slice)
        wiring.connect(m, slice_.o, wiring.flipped(self.o))
        room = slice_.i
        served, served_next = Signal(p.blocks), Signal(p.blocks)
        waiting, waiting_next, chosen = Signal(p.blocks), Signal(p.blocks), Signal(p.blocks)
        for block in range(p.blocks):
            ended = self.ends[block].any()
            ended_next = Mux(self.advance, self.ends_next[block].any(), ended)
            m.d.comb += [
                waiting[block].eq(ended & ~served[block]),
                waiting_next[block].eq(ended_next & ~served_next[block]),
            ]
        room_next = self.o.ready | ~self.o.valid | (room.ready & ~room.valid)
        taken = chosen & room.ready.replicate(p.blocks)
        m.d.comb += [
            chosen.eq(waiting & (~waiting + 1)),
            room.valid.eq(waiting.any()),
            served_next.eq(Mux(self.advance, 0, served | taken)),
            # At most one waits then, and there is room for it.
            self.clear_next.eq(((waiting_next & (waiting_next - 1)) == 0) & room_next),
        ]
        m.d.sync += served.eq(served_next)
        self._choose(m, chosen, room.payload)
        return m

    def _choose(self, m, chosen, payload):
        """Select the values of the ``chosen`` block, and say which block and step they are of."""
        values, number, ends = 0, 0, 0
        for block in range(self.parameters.blocks):
            mine = chosen[block]
            values |= Mux(mine, self.values[block].as_value(), 0)
            number |= Mux(mine, block, 0)
            ends |= Mux(mine, self.ends[block], 0)
        step = 0
        for place in range(1, self.parameters.sharing):
            step |= Mux(ends[place], place, 0)
        m.d.comb += [
            payload["values"].as_value().eq(values),
            payload.block.eq(number),
            payload.step.eq(step),
        ]
