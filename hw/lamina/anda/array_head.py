"""Array head: beats of words become planes, and what follows them, for the first block."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.row_head import RowHead, RowHeadParameters
from lamina.cell import Cell
from lamina.formats.anda import (
    EXPONENT_BITS,
    MANTISSA_BITS_MAX,
    array_finish_layout,
    array_planes_layout,
    array_words_layout,
)
from lamina.parameters import check_range

__all__ = ["ArrayHead", "ArrayHeadParameters"]


_FIELDS = ("exponents", "load", "begin", "end")


@dataclass(frozen=True, kw_only=True)
class ArrayHeadParameters:
    """``rows``, ``planes``, ``sharing``: as in `ArrayParameters`. ``blocks`` of the chain.

    ``finish_delay``: ranks of registers in the blocks' trees.
    """

    rows: int
    planes: int
    sharing: int
    blocks: int
    finish_delay: int = 0

    def __post_init__(self):
        check_range("rows", self.rows, 1, 64)
        check_range("sharing", self.sharing, 1, 16)
        check_range("blocks", self.blocks, 1, 256)
        check_range("finish_delay", self.finish_delay, 0, 2)

    @property
    def units(self) -> int:
        """Rows whose sums are read in the same step."""
        return -(-self.rows // self.sharing)

    @property
    def row(self) -> RowHeadParameters:
        """Parameters of each row's head."""
        return RowHeadParameters(planes=self.planes)

    @property
    def latency(self) -> int:
        """Cycles from a group's last beat accepted to its last planes."""
        return self.row.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one beat in and one beat out a cycle"

    @property
    def storage_bits(self) -> int:
        """Of the rows, the fields of the groups that come and go, and the counters."""
        finish = array_finish_layout(self.units, self.sharing).size
        fields = 2 * self.rows * EXPONENT_BITS + 5 + 2 * MANTISSA_BITS_MAX.bit_length()
        flags = 3 + self.sharing + (self.blocks - 1).bit_length()
        return self.rows * self.row.storage_bits + fields + flags + self.finish_delay * finish


def _group_layout(rows: int) -> data.StructLayout:
    """Return the fields of `array_words_layout` that belong to the group."""
    members = array_words_layout(rows, 1).members
    return data.StructLayout({name: members[name] for name in _FIELDS})


class ArrayHead(wiring.Component):
    """Turn beats of words into planes for all rows in lockstep, and say what is to be done.

    Members
    -------
    i : In(stream of `array_words_layout`)
    advance : In(1)
        Everything moves: what is on ``o_planes`` and ``o_finish`` is taken.
    starved : Out(1)
        A group that has begun lacks words: nothing must move.
    loading : Out(1)
        Some block takes its tables in this cycle.
    o_planes : Out(array_planes_layout(rows, planes))
    o_finish : Out(array_finish_layout(units, sharing))
        From ``1 + finish_delay`` advances after the last planes on: ``sharing`` steps.
    """

    def __init__(self, parameters: ArrayHeadParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(array_words_layout(p.rows, p.planes))),
                "advance": In(1),
                "starved": Out(1),
                "loading": Out(1),
                "o_planes": Out(array_planes_layout(p.rows, p.planes)),
                "o_finish": Out(array_finish_layout(p.units, p.sharing)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        words = self.i.payload
        opening = Signal()  # a group is here of which no planes have left yet
        closing = Signal()  # the last beat of a group is here: its planes can leave
        begun = Signal()
        group = Signal(_group_layout(p.rows), reset_less=True)
        beats = Signal(range(MANTISSA_BITS_MAX + 1), reset_less=True)
        sweep = Signal(range(p.blocks + 1))
        emits, blocked, leaves, take = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            emits.eq(closing | (self.i.valid & ~words.first)),
            blocked.eq(opening & group.load & (sweep != 0) & emits),
            leaves.eq(emits & ~blocked),
            self.starved.eq(begun & ~closing & ~self.i.valid),
            self.i.ready.eq(self.advance & ~blocked),
            take.eq(self.i.valid & self.i.ready),
            self.o_planes.first.eq(opening),
            self.o_planes.load.eq(leaves & opening & group.load),
            self.loading.eq(self.o_planes.load | (sweep != 0)),
        ]
        with m.If(self.advance):
            m.d.sync += sweep.eq(Mux(sweep == 0, 0, sweep - 1))
            with m.If(self.o_planes.load):
                m.d.sync += sweep.eq(p.blocks - 1)
            with m.If(leaves):
                m.d.sync += [
                    opening.eq(0), closing.eq(0), begun.eq(~closing), beats.eq(beats + 1),
                ]  # fmt: skip
            with m.If(take):
                m.d.sync += closing.eq(words.last)
                with m.If(words.first):
                    m.d.sync += [opening.eq(1), beats.eq(0)]
                    for name in _FIELDS:
                        m.d.sync += group[name].eq(words[name])
        for row in range(p.rows):
            m.submodules[f"row_{row}"] = head = Cell(RowHead, p.row)
            m.d.comb += [
                head.words.eq(words.words[row]),
                head.take.eq(take),
                head.first.eq(words.first),
                head.closing.eq(closing),
                self.o_planes.planes[row].eq(head.planes),
            ]
        self._finish(m, group, beats, leaves & closing)
        return m

    def _finish(self, m, group, beats, done):
        """After the last planes of ``group``: read its sums, those of some rows in each step."""
        p = self.parameters
        leaving = Signal.like(group, reset_less=True)
        steps = Signal(p.sharing)
        pushed = Signal.like(beats, reset_less=True)
        with m.If(self.advance):
            m.d.sync += steps.eq(Mux(done, 1, steps << 1))
            with m.If(done):
                m.d.sync += [leaving.eq(group), pushed.eq(beats)]
        finish = Signal(array_finish_layout(p.units, p.sharing))
        m.d.comb += [
            finish.steps.eq(steps),
            finish.beats.eq(pushed),
            finish.begin.eq(leaving.begin),
            finish.end.eq(leaving.end),
        ]
        for unit in range(p.units):
            chosen = 0
            for step, row in enumerate(range(unit, p.rows, p.units)):
                chosen |= Mux(steps[step], leaving.exponents[row], 0)
            m.d.comb += finish.exponents[unit].eq(chosen)
        for rank in range(p.finish_delay):
            before = finish
            finish = Signal(before.shape(), name=f"finish_{rank}")
            with m.If(self.advance):
                m.d.sync += finish.eq(before)
        m.d.comb += self.o_finish.eq(finish)
