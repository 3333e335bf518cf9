"""Which bits of a group go where in a line: wires only, one set for each form."""

from amaranth.hdl import Cat, Const, Module, Signal, Value

from lamina.formats.planes import BLOCK_CODES
from lamina.store.plane_buffer import BANKS, WORD_BITS

__all__ = ["WIRINGS", "wire", "wire_more", "wiring_index"]

#: (group, take, None): the top ``take`` bits of all codes, side by side; (group, 1, line): bit
#: ``line`` of all codes, counted from the top. K = 2^group. Groups of K < 8 come with k > K / 2.
WIRINGS = (
    *((group, take, None) for group, take in ((0, 1), (1, 2), (2, 3), (2, 4))),
    *((3, take, None) for take in range(1, 9)),
    *((4, take, None) for take in range(6, 17)),
    *((3, 1, line) for line in range(7)),
    *((4, 1, line) for line in range(15)),
)


#: (group, take) of packed views of which more than one group is of use at a time.
_PAIRED = tuple(((k - 1).bit_length(), k) for k in range(3, 16) if k not in (4, 8))


def _sources(group: int, take: int, line: int | None, containers: bool) -> list[int]:
    """Return the bits of the group that make the first bits of the line.

    A group is its words, each of one row, or ``containers``: K bits side by side.
    """
    side = 1 << group
    codes = BLOCK_CODES // side
    if line is None:
        wanted = [(i, side - take + bit) for i in range(codes) for bit in range(take)]
    else:
        wanted = [(i, side - 1 - line) for i in range(codes)]
    if containers:
        return [side * i + row for i, row in wanted]
    per_row = BANKS // side
    return [WORD_BITS * (row * per_row + i // WORD_BITS) + i % WORD_BITS for i, row in wanted]


def wiring_index(m: Module, piece: Value) -> Signal:
    """Return the number of the wiring that a piece needs."""
    index = Signal(range(len(WIRINGS)))
    with m.Switch(Cat(piece.take, piece.group, piece.gather, piece.line)):
        for number, (group, take, line) in enumerate(WIRINGS):
            low = f"{group:03b}"
            pattern = "----0" + low + f"{take:05b}" if line is None else f"{line:04b}1{low}-----"
            with m.Case(pattern):
                m.d.comb += index.eq(number)
    return index


def wire(m: Module, index: Value, words: Value, line: Value) -> None:
    """Drive ``line`` from the 512 bits of a group."""
    with m.Switch(index):
        for number, wiring in enumerate(WIRINGS):
            # Groups of K = 8 and 16 have become containers to be rounded.
            sources = _sources(*wiring, wiring[0] >= 3)
            with m.Case(number):
                rest = Const(0, BLOCK_CODES - len(sources))
                m.d.comb += line.eq(Cat(*(words[source] for source in sources), rest))


def wire_more(m: Module, piece: Value, words: Value, line: Value) -> None:
    """Drive ``line`` from the words of the second group of a pair."""
    with m.Switch(Cat(piece.take, piece.group)):
        for group, take in _PAIRED:
            sources = _sources(group, take, None, containers=False)
            with m.Case(take | group << 5):
                m.d.comb += line.eq(Cat(words[source] for source in sources))
