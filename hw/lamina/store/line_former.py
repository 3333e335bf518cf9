"""Forms lines out of groups: containers, packed codes, planes of rounded codes."""

from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import delayed
from lamina.arith.rounding import keep
from lamina.copies import copies
from lamina.formats.planes import BLOCK_CODES
from lamina.formats.views import line_layout
from lamina.store.group_rounding import extended, judged, ordered, rounded, rows_of
from lamina.store.pack_wiring import WIDE, form_of, merged, selected
from lamina.store.plane_buffer import BANKS, WORD_BITS, exchange

__all__ = ["LineFormer", "piece_layout"]

#: Fields that make a line out of words; `_CODES` make words out of a group.
_LINE = ("first", "last", "offset", "tag", "ld_id", "internal", "unmapped", "poison")
_CODES = (
    "turn", "more_turn", "group", "width", "read", "keep", "take", "gather",
    "line", "bfloat", "nearest", "unmapped",
)  # fmt: skip


def piece_layout() -> data.StructLayout:
    """Return a group on its way into a line.

    ``words``, as ``more`` and ``poison``, come a cycle behind all else; as they lie in the banks,
    turned by ``turn``; the group has 2^``group`` rows, of
    which ``read``, from row ``width`` - 1 downwards, were fetched, and ``keep`` stay. ``take``:
    bits of each code that go into the line; ``gather``: instead, bit ``line``, counted from the
    top. They fill the line from word ``offset`` on, which may lie before it, as far as it goes; the
    ``last`` piece of a line fills it to its end, and the ``first`` one begins in it or before, or
    behind what the last piece before had no room for. ``more``, by ``more_turn``, is the group
    after it, whose top ``take`` bits come next, not rounded, if K / 2 < ``take`` < K = 2^``group``.
    ``take`` 0 without ``gather`` is a line of zeros, or of ones if ``unmapped``.
    """
    return data.StructLayout(
        {
            "words": unsigned(BLOCK_CODES),
            "more": unsigned(BLOCK_CODES),
            "turn": unsigned(4),
            "more_turn": unsigned(4),
            "group": unsigned(3),
            "width": unsigned(5),
            "read": unsigned(5),
            "keep": unsigned(5),
            "take": unsigned(5),
            "gather": unsigned(1),
            "line": unsigned(4),
            "bfloat": unsigned(1),
            "nearest": unsigned(1),
            "offset": signed(6),
            "first": unsigned(1),
            "last": unsigned(1),
            "tag": unsigned(16),
            "ld_id": unsigned(4),
            "internal": unsigned(1),
            "unmapped": unsigned(1),
            "poison": unsigned(1),
        }
    )


def _entered(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """See where the rows are that count, while the words are on their way."""
    return {
        "wide": x.group == 4,
        "eight": x.group == 3,
        "top": (x.width - 1)[:3],
        "unread": (x.width - x.read)[:4],
        "dropped": (x.width - x.keep)[:4],
        **keep(x, *(name for name in _CODES if name not in ("read", "keep"))),
    }


def _arrived(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Take the words where they come from: block RAM lies all over an FPGA."""
    return vars(x)


def _turned(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Put the words in their order, as far as a rank can: the longest step is left to the next."""
    return {
        "words": exchange(m, x.words, x.turn, range(3)),
        "more": exchange(m, x.more, x.more_turn, range(3)),
        "swap": x.turn[3],
        "more_swap": x.more_turn[3],
        "top": x.top ^ x.turn[3].shift_left(2),
        **rows_of(x),
        **form_of(x),
        **keep(x, "wide", "eight", "gather", "line", "bfloat", "unmapped"),
    }


#: Every rank does, in every cycle.
_MOVES = Const(1)
#: Registers for a bit that steers a thousand others.
_COPIES = 4

#: From a group to its codes, which begin in the first word; a rank each behind the first.
_STAGES = (_arrived, _turned, ordered, extended, judged, rounded, selected, merged)


class LineFormer(wiring.Component):
    """Ranks of registers: turn, round, pack, shift into place, collect.

    Members
    -------
    i : In(stream of piece_layout)
        Always ready.
    o : Out(stream of line_layout)
        A line with the last of its pieces: has always to be ready.

    Timing: a piece a cycle, ``LATENCY`` cycles to its line. Nothing stalls: a wire that did would
    have thousands of ends. Whoever sends the last piece of a line has booked a place for it.

    Numerics: `narrow` of `lamina_sim.golden.store`.
    """

    LATENCY = len(_STAGES) + 3

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(piece_layout())),
                "o": Out(stream.Signature(line_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        piece = self.i.p
        m.d.comb += self.i.ready.eq(1)
        described = _rank(m, _entered, {name: piece[name] for name in _CODES})
        values = described | {"words": piece.words, "more": piece.more}
        for stage in _STAGES:
            values = _rank(m, stage, values)
        early = {
            name: delayed(
                m, piece[name], _MOVES, len(_STAGES) - 1 - (name == "poison"), f"{name}_early"
            )
            for name in _LINE
        }
        reached = _reached(m, early["offset"])
        before = {
            name: delayed(m, value, _MOVES, 1, f"{name}_before") for name, value in early.items()
        }
        valid = delayed(m, self.i.valid, _MOVES, len(_STAGES), "valid", reset_less=False)
        self._collect(m, values["codes"], SimpleNamespace(**before), reached, valid)
        return m

    def _collect(self, m, codes, early, reached, valid):
        """Two ranks: rotate by 16, 8 and 4 words, then by 2 and 1 into the line and the next one.

        Words behind those of a piece are written too: what comes later writes over them. ``early``,
        ``reached`` and ``valid`` come with the piece a rank before ``codes``.
        """
        words = [codes.word_select(w, WORD_BITS) for w in range(2 * BANKS - 2)]
        words += words[BANKS - 2 : BANKS]  # no piece reaches as far
        offset = early.offset
        own = Cat(reached(w) for w in range(BANKS))
        leaves = Cat(valid & ~reached(w - (BANKS - 2)) for w in range(BANKS - 1))
        by = delayed(m, offset, _MOVES, 1, "offset")
        coarse, fine = Signal(2 * BLOCK_CODES, reset_less=True), Signal(2 * BLOCK_CODES)
        m.d.sync += coarse.eq(_rotated(m, Cat(words), by[2:5], 4))
        by, own, writes, leaves = (
            delayed(m, value, _MOVES, 2, name)
            for name, value in (
                ("fraction", offset[:2]),
                ("own", own),
                ("writes", valid.replicate(BANKS) & (own | early.first.replicate(BANKS))),
                ("leaves", leaves),
            )
        )
        m.d.comb += fine.eq(_rotated(m, coarse, by, 1))
        rest = Signal(BLOCK_CODES, reset_less=True)
        for w in range(BANKS):
            line, left = (x.word_select(w, WORD_BITS) for x in (self.o.p.data, rest))
            with m.If(writes[w]):
                m.d.sync += line.eq(Mux(own[w], fine.word_select(w, WORD_BITS), left))
            if w < len(leaves):
                with m.If(leaves[w]):
                    m.d.sync += left.eq(fine.word_select(BANKS + w, WORD_BITS))
        for name in ("tag", "ld_id", "internal", "unmapped", "poison"):
            m.d.comb += self.o.p[name].eq(delayed(m, getattr(early, name), _MOVES, 3, name))
        made = delayed(m, valid & early.last, _MOVES, 3, "made", reset_less=False)
        m.d.comb += self.o.valid.eq(made)


def _rank(m: Module, stage, values: dict) -> dict[str, Value]:
    """Return what a stage makes of ``values``, in registers: what is `WIDE` in copies."""
    ranked = {}
    for name, value in stage(m, SimpleNamespace(**values)).items():
        register, value = f"{stage.__name__}_{name}", Value.cast(value)
        if name in WIDE:
            ranked[name] = Cat(copies(m, register, [value], _MOVES, _COPIES))
        else:
            ranked[name] = delayed(m, value, _MOVES, 1, register)
    return ranked


def _reached(m: Module, offset: Value):
    """Return a function: whether ``offset`` of a rank before is at most its argument."""
    high, low, top = offset[2:].as_signed(), offset[:2], 1 << len(offset) - 3
    less, same = Signal(2 * top), Signal(2 * top)
    low_reached = Signal(4)
    m.d.sync += [
        less.eq(Cat(high < n for n in range(-top, top))),
        same.eq(Cat(high == n for n in range(-top, top))),
        low_reached.eq(Cat(*(low <= n for n in range(3)), 1)),
    ]

    def reached(word: int) -> Value:
        n = (word >> 2) + top
        return less[n] | (same[n] & low_reached[word & 3])

    return reached


def _rotated(m: Module, words: Value, offset: Value, step: int) -> Value:
    """Return words of a line and the next one, moved up by ``offset`` times ``step`` words."""
    for bit in reversed(range(len(offset))):
        moved = Signal(len(words), name=f"moved_{step << bit}")
        turned = words.rotate_left((step << bit) * WORD_BITS)
        m.d.comb += moved.eq(Mux(offset[bit], turned, words))
        words = moved
    return words
