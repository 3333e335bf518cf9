"""Array drain: what the blocks of an array have finished leaves it, one block a cycle."""

from dataclasses import dataclass
from itertools import chain

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import array_output_layout
from lamina.formats.ieee import FP32
from lamina.parameters import check_flag, check_range
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["ArrayDrain", "ArrayDrainParameters"]

#: Beats that may still come to a queue when it says that it has no room: those of three cycles.
_UNDER_WAY = 3


@dataclass(frozen=True, kw_only=True)
class ArrayDrainParameters:
    """``blocks`` of the array; ``units``, ``columns`` of a block; ``sharing``: steps of a unit.

    ``slots``: as of the array. ``marked``: any exponent of all ones is a NaN.
    """

    blocks: int
    units: int
    columns: int
    sharing: int
    slots: int
    marked: bool = False

    def __post_init__(self):
        check_range("blocks", self.blocks, 1, 256)
        check_range("units", self.units, 1, 64)
        check_range("columns", self.columns, 1, 16)
        check_range("sharing", self.sharing, 1, 16)
        check_range("slots", self.slots, 1, 64)
        check_flag("marked", self.marked)

    @property
    def layout(self) -> data.StructLayout:
        """Payload of ``o``."""
        return array_output_layout(self.units, self.columns, self.blocks, self.sharing)

    @property
    def room(self) -> int:
        """Beats that wait in a queue before all stops.

        What all slots put out; and not less than come to block 0 until the last block has its first
        beat, or its turn would never come.
        """
        return max(self.slots * self.sharing, self.blocks)

    @property
    def queue(self) -> QueueParameters:
        """Parameters of each block's queue: values and step."""
        shape = data.StructLayout(
            {"values": self.layout["values"].shape, "step": range(self.sharing)}
        )
        return QueueParameters(shape=shape, depth=self.room + _UNDER_WAY)

    @property
    def latency(self) -> int:
        """Cycles from a block's outputs finished to those on ``o``."""
        return self.queue.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one block's outputs a cycle"

    @property
    def storage_bits(self) -> int:
        """The queues, the block whose turn it is, and a flag."""
        return self.blocks * self.queue.storage_bits + (self.blocks - 1).bit_length() + 1


class ArrayDrain(wiring.Component):
    """Put out what blocks have finished: each has a queue, and they take turns, block 0 first.

    A block finishes a step a cycle after the block before it. So nobody waits for a turn without
    work, but for the first beat after all queues were empty.

    Members
    -------
    advance : In(1)
        The blocks move on after this cycle.
    values : In(ArrayLayout(values of a block, blocks))
    ends : In(ArrayLayout(unsigned(sharing), blocks))
        Which of ``values`` are finished, by step.
    clear_next : Out(1)
        In the next cycle the blocks may move on: there is room for what they finish.
    o : Out(stream of `array_output_layout`)
        With the one NaN 0x7FC00000.
    """

    def __init__(self, parameters: ArrayDrainParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "advance": In(1),
                "values": In(data.ArrayLayout(p.layout["values"].shape, p.blocks)),
                "ends": In(data.ArrayLayout(unsigned(p.sharing), p.blocks)),
                "clear_next": Out(1),
                "o": Out(stream.Signature(p.layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        fresh = Signal()  # the values are new in this cycle
        turn = Signal(range(p.blocks))
        full = Signal(p.blocks)
        m.d.sync += fresh.eq(self.advance)
        m.d.comb += [self.clear_next.eq(~full.any()), self.o.p.block.eq(turn)]
        values, step, valid = 0, 0, 0
        for block in range(p.blocks):
            m.submodules[f"queue_{block}"] = queue = Queue(p.queue)
            ends, mine = self.ends[block], turn == block
            m.d.comb += [
                queue.i.valid.eq(fresh & ends.any()),
                queue.i.p["values"].eq(self.values[block]),
                queue.i.p.step.eq(_place(ends)),
                full[block].eq(queue.level > p.room),
                queue.o.ready.eq(mine & self.o.ready),
            ]
            values |= Mux(mine, queue.o.p["values"].as_value(), 0)
            step |= Mux(mine, queue.o.p.step, 0)
            valid |= mine & queue.o.valid
        for number, value in enumerate(chain.from_iterable(self.o.p["values"])):
            word = Signal(FP32.width, name=f"word_{number}")
            m.d.comb += word.eq(values.word_select(number, FP32.width))
            nan = p.marked & word[FP32.fraction_bits : -1].all()
            m.d.comb += value.eq(Mux(nan, FP32.nan, word))
        m.d.comb += [
            self.o.p.step.eq(step),
            self.o.valid.eq(valid),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += turn.eq(Mux(turn == p.blocks - 1, 0, turn + 1))
        return m


def _place(one_hot):
    """Return the number of the bit that is set."""
    place = 0
    for number in range(1, len(one_hot)):
        place |= Mux(one_hot[number], number, 0)
    return place
