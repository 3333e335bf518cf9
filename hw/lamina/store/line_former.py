"""Forms lines out of groups: containers, packed codes, planes of rounded codes."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.planes import BLOCK_CODES
from lamina.formats.views import line_layout
from lamina.store.pack_wiring import WIRINGS, wire, wire_more, wiring_index
from lamina.store.plane_buffer import BANKS, WORD_BITS, exchange
from lamina.store.rounding import round_float, round_integer

__all__ = ["LineFormer", "piece_layout"]


def piece_layout() -> data.StructLayout:
    """Return a group on its way into a line.

    ``words``: as they come from the banks, turned by ``turn``; the group has 2^``group`` rows, of
    which ``read``, from row ``width`` - 1 downwards, were fetched. ``take``: bits of each code that
    go into the line; ``gather``: instead, bit ``line``, counted from the top. They fill ``count``
    words from word ``offset`` on, as far as the line has them. ``first`` and ``last`` of the line;
    ``continued``: the line begins with what the line before had no room for. ``pair``: ``more``, by
    ``more_turn``, is the group after it, whose top ``take`` bits come next, not rounded.
    """
    return data.StructLayout(
        {
            "words": unsigned(BLOCK_CODES),
            "more": unsigned(BLOCK_CODES),
            "turn": unsigned(4),
            "more_turn": unsigned(4),
            "pair": unsigned(1),
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
            "count": unsigned(5),
            "first": unsigned(1),
            "continued": unsigned(1),
            "last": unsigned(1),
            "tag": unsigned(16),
            "ld_id": unsigned(4),
            "internal": unsigned(1),
            "poison": unsigned(1),
        }
    )


class LineFormer(wiring.Component):
    """Six ranks: turn, codes with their sign, round, pack, shift into place, collect.

    Members
    -------
    i : In(stream of piece_layout)
    o : Out(stream of line_layout)
        A line with the last of its pieces.

    Timing: a piece a cycle, ``LATENCY`` cycles to its line. All ranks move together.

    Numerics: `round_integer`, `round_float`.
    """

    LATENCY = 6

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(piece_layout())),
                "o": Out(stream.Signature(line_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(self.o.ready | ~self.o.valid), self.i.ready.eq(advance)]
        what = {
            name: field.shape for name, field in piece_layout() if name not in ("words", "more")
        }
        ranks = [Signal(data.StructLayout(what), name=f"rank_{n}") for n in range(1, 6)]
        entering = Cat(self.i.p[name] for name in what)
        valid = [Signal(name=f"valid_{n}") for n in range(1, 6)]
        words = [Signal(BLOCK_CODES, name=f"words_{n}", reset_less=True) for n in range(1, 6)]
        guard, top = Signal(16), Signal(8)
        mask, rest_mask = Signal(BANKS), Signal(BANKS)
        index, line = Signal(range(len(WIRINGS))), Signal(BLOCK_CODES)
        rest = Signal(BLOCK_CODES, reset_less=True)
        present = Signal(BANKS)
        mores = [Signal(BLOCK_CODES, name=f"more_{n}", reset_less=True) for n in range(1, 6)]
        more_mask, more_rest, more_line = Signal(BANKS), Signal(BANKS), Signal(BLOCK_CODES)
        more_offset = Signal(5)
        codes = self._codes(m, ranks[0], words[0], present)
        rounded = self._rounded(m, ranks[1], words[1], guard, top)
        placed = self._chosen(words[4], mask) | self._chosen(mores[4], more_mask)
        left = self._chosen(words[4], rest_mask) | self._chosen(mores[4], more_rest)
        begin = Mux(ranks[4].first, Mux(ranks[4].continued, rest, 0), line)
        packed = Signal(BLOCK_CODES)
        wire(m, index, words[2], packed)
        wire_more(m, ranks[0], mores[0], more_line)
        m.d.comb += more_offset.eq(ranks[3].offset + ranks[3].count)
        with m.If(advance):
            m.d.sync += [
                Cat(*ranks).eq(Cat(entering, *ranks[:-1])),
                Cat(*valid).eq(Cat(self.i.valid, *valid[:-1])),
                words[0].eq(exchange(m, self.i.p.words, self.i.p.turn)),
                mores[0].eq(exchange(m, self.i.p.more, self.i.p.more_turn)),
                Cat(*mores[1:4]).eq(Cat(more_line, *mores[1:3])),
                mores[4].eq(self._rotated(m, mores[3], more_offset)),
                present.eq(self._present(self.i.p)),
                words[1].eq(codes),
                guard.eq(Mux(ranks[0].nearest, 1 << (ranks[0].width - 1 - ranks[0].keep)[:4], 0)),
                top.eq(1 << (ranks[0].width - 1)[:3]),
                words[2].eq(rounded),
                index.eq(wiring_index(m, ranks[1])),
                words[3].eq(packed),
                words[4].eq(self._rotated(m, words[3], ranks[3].offset)),
                Cat(mask, rest_mask).eq(self._masks(ranks[3])),
                Cat(more_mask, more_rest).eq(self._more_masks(ranks[3], more_offset)),
                self.o.valid.eq(valid[4] & ranks[4].last),
                self.o.p.poison.eq(ranks[4].poison),
                *(self.o.p[name].eq(ranks[4][name]) for name in ("tag", "ld_id", "internal")),
            ]
            with m.If(valid[4]):
                m.d.sync += [line.eq(placed | begin), rest.eq(left)]
        m.d.comb += self.o.p.data.eq(line)
        return m

    def _present(self, piece):
        """Words that hold a row that was fetched; rows that were not are zero bits of the codes."""
        below = piece.width - piece.read
        rows = ((1 << piece.width) - 1)[:16] & ~((1 << below[:4]) - 1)[:16]
        doubled = Cat(rows[n // 2] for n in range(BANKS))
        return Mux(piece.group == 3, doubled, rows)

    def _codes(self, m, piece, words, present):
        """Groups of 8 and 16 rows as containers; integers with their sign above their own bits."""
        kept = [Signal(WORD_BITS, name=f"kept_{w}") for w in range(BANKS)]
        for w, word in enumerate(kept):
            m.d.comb += word.eq(words.word_select(w, WORD_BITS) & present[w].replicate(WORD_BITS))
        sign, above = Signal(64), Signal(8)
        m.d.comb += above.eq(~((1 << piece.width) - 1)[:8])
        with m.Switch(piece.width):
            for width in range(1, 9):
                with m.Case(width):
                    m.d.comb += sign.eq(Cat(kept[2 * width - 2], kept[2 * width - 1]))
        integers = Cat(
            Mux(above[b], sign[c], kept[2 * b + c // WORD_BITS][c % WORD_BITS])
            for c in range(64)
            for b in range(8)
        )
        floats = Cat(kept[b][code] for code in range(32) for b in range(16))
        return Mux(piece.group == 4, floats, Mux(piece.group == 3, integers, words))

    def _rounded(self, m, piece, codes, guard, top):
        integers = Cat(round_integer(m, codes.word_select(n, 8), guard[:8], top) for n in range(64))
        floats = Cat(
            round_float(m, codes.word_select(n, 16), guard, piece.bfloat) for n in range(32)
        )
        return Mux(piece.group == 4, floats, Mux(piece.group == 3, integers, codes))

    def _rotated(self, m, words, offset):
        """Words of the line, moved up by ``offset``, those that fall out coming in again."""
        for bit in range(4):
            step = 1 << bit
            moved = Cat(words.word_select((w - step) % BANKS, WORD_BITS) for w in range(BANKS))
            rotated = Signal(BLOCK_CODES)
            m.d.comb += rotated.eq(Mux(offset[bit], moved, words))
            words = rotated
        return words

    def _chosen(self, words, mask):
        return Cat(
            words.word_select(w, WORD_BITS) & mask[w].replicate(WORD_BITS) for w in range(BANKS)
        )

    def _masks(self, piece):
        """Words that this piece fills, from ``offset`` on, ``count`` of them.

        Those of the line, and above them those of the next one.
        """
        run = ((1 << piece.count) - 1)[:16]
        forward = (run << piece.offset[:4])[: 2 * BANKS]
        backward = (run >> (-piece.offset)[:4])[:16]
        return Mux(piece.offset[-1], backward, forward)

    def _more_masks(self, piece, offset):
        """The same of the second group of a pair, which begins within the line."""
        run = Mux(piece.pair, ((1 << piece.count) - 1)[:16], 0)
        return (run << offset[:4])[: 2 * BANKS]
