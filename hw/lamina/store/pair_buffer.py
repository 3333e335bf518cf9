"""Memory in which a block's planes lie so that two groups of its codes can be read at once."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.planes import BLOCK_CODES
from lamina.store.plane_buffer import (
    BANKS,
    WORD_BITS,
    PlaneBufferParameters,
    buffer_members,
    exchange,
)
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["PairBuffer", "PairBufferParameters", "pair_carry", "pair_turn"]

#: Rows that a bank has for each slot: each bank has half of the block's words.
_BANK_ROWS = 8


def pair_turn(access: Value, more: int) -> Value:
    """Return the turn of group ``index`` + ``more``: its word w comes from bank w ^ turn."""
    return (((access.index + Const(more, 1)) << 4) >> access.group)[:4]


def pair_carry(index: Value) -> Value:
    """Return in which bits the rows' numbers of group ``index`` and of that after it differ, but
    for the lowest.
    """
    row = index[1:4]
    return Mux(index[0], row ^ (row + 1)[:3], 0)


class PairBufferParameters(PlaneBufferParameters):
    """``slots``: blocks held."""

    @property
    def bank(self) -> BlockMemoryParameters:
        """Of one of the banks."""
        # A row is read when it has come, or nothing is made of it.
        return BlockMemoryParameters(width=WORD_BITS, depth=_BANK_ROWS * self.slots, apart=True)

    @property
    def throughput(self) -> str:
        """Accesses a cycle."""
        return "1 row written and 1 row or 2 groups read per cycle"

    @property
    def storage_bits(self) -> int:
        """The banks."""
        return 2 * BANKS * self.bank.storage_bits


class PairBuffer(wiring.Component):
    """Holds blocks as rows of 512 bits, which are written as they are, and read so or across.

    Rows and groups are those of `PlaneBuffer`. Groups are read in pairs, ``index`` and the one
    after it; a row lies in one of two halves of the banks, the odd ones in the second.

    Members
    -------
    write_enable, write, write_turn, write_data : In
        ``write``: `access_layout` of a row, ``write_turn``: `turn_of` it, best from a register.
    read_enable, read, read_pattern, read_carry : In
        ``read_pattern``: bit n is set if a group of 2^(n + 1) rows is read; ``read_carry``:
        `pair_carry` of ``read.index``. Both best from registers.
    read_data, read_more : Out
        A plain row, or group ``index``, and group ``index`` + 1, two cycles later, for a cycle. A
        group's words come in the order of the banks: `exchange` by `pair_turn` puts them right.

    Timing: what is written can be read in the second cycle after.

    Structure: word w of a row r, in binary digits, is [n | t]: n is the number of its group, t its
    place there. It lies in bank [r ^ n | t] of half r[0], so that the words of a row, and those of
    a group, are in different banks each. Where two neighbouring groups share a bank, their rows
    there are one odd, one even, as n and n + 1 are: so they lie in different halves.
    """

    def __init__(self, parameters: PairBufferParameters):
        self.parameters = parameters
        more = {"write_turn": In(4), "read_more": Out(BLOCK_CODES)}
        more |= {"read_pattern": In(4), "read_carry": In(3)}
        super().__init__(buffer_members(parameters.slot_bits) | more)

    def elaborate(self, platform):
        m = Module()
        read = self.read
        # The words of a row are far from each other, as the banks are: half of the way each cycle.
        half, rest = Signal(BLOCK_CODES, reset_less=True), Signal(4, reset_less=True)
        placed, enable, write = Signal(BLOCK_CODES), Signal(), Signal.like(self.write)
        m.d.sync += [
            half.eq(exchange(m, self.write_data, self.write_turn, range(2))),
            rest.eq(self.write_turn),
            enable.eq(self.write_enable),
            write.eq(self.write),
        ]
        m.d.comb += placed.eq(exchange(m, half, rest, range(2, 4)))
        index = read.index[1:]
        for bank in range(BANKS):
            # Kept: the sixteen are found side by side, not one from the other.
            row = Signal(4, name=f"row_{bank}", attrs={"keep": 1})
            odd, second = Signal(), Signal(name=f"second_{bank}")
            rows = (Mux(on, bank << (n + 1) >> 4, 0) for n, on in enumerate(self.read_pattern))
            m.d.comb += [row.eq(reduce(or_, rows)), odd.eq(row[0])]
            halves = []
            for side in range(2):
                name = f"bank_{side}_{bank}"
                m.submodules[name] = memory = BlockMemory(self.parameters.bank)
                # Of a plain row, the half of which this is not so is taken.
                later = self.read_carry & (odd == side).replicate(3)
                m.d.comb += [
                    memory.write_enable.eq(enable & (write.index[0] == side)),
                    memory.write_address.eq(Cat(write.index[1:], write.slot)),
                    memory.write_data.eq(placed.word_select(bank, WORD_BITS)),
                    memory.read_enable.eq(self.read_enable),
                    memory.read_address.eq(Cat(index ^ row[1:] ^ later, read.slot)),
                ]
                halves.append(memory.read_data)
            with m.If(self.read_enable):
                # The half in which the row, or that of the first group, is.
                m.d.sync += second.eq(read.index[0] ^ odd)
            # Block RAM is slow: there is a register behind it.
            first, other = (
                Signal(WORD_BITS, name=f"{name}_{bank}", reset_less=True)
                for name in ("first", "other")
            )
            m.d.sync += [
                first.eq(Mux(second, halves[1], halves[0])),
                other.eq(Mux(second, halves[0], halves[1])),
            ]
            m.d.comb += [
                self.read_data.word_select(bank, WORD_BITS).eq(first),
                self.read_more.word_select(bank, WORD_BITS).eq(other),
            ]
        return m
