"""Memory in which a block's planes lie so that its lines can be read, and the other way round."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.planes import BLOCK_CODES
from lamina.formats.views import BLOCK_ROWS, access_layout
from lamina.parameters import check_power_of_two
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = [
    "BANKS",
    "WORD_BITS",
    "PlaneBuffer",
    "PlaneBufferParameters",
    "buffer_members",
    "exchange",
    "turn_of",
]

BANKS = 16
WORD_BITS = BLOCK_CODES // BANKS


def turn_of(access: Value) -> Value:
    """Return the turn of a row or group: word w of it lies in bank w ^ turn."""
    return ((access.index << 4) >> access.group)[:4]


def exchange(m: Module, words: Value, turn: Value, bits=range(4)) -> Value:
    """Return 16 words of 32 bits, word w taken from place w ^ ``turn``, by ``bits`` of it only."""
    for bit in bits:
        step = 1 << bit
        swapped = Cat(words.word_select(w ^ step, WORD_BITS) for w in range(BANKS))
        # A signal: an expression of an expression would be written out again for each slice of it.
        turned = Signal(BLOCK_CODES, name=f"turned_{bit}")
        m.d.comb += turned.eq(Mux(turn[bit], swapped, words))
        words = turned
    return words


def buffer_members(slot_bits: int) -> dict:
    """Return the members of a buffer of blocks: writes, reads, and what was read a cycle later."""
    access = access_layout(slot_bits)
    return {
        "write_enable": In(1),
        "write": In(access),
        "write_data": In(BLOCK_CODES),
        "read_enable": In(1),
        "read": In(access),
        "read_data": Out(BLOCK_CODES),
    }


@dataclass(frozen=True, kw_only=True)
class PlaneBufferParameters:
    """``slots``: blocks held."""

    slots: int = 32

    def __post_init__(self):
        check_power_of_two("slots", self.slots, 2, 256)

    @property
    def slot_bits(self) -> int:
        """Bits of a slot's number."""
        return self.slots.bit_length() - 1

    @property
    def bank(self) -> BlockMemoryParameters:
        """Of one of the banks."""
        return BlockMemoryParameters(width=WORD_BITS, depth=BLOCK_ROWS * self.slots, apart=True)

    @property
    def latency(self) -> int:
        """Cycles from an access to its words."""
        return 1

    @property
    def throughput(self) -> str:
        """Accesses a cycle."""
        return "1 row or group written and 1 read per cycle"

    @property
    def storage_bits(self) -> int:
        """The banks."""
        return BANKS * self.bank.storage_bits


class PlaneBuffer(wiring.Component):
    """Holds blocks as rows of 512 bits, which are read and written along rows or across them.

    Row r is bit r of all codes of the block: word s of it is bit r of codes 32 s to 32 s + 31.
    Group g of a pattern of K = 2^``group`` rows is the g-th of K equal parts of the codes, in all K
    rows: word r * 16/K + t of the group is word g * 16/K + t of row r. So a group is a line of
    K-bit codes, but for the order of its bits.

    Members
    -------
    write_enable, write, write_data : In
        ``write``: `access_layout`. ``write_data``: a row's or a group's words, a cycle later; they
        can be read from three cycles after ``write`` on.
    read_enable, read : In
    read_data : Out
        The words one cycle later, in the order of the banks: `exchange` by `turn_of` the access
        puts them right. Kept while not enabled.

    Structure: word s of row r lies in bank s ^ (r * 16/K), so that the 16 words of a row and those
    of a group are in 16 different banks each. A block is written and read with the same K.
    """

    def __init__(self, parameters: PlaneBufferParameters):
        self.parameters = parameters
        super().__init__(buffer_members(parameters.slot_bits))

    def elaborate(self, platform):
        m = Module()
        # Data come a cycle late, and are put right in two.
        write = [Signal.like(self.write, name=f"write_{n}") for n in range(2)]
        turn = [Signal(4, name=f"turn_{n}") for n in range(2)]
        enable, half, placed = Signal(2), Signal(BLOCK_CODES), Signal(BLOCK_CODES)
        m.d.sync += [
            Cat(*write).eq(Cat(self.write, write[0])),
            Cat(*turn).eq(Cat(turn_of(self.write), turn[0])),
            enable.eq(Cat(self.write_enable, enable)),
            half.eq(exchange(m, self.write_data, turn[0], (2, 3))),
        ]
        m.d.comb += placed.eq(exchange(m, half, turn[1], (0, 1)))
        for bank in range(BANKS):
            m.submodules[f"bank_{bank}"] = memory = BlockMemory(self.parameters.bank)
            m.d.comb += [
                memory.write_enable.eq(enable[1]),
                memory.write_address.eq(self._address(write[1], bank)),
                memory.write_data.eq(placed.word_select(bank, WORD_BITS)),
                memory.read_enable.eq(self.read_enable),
                memory.read_address.eq(self._address(self.read, bank)),
                self.read_data.word_select(bank, WORD_BITS).eq(memory.read_data),
            ]
        return m

    def _address(self, access, bank):
        """Row of the slot that an access wants from ``bank``."""
        other = ((Const(bank, 4) << access.group) >> 4)[:4]
        row = Mux(access.across, access.index ^ other, access.index)
        return Cat(row, access.slot)
