"""Rounds a group row by row: its codes lie across its words, a bit in each."""

from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from lamina.arith.rounding import keep
from lamina.store.pack_wiring import steered
from lamina.store.plane_buffer import BANKS, WORD_BITS

__all__ = ["extended", "judged", "ordered", "rounded", "rows_of"]

#: What the ranks behind are steered by.
_PACKING = ("form", "row", "gather", "line", "more", "wide", "stays", "unmapped")


def rows_of(x: SimpleNamespace) -> dict[str, Value]:
    """Return which words hold which rows of codes that are rounded, in the order of `ordered`.

    Rows ``filled`` were not read, and are filled; those ``above`` an integer, by its row, are its
    sign's; to ``tops`` its largest code gives nothing to see; other rows than ``stays`` go away.
    """
    rows = [Mux(x.wide, w, w % 8) for w in range(BANKS)]
    return {
        "filled": Cat((x.wide | x.eight) & (row < x.unread) for row in rows),
        "above": Cat(x.eight & (row >= x.width) for row in range(8)),
        "tops": Cat(x.eight & (row + 1 >= x.width) for row in range(7)),
        "stays": Cat(row >= x.dropped for row in rows),
        "floats": x.nearest & x.wide,
        "integers": x.nearest & x.eight,
    }


def ordered(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Put a group of 8 rows in the order of one of 16: row r of codes 32 t up is word 8 t + r.

    The halves are swapped first. ``sign``: row ``top`` of a group of 8, before that.
    """
    swapped, more = Signal(len(x.words)), Signal(len(x.more))
    m.d.comb += [
        swapped.eq(Mux(x.swap, x.words.rotate_left(len(x.words) // 2), x.words)),
        more.eq(Mux(x.more_swap, x.more.rotate_left(len(x.more) // 2), x.more)),
    ]
    word = [x.words.word_select(w, WORD_BITS) for w in range(BANKS)]
    order = [2 * (w % 8) + w // 8 for w in range(BANKS)]
    columns = Cat(swapped.word_select(w, WORD_BITS) for w in order)
    signs = [Cat(word[2 * row], word[2 * row + 1]) for row in range(8)]
    for bit in x.top:  # halves what is left of them
        signs = [Mux(bit, odd, even) for even, odd in zip(signs[::2], signs[1::2], strict=True)]
    passed = ("filled", "above", "tops", "floats", "integers", "eight", "bfloat", *_PACKING)
    return {
        **keep(x, *passed),
        "words": Mux(x.eight, columns, swapped),
        "sign": signs[0],
        "more": more,
    }


def extended(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Fill rows that were not read with ones, through which a carry passes, and those above."""
    words = []
    for w in range(BANKS):
        word, sign = x.words.word_select(w, WORD_BITS), x.sign.word_select(w // 8, WORD_BITS)
        word = word | x.filled[w].replicate(WORD_BITS)
        words.append(Mux(x.above[w % 8], sign, word))
    return {
        "words": Cat(words),
        **keep(x, "tops", "floats", "integers", "eight", "bfloat", *_PACKING),
    }


def judged(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """See which codes are rounded up by what lies below: ``up``, of the first and the last 8 words.

    Not those that would pass the largest one, nor Inf and NaN. ``joined``: the carry passes from
    the first 8 to the last 8. ``quiet``: a NaN that only the guard bit tells from Inf.
    """
    ups, quiet = [Signal(WORD_BITS), Signal(WORD_BITS)], Signal(WORD_BITS)
    for column in range(WORD_BITS):
        bit = [x.words[WORD_BITS * w + column] for w in range(BANKS)]
        full = [
            Cat(bit[8 * half + row] | x.tops[row] for row in range(7)).all() for half in range(2)
        ]
        # Above the guard bit zeros, from there on ones.
        hidden = [bit[row] ^ x.stays[row] for row in range(10)]
        exponent = Cat(bit[11:15]).all()
        infinity, largest = Signal(), Signal()
        with m.If(x.bfloat):
            m.d.comb += [
                infinity.eq(exponent & Cat(bit[7:11]).all()),
                largest.eq(exponent & Cat(bit[8:11]).all() & full[0]),
                quiet[column].eq(x.floats & infinity & Cat(hidden[:7]).all()),
            ]
        with m.Else():
            m.d.comb += [
                infinity.eq(exponent & bit[10]),
                largest.eq(exponent & Cat(bit[7:10]).all() & full[0]),
                quiet[column].eq(x.floats & infinity & Cat(hidden).all()),
            ]
        m.d.comb += [
            ups[0][column].eq(
                (x.floats & ~(infinity | largest)) | (x.integers & ~(full[0] & ~bit[7]))
            ),
            ups[1][column].eq(x.integers & ~(full[1] & ~bit[15])),
        ]
    wide_exponent = x.bfloat.replicate(WORD_BITS)
    return {
        "up_low": ups[0],
        "up_high": ups[1],
        "quiet": Cat(quiet & ~wide_exponent, quiet & wide_exponent),
        **keep(x, "words", "eight", *_PACKING),
    }


def rounded(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Add: one chain of carries for a code of 16 rows, or two codes of 8.

    Rows that do not stay are anything, but for those in which a NaN is told from Inf.
    """
    sums = []
    for column in range(WORD_BITS):
        bits = Cat(x.words[WORD_BITS * w + column] for w in range(8))
        more = Cat(x.words[WORD_BITS * w + column] for w in range(8, BANKS))
        # A bit in the middle passes the carry on, or makes its own.
        apart = x.up_high[column]
        total = Signal(17)
        m.d.comb += total.eq(
            Cat(bits, ~x.eight | apart, more) + Cat(x.up_low[column], Const(0, 7), x.eight & apart)
        )
        sums.append(Cat(total[:8], total[9:]))
    words = []
    for w in range(BANKS):
        word = Cat(code[w] for code in sums)
        if w in (6, 9):
            word = (word & x.stays[w].replicate(WORD_BITS)) | x.quiet.word_select(w == 6, WORD_BITS)
        words.append(word)
    return {"words": Cat(words), **keep(x, "more", "wide", "unmapped"), **steered(m, x)}
