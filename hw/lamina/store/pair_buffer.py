"""Memory in which a block's planes lie so that two groups of its codes can be read at once."""

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

__all__ = ["PairBuffer", "PairBufferParameters", "pair_carry", "pair_rows", "pair_turn"]

#: Rows that a bank has for each slot: each bank has half of the block's words.
_BANK_ROWS = 8


def pair_turn(access: Value, more: int) -> Value:
    """Return the turn of group ``index`` + ``more``: its word w comes from bank w ^ turn."""
    return (((access.index + Const(more, 1)) << 4) >> access.group)[:4]


def pair_rows(group: Value) -> Value:
    """Return of each set of sizes whether that of a group, 2^``group`` rows, is in it.

    Bit s - 1 is of the set in which 2^n is if bit n - 1 of s is set.
    """
    return Cat(
        Cat(group == n for n in range(1, 5) if which >> n - 1 & 1).any() for which in range(1, 16)
    )


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
    def latency(self) -> int:
        """Cycles from an access to its words."""
        return 2

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
    read_enable, read, read_rows, read_carry : In
        ``read_rows``: `pair_rows` of ``read.group``, 0 for a plain row, which ``read.across`` need
        not say; ``read_carry``: `pair_carry` of ``read.index``. Both best from registers.
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
        more |= {"read_rows": In(15), "read_carry": In(3)}
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
            # Bit j of bank << n >> 4 is bit j + 4 - n of the bank's number.
            sets = (
                sum(1 << n - 1 for n in range(j + 1, 5) if bank >> j + 4 - n & 1) for j in range(4)
            )
            row = Cat(self.read_rows[which - 1] if which else Const(0, 1) for which in sets)
            odd, second = row[0], Signal(name=f"second_{bank}")
            chosen = Signal(name=f"chosen_{bank}")
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
                # Block RAM is slow without the register behind it, which is its own in FPGAs.
                kept = Signal(WORD_BITS, name=f"kept_{side}_{bank}", reset_less=True)
                m.d.sync += kept.eq(memory.read_data)
                halves.append(kept)
            with m.If(self.read_enable):
                # The half in which the row, or that of the first group, is.
                m.d.sync += second.eq(read.index[0] ^ odd)
            m.d.sync += chosen.eq(second)
            m.d.comb += [
                self.read_data.word_select(bank, WORD_BITS).eq(Mux(chosen, halves[1], halves[0])),
                self.read_more.word_select(bank, WORD_BITS).eq(Mux(chosen, halves[0], halves[1])),
            ]
        return m
