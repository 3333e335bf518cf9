"""A square of registers that turns blocks by ninety degrees while they pass."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.planes import BLOCK_CODES
from lamina.parameters import check_power_of_two, check_range

__all__ = ["TransposeArray", "TransposeArrayParameters"]


@dataclass(frozen=True, kw_only=True)
class TransposeArrayParameters:
    """``side`` S of the square; each of its cells holds 512 / S bits. ``tag_bits``: of a block."""

    side: int
    tag_bits: int

    def __post_init__(self):
        check_power_of_two("side", self.side, 4, 32)
        check_range("tag_bits", self.tag_bits, 0, 64)

    @property
    def lanes(self) -> int:
        """Bits of a cell: independent S x S squares of bits that move together."""
        return BLOCK_CODES // self.side

    @property
    def word_layout(self) -> data.StructLayout:
        """One rank of the square: S cells, and the tag of its block.

        ``count``: how many words of the turned block are wanted, the last ones; the same in all
        words of a block, as ``tag``, of which the last word's counts.
        """
        return data.StructLayout(
            {
                "cells": data.ArrayLayout(unsigned(self.lanes), self.side),
                "count": unsigned(self.side.bit_length()),
                "tag": unsigned(self.tag_bits),
            }
        )

    @property
    def turned_layout(self) -> data.StructLayout:
        """One word of a turned block; ``last``: of its block."""
        return data.StructLayout(
            {
                "cells": data.ArrayLayout(unsigned(self.lanes), self.side),
                "last": unsigned(1),
                "tag": unsigned(self.tag_bits),
            }
        )

    @property
    def storage_bits(self) -> int:
        """The square, a valid bit per rank, three flags, three counts and two tags."""
        control = self.side + 3 + 3 * self.side.bit_length() + 2 * self.tag_bits
        return BLOCK_CODES * self.side + control


class TransposeArray(wiring.Component):
    """Turns blocks of S words of S cells: word s out holds cell s of every word in.

    A block enters from one side and, turned, leaves towards the other axis, while the next block
    enters behind it along that axis: the direction changes with every block, and the one square
    does what a pair of buffers would.

    Members
    -------
    i : In(stream of word_layout)
    o : Out(stream of turned_layout)
        The words of cell ``count`` - 1, ..., 1, 0 of the words in; cell e comes from word e in.

    Timing: a word in and a word out every cycle, and from block to block; the first word leaves
    S - ``count`` + 1 cycles after the last one entered. A block leaves without waiting for the
    next: ranks move up on their own where there is room ahead.
    """

    def __init__(self, parameters: TransposeArrayParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.word_layout)),
                "o": Out(stream.Signature(p.turned_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        side, last = self.parameters.side, self.parameters.side - 1
        counter = range(side + 1)
        across = Signal()  # ranks are columns and move right, else rows and move down
        held = Signal(side)  # rank r holds a word of either block
        entered, leaving = Signal(counter), Signal(counter)
        # leaving != 0 and entered == side: every register of the square waits for them.
        some, full = Signal(), Signal()
        move, enter, leave, turn = Signal(side), Signal(), Signal(), Signal()
        m.d.comb += [
            self.o.valid.eq(held[last] & some),
            self.o.p.last.eq(leaving == 1),
            leave.eq(self.o.valid & self.o.ready),
            # A rank takes what is behind it if it is empty, or if any rank ahead gives way.
            *(move[r].eq(leave | ~held[r:].all()) for r in range(side)),
            self.i.ready.eq(move[0] & ~full),
            enter.eq(self.i.valid & self.i.ready),
            turn.eq((full | (enter & (entered == last))) & (~some | (leave & self.o.p.last))),
        ]
        m.d.sync += [
            entered.eq(entered + enter),
            full.eq(full | (enter & (entered == last))),
            leaving.eq(leaving - leave),
            some.eq(some & ~(leave & self.o.p.last)),
        ]
        for r in range(side):
            with m.If(move[r]):
                m.d.sync += held[r].eq(held[r - 1] if r else enter)
        count = Signal.like(self.i.p.count)
        with m.If(enter):
            m.d.sync += count.eq(self.i.p.count)
        with m.If(turn):
            m.d.sync += [across.eq(~across), entered.eq(0), full.eq(0)]
        self._turn(m, turn, leaving, some, held, enter, count)
        self._cells(m, across, move)
        return m

    def _turn(self, m, turn, leaving, some, held, enter, count):
        """Let the block that is in leave, once the one before it is out."""
        side = self.parameters.side
        tag, wanted = Signal.like(self.i.p.tag), Signal.like(count)
        with m.If(enter):
            m.d.sync += tag.eq(self.i.p.tag)
            m.d.comb += wanted.eq(self.i.p.count)
        with m.Else():
            m.d.comb += wanted.eq(count)
        with m.If(turn):
            m.d.sync += [leaving.eq(wanted), some.eq(wanted != 0)]
            m.d.sync += [held[r].eq(r < wanted) for r in range(side)]
            m.d.sync += self.o.p.tag.eq(tag)
            with m.If(enter):
                m.d.sync += self.o.p.tag.eq(self.i.p.tag)

    def _cells(self, m, across, move):
        side, lanes = self.parameters.side, self.parameters.lanes
        cells = [
            [Signal(lanes, name=f"cell_{row}_{column}", reset_less=True) for column in range(side)]
            for row in range(side)
        ]
        for row in range(side):
            for column in range(side):
                above = cells[row - 1][column] if row else self.i.p.cells[column]
                left = cells[row][column - 1] if column else self.i.p.cells[row]
                with m.If(across):
                    with m.If(move[column]):
                        m.d.sync += cells[row][column].eq(left)
                with m.Elif(move[row]):
                    m.d.sync += cells[row][column].eq(above)
        for e in range(side):
            right, bottom = cells[side - 1 - e][side - 1], cells[side - 1][side - 1 - e]
            with m.If(across):
                m.d.comb += self.o.p.cells[e].eq(right)
            with m.Else():
                m.d.comb += self.o.p.cells[e].eq(bottom)
