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

__all__ = ["PairBuffer", "PairBufferParameters", "pair_turn"]

#: Rows that a bank has for each slot: each bank has half of the block's words.
_BANK_ROWS = 8


def pair_turn(access: Value, more: int) -> Value:
    """Return the turn of group ``index`` + ``more``: its word w comes from bank w ^ turn."""
    return (((access.index + Const(more, 1)) << 4) >> access.group)[:4]


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
    read_enable, read, read_pattern : In
        ``read_pattern``: bit n is set if a group of 2^(n + 1) rows is read, best from a register.
    read_data, read_more : Out
        A plain row, or group ``index``, and group ``index`` + 1, one cycle later. A group's words
        come in the order of the banks: `exchange` by `pair_turn` puts them right. Kept while not
        enabled.

    Structure: word w of a row r, in binary digits, is [n | t]: n is the number of its group, t its
    place there. It lies in bank [r ^ n | t] of half r[0], so that the words of a row, and those of
    a group, are in different banks each. Where two neighbouring groups share a bank, their rows
    there are one odd, one even, as n and n + 1 are: so they lie in different halves.
    """

    def __init__(self, parameters: PairBufferParameters):
        self.parameters = parameters
        more = {"write_turn": In(4), "read_pattern": In(4), "read_more": Out(BLOCK_CODES)}
        super().__init__(buffer_members(parameters.slot_bits) | more)

    def elaborate(self, platform):
        m = Module()
        write, read = self.write, self.read
        placed = Signal(BLOCK_CODES)
        m.d.comb += placed.eq(exchange(m, self.write_data, self.write_turn))
        # Rows of the first group and of the second differ by this, where the first is odd.
        index, carry = read.index[1:], Signal(3)
        m.d.comb += carry.eq(Mux(read.index[0], index ^ (index + 1), 0))
        for bank in range(BANKS):
            # Kept: the sixteen are found side by side, not one from the other.
            row = Signal(4, name=f"row_{bank}", attrs={"keep": 1})
            odd, second = Signal(), Signal(name=f"second_{bank}")
            for n, pattern in enumerate(self.read_pattern):
                with m.If(pattern):
                    m.d.comb += row.eq(bank << (n + 1) >> 4)
            m.d.comb += odd.eq(row[0])
            halves = []
            for half in range(2):
                name = f"bank_{half}_{bank}"
                m.submodules[name] = memory = BlockMemory(self.parameters.bank)
                later = carry & (read.across & (odd == half)).replicate(3)
                m.d.comb += [
                    memory.write_enable.eq(self.write_enable & (write.index[0] == half)),
                    memory.write_address.eq(Cat(write.index[1:], write.slot)),
                    memory.write_data.eq(placed.word_select(bank, WORD_BITS)),
                    memory.read_enable.eq(self.read_enable),
                    memory.read_address.eq(Cat(index ^ row[1:] ^ later, read.slot)),
                ]
                halves.append(memory.read_data)
            with m.If(self.read_enable):
                # The half in which the row, or that of the first group, is.
                m.d.sync += second.eq(read.index[0] ^ odd)
            first = self.read_data.word_select(bank, WORD_BITS)
            other = self.read_more.word_select(bank, WORD_BITS)
            m.d.comb += [
                first.eq(Mux(second, halves[1], halves[0])),
                other.eq(Mux(second, halves[0], halves[1])),
            ]
        return m
