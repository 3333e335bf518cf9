"""Array: rows of activations times columns of weights, several bit-planes a cycle, to FP32."""

from dataclasses import dataclass
from itertools import cycle

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.array_drain import ArrayDrain, ArrayDrainParameters
from lamina.anda.array_head import ArrayHead, ArrayHeadParameters
from lamina.anda.block import Block
from lamina.anda.block_parameters import BlockParameters
from lamina.anda.weight_port import WeightPort, WeightPortParameters
from lamina.cell import Cell
from lamina.copies import COPIES_MAX, copies
from lamina.formats.anda import (
    FORMATS,
    GROUP,
    array_output_layout,
    array_words_layout,
    beats_of,
    column_weights_layout,
)
from lamina.parameters import check_choice, check_flag, check_range, narrowed

__all__ = ["Array", "ArrayParameters"]


@dataclass(frozen=True, kw_only=True)
class ArrayParameters:
    """What an array is built for.

    ``rows`` of activations, ``columns`` of weights; ``block_columns`` of them are a block, which
    one beat of weights fills. ``planes`` a cycle: 1, 2 or 4. ``sharing``: elements of a column that
    share a floating-point unit, and so the fewest cycles of a group. ``slots``: outputs of each
    element under way, which take turns. ``weight_bits`` of a code, 2 to 8. ``zero_points``: whether
    weights have them. ``format``: "fp16" or "bf16", of the activations. ``stages_per_rank``:
    registers in the arithmetic: 1 suits FPGAs, 5 cell libraries. The default is one to be looked
    at; 8 rows and 32 columns in blocks of 4 have ports of 1,024 bits.
    """

    rows: int = 2
    columns: int = 4
    planes: int = 2
    sharing: int = 3
    slots: int = 4
    weight_bits: int = 4
    zero_points: bool = True
    format: str = "fp16"
    block_columns: int = 2
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("rows", self.rows, 1, 64)
        check_range("columns", self.columns, 1, 256)
        check_choice("planes", self.planes, (1, 2, 4))
        check_range("sharing", self.sharing, 1, 16)
        check_range("slots", self.slots, 1, 64)
        check_range("weight_bits", self.weight_bits, 2, 8)
        check_flag("zero_points", self.zero_points)
        check_choice("format", self.format, tuple(FORMATS))
        check_range("block_columns", self.block_columns, 1, 16)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)
        if self.columns % self.block_columns:
            raise ValueError(
                f"columns must be a multiple of block_columns, {self.block_columns}, "
                f"not {self.columns}."
            )
        latency = self.block.sum_unit(0).add.latency
        if self.slots * self.sharing < latency + (latency > 1):
            raise ValueError(
                f"slots must be enough to hide the {latency} cycles of an addition, "
                f"not {self.slots}."
            )

    def cycles(self, mantissa_bits: int) -> int:
        """Cycles that a group takes in steady state, and beats of words that it comes in."""
        return max(beats_of(mantissa_bits, self.planes), self.sharing)

    def macs_per_cycle(self, mantissa_bits: int) -> float:
        """Multiply-accumulates a cycle in steady state."""
        return GROUP * self.rows * self.columns / self.cycles(mantissa_bits)

    @property
    def blocks(self) -> int:
        """Blocks of the chain."""
        return self.columns // self.block_columns

    @property
    def block(self) -> BlockParameters:
        """Parameters of each block."""
        entry_bits = self.weight_bits + self.zero_points
        return narrowed(BlockParameters, self, columns=self.block_columns, entry_bits=entry_bits)

    @property
    def copies(self) -> int:
        """Registers of what moves everything: with ranks of each column and block, and more."""
        return min(3 + self.blocks * (1 + self.block_columns), COPIES_MAX) if self.ranked else 1

    @property
    def ranked(self) -> bool:
        """Whether what is wide or far has registers of its own: see `BlockParameters`."""
        return self.block.ranked

    @property
    def head(self) -> ArrayHeadParameters:
        """Parameters of the head."""
        delay = self.block.ranks
        return narrowed(
            ArrayHeadParameters,
            self,
            blocks=self.blocks,
            finish_delay=delay,
            exponent_delay=self.block.sum_unit(0).group_delay,
            copies=min(self.rows, 2) if self.ranked else 1,
            chains=self.ranked,
        )

    @property
    def weight_port(self) -> WeightPortParameters:
        """Parameters of the weight port."""
        return narrowed(
            WeightPortParameters,
            self,
            columns=self.block_columns,
            chains=self.ranked,
            correction_delay=self.block.correction_delay,
            scale_delay=self.block.scale_delay,
            triples=self.block.triples,
        )

    @property
    def drain(self) -> ArrayDrainParameters:
        """Parameters of the drain."""
        units, columns = self.block.units, self.block_columns
        return narrowed(
            ArrayDrainParameters,
            self,
            blocks=self.blocks,
            units=units,
            columns=columns,
            marked=self.block.sum_unit(0).marked,
        )

    @property
    def latency(self) -> int:
        """Cycles from a group's last beat with ``end`` accepted to its first outputs valid."""
        return self.head.latency + self.block.latency + self.drain.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return (
            f"{self.rows} groups, one a row, in max((M + 1) / {self.planes}, {self.sharing}) cycles"
        )

    @property
    def storage_bits(self) -> int:
        """Of all parts."""
        parts = (self.head, self.weight_port, self.drain)
        return (
            sum(part.storage_bits for part in parts)
            + self.blocks * self.block.storage_bits
            + self.copies
        )


class Array(wiring.Component):
    """Multiply groups of activations by columns of weights, and add up the outputs in FP32.

    Members
    -------
    i : In(stream of `array_words_layout`)
        Groups, one in each row at a time, of `ArrayParameters.cycles` (M) beats; M may change from
        group to group. Groups are dealt to the slots in turn, from slot 0 on, for ever.
    i_weights : In(stream of `column_weights_layout` (block_columns, weight_bits))
        ``columns / block_columns`` beats for each group that has ``load``, block 0 first. The
        first group after reset must have it.
    o : Out(stream of `array_output_layout`)
        For each group with ``end`` one beat per step and block: the outputs of all its rows and
        columns, of step 0 those of all blocks, then of step 1, to step ``sharing`` - 1.

    Timing
    ------
    A group takes `ArrayParameters.cycles` cycles, new weights included if those come in time.
    Groups with ``load`` are at least as many cycles apart as there are blocks. Everything moves
    together: if a group that has begun lacks words, or one that loads lacks weights, all stops. One
    block's outputs leave a cycle; the others wait in queues, and all stops if one has no room for
    more than those of ``slots`` groups.

    Numerics
    --------
    Per output, groups in their order: f = FP32(P * 2^(E - bias - M + 1)) with the exact integer
    sum P of signed mantissas times (code - zero point), NaN where E is all ones; acc =
    FP32(acc + FP32(f * scale)), from +0 with ``begin``.

    Source: Anda, HPCA 2025, section IV: array of bit-serial processing elements. Here planes run
    least significant first: on cells in offset binary over tables of pair sums, on FPGAs in two's
    complement through carry chains.
    """

    def __init__(self, parameters: ArrayParameters):
        self.parameters = p = parameters
        block = p.block
        outputs = array_output_layout(block.units, p.block_columns, p.blocks, p.sharing)
        super().__init__(
            {
                "i": In(stream.Signature(array_words_layout(p.rows, p.planes))),
                "i_weights": In(
                    stream.Signature(column_weights_layout(p.block_columns, p.weight_bits))
                ),
                "o": Out(stream.Signature(outputs)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.head = head = ArrayHead(p.head)
        m.submodules.weight_port = weights = WeightPort(p.weight_port)
        m.submodules.drain = drain = ArrayDrain(p.drain)
        wiring.connect(m, wiring.flipped(self.i), head.i)
        wiring.connect(m, wiring.flipped(self.i_weights), weights.i)
        wiring.connect(m, drain.o, wiring.flipped(self.o))
        # What moves everything is known a cycle before, so that each column has a register of it.
        advance_next = Signal()
        m.d.comb += advance_next.eq(
            drain.clear_next & ~head.starved_next & (weights.valid_next | ~head.loading_next)
        )
        advances = copies(m, "advance", [advance_next], Const(1), p.copies)
        advance, others = advances[0], cycle(advances[1:] or advances)
        planes, finish = head.o_planes, head.o_finish
        for number in range(p.blocks):
            m.submodules[f"block_{number}"] = block = Cell(Block, p.block)
            if p.ranked:
                m.d.comb += block.advances.eq(Cat(next(others) for _ in block.advances))
            else:
                m.d.comb += block.advance_next.eq(advance_next)
            m.d.comb += [
                block.i_planes.eq(planes),
                block.i_finish.eq(finish),
                block.weights.eq(weights.weights),
                drain.values[number].eq(block.values),
                drain.ends[number].eq(block.ends),
            ]
            planes, finish = block.o_planes, block.o_finish
        m.d.comb += [
            drain.advance.eq(advance),
            head.advance.eq(advance),
            head.moves.eq(next(others)),
            head.advance_next.eq(advance_next),
            weights.advance.eq(next(others)),
            weights.taken_next.eq(advance_next & head.loading_next),
        ]
        return m
