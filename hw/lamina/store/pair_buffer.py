"""Memory in which a block's planes lie so that two groups of its codes can be read at once."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from lamina.formats.planes import BLOCK_CODES
from lamina.store.plane_buffer import (
    BANKS,
    WORD_BITS,
    PlaneBufferParameters,
    buffer_members,
    exchange,
    turn_of,
)
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["PairBuffer", "PairBufferParameters", "pair_turn"]

#: Rows that a bank has for each slot: each bank has half of the block's words.
_BANK_ROWS = 8


def pair_turn(access: Value, more: int) -> Value:
    """Return the turn of group ``index`` + ``more``: its word w lies in bank w ^ turn of a half."""
    return (((access.index + Const(more, 1)) >> 1 << 4) >> access.group)[:4]


class PairBufferParameters(PlaneBufferParameters):
    """``slots``: blocks held."""

    @property
    def bank(self) -> BlockMemoryParameters:
        """Of one of the banks."""
        return BlockMemoryParameters(width=WORD_BITS, depth=_BANK_ROWS * self.slots)

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
    after it, each from one of two halves of the banks; plain rows (``group`` 0) are kept whole.

    Members
    -------
    write_enable, write, write_data : In
        ``write``: `access_layout` of a row.
    read_enable, read : In
    read_data, read_more : Out
        A plain row, or group ``index``, and group ``index`` + 1, one cycle later. A group's words
        come in the order of the banks: `exchange` by `pair_turn` puts them right. Kept while not
        enabled.

    Structure: word w of a row r, in binary digits, is [i | j | t]: i and j are the number of its
    group, t its place there. It lies in half j, bank [r ^ i | t], so that the words of a row, and
    those of a group, are in different banks each, and neighbouring groups in different halves.
    """

    def __init__(self, parameters: PairBufferParameters):
        self.parameters = parameters
        more = {"read_more": Out(BLOCK_CODES)}
        super().__init__(buffer_members(parameters.slot_bits) | more)

    def elaborate(self, platform):
        m = Module()
        write, read = self.write, self.read
        plain, second, turn = Signal(), Signal(), Signal(4)
        halves = [Signal(BLOCK_CODES, name=f"half_{n}") for n in range(2)]
        m.d.comb += [plain.eq(write.group == 0), turn.eq(turn_of(write))]
        with m.If(self.read_enable):
            # The half in which the row, or the first of the groups, is.
            m.d.sync += second.eq(Mux(read.across, read.index[0], read.index[3]))
        for half in range(2):
            placed = Signal(BLOCK_CODES, name=f"placed_{half}")
            m.d.comb += placed.eq(exchange(m, self._words(m, half), turn))
            later = Signal(4, name=f"group_of_{half}")
            m.d.comb += later.eq((read.index + (read.index[0] != half)) >> 1)
            for bank in range(BANKS):
                name = f"bank_{half}_{bank}"
                m.submodules[name] = memory = BlockMemory(self.parameters.bank)
                here = Mux(plain, write.index[3] == half, turn[3] == bank >> 3)
                row = ((Const(bank, 4) << read.group) >> 4)[:4] ^ later
                m.d.comb += [
                    memory.write_enable.eq(self.write_enable & here),
                    memory.write_address.eq(Cat(write.index[:3], write.slot)),
                    memory.write_data.eq(placed.word_select(bank, WORD_BITS)),
                    memory.read_enable.eq(self.read_enable),
                    memory.read_address.eq(Cat(Mux(read.across, row, read.index)[:3], read.slot)),
                    halves[half].word_select(bank, WORD_BITS).eq(memory.read_data),
                ]
        m.d.comb += [
            self.read_data.eq(Mux(second, halves[1], halves[0])),
            self.read_more.eq(Mux(second, halves[0], halves[1])),
        ]
        return m

    def _words(self, m, half):
        """Words of the row that is written which belong in a half, each where turn 0 puts it."""
        words = Signal(BLOCK_CODES, name=f"words_{half}")
        with m.Switch(self.write.group):
            for group in range(5):
                places = 4 - group
                with m.Case(group):
                    for p in range(BANKS):
                        t, i = p & ((1 << places) - 1), (p >> places) & ((1 << group >> 1) - 1)
                        word = t | half << places | i << places + 1 if group else p
                        m.d.comb += words.word_select(p, WORD_BITS).eq(
                            self.write_data.word_select(word, WORD_BITS)
                        )
        return words
