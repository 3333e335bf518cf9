"""Which bits of a group go where in a line: wires, and the choice among sets of them."""

from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from lamina.arith.rounding import keep
from lamina.formats.planes import BLOCK_CODES
from lamina.store.plane_buffer import BANKS, WORD_BITS

__all__ = ["WIDE", "form_of", "merged", "selected", "steered"]

#: (group, take): the top ``take`` bits of all codes, side by side; K = 2^group. Groups of K < 8
#: come with k > K / 2. Four to a choice, the longest first.
_CHOICES = (
    ((4, 16), (3, 8), (2, 4), (1, 2)),
    ((4, 15), (4, 14), (4, 13), (4, 12)),
    ((4, 11), (4, 10), (4, 9), (0, 1)),
    ((3, 7), (2, 3), (3, 6), (3, 5)),
    ((3, 4), (4, 8), (4, 7), (3, 3)),
    ((4, 6), (3, 2)),
)
_FORMS = tuple(form for choice in _CHOICES for form in choice)

#: What steers a thousand places with one bit: best copied. Whoever takes them takes any number.
WIDE = frozenset(
    f"{name}_{number}"
    for number in range(len(_CHOICES))
    for name in ("low", "high", "far")
    if number or name == "far"
) | {"ones"}

#: Rows of a float that can be set by rounding though they do not stay: they tell a NaN from Inf.
_QUIET_ROWS = (6, 9)


def form_of(piece: SimpleNamespace) -> dict[str, Value]:
    """Return which form a piece has as a one-hot; unless ``row``: it gives one row, as it lies."""
    match = [(piece.group == group) & (piece.take == take) for group, take in _FORMS]
    return {"form": Cat(match), "row": piece.gather | ((piece.group == 3) & (piece.take == 1))}


def steered(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Return what `selected` is steered by, from ``form`` and ``row``.

    Of each choice ``low``, ``high`` and ``far``: low takes the first form, high the second; far
    alone the third, all three the fourth. In the first choice by row, as rows that do not stay are
    left out of containers here; no other form takes such rows. ``picked``: the rows to be ORed.
    """
    steer = {}
    for number, choice in enumerate(_CHOICES):
        wanted = [x.form[4 * number + n] for n in range(len(choice))]
        first, second, third, fourth = wanted + [Const(0)] * (4 - len(wanted))
        if number == 0:
            floats = Cat(x.stays[row] | Const(row in _QUIET_ROWS) for row in range(16))
            first = (first & ~x.row).replicate(16) & floats
            second = (second & ~x.row).replicate(8) & x.stays[:8]
        steer[f"low_{number}"] = first | fourth.replicate(len(first))
        steer[f"high_{number}"] = second | fourth.replicate(len(second))
        steer[f"far_{number}"] = third | fourth
    line = Mux(x.gather, x.line, 0)
    picked = Signal(BANKS)
    with m.If(x.row):
        m.d.comb += picked.eq(Mux(x.wide, 0x8000 >> line, 0x8080 >> line[:3]))
    return steer | {"picked": picked}


def _source(form: tuple[int, int], place: int) -> tuple[int, int] | None:
    """Return which of two groups and which bit of it come to bit ``place``; None: neither.

    The first group is in the order in which codes are rounded, the second as it was read.
    """
    group, take = form
    side = 1 << group
    second, place = divmod(place, take * BLOCK_CODES // side)
    if second > (side // 2 < take < side):
        return None
    code, bit = divmod(place, take)
    row, (part, column) = side - take + bit, divmod(code, WORD_BITS)
    word = 8 * part + row if group == 3 and not second else row * (BANKS // side) + part
    return second, WORD_BITS * word + column


def selected(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Return what each choice gives of ``words`` and ``more``: zero if its forms are not wanted.

    Behind the bits of a form there is anything. ``row_low``, ``row_high``: the row that is picked,
    of codes in the first and the last words.
    """
    values = {f"choice_{n}": _chosen(x, n, choice) for n, choice in enumerate(_CHOICES)}
    for half, name in enumerate(("row_low", "row_high")):
        row = Const(0, WORD_BITS)
        for word in range(8 * half, 8 * half + 8):
            row = row | (x.words.word_select(word, WORD_BITS) & x.picked[word].replicate(WORD_BITS))
        values[name] = row
    return values | keep(x, "wide") | {"ones": x.unmapped}


def _places(steer: Value, places: int, wide: bool) -> list[Value]:
    """Return what steers each place: a copy among neighbours if ``wide``, else its row."""
    return [
        steer[place * len(steer) // places if wide else place % len(steer)]
        for place in range(places)
    ]


def _chosen(x, number, choice):
    """A multiplexer that can be off, of two LUTs a bit: the first gives one of two inputs, or
    chooses among the two of the second."""
    places = 2 * BLOCK_CODES
    low, high, far = (
        _places(getattr(x, name), places, name in WIDE)
        for name in (f"{steer}_{number}" for steer in ("low", "high", "far"))
    )
    bits = []
    for place in range(places):
        sources = [_source(form, place) for form in choice]
        if not any(sources):
            break
        first, second, third, fourth = (
            source and (x.more if source[0] else x.words)[source[1]]
            for source in sources + [None] * (4 - len(sources))
        )
        near = low[place], high[place]
        bit = near[0] & near[1]
        for steer, source in zip(near, (first, second), strict=True):
            bit = bit if source is None else bit | (steer & source)
        if third is not None or fourth is not None:
            third, fourth = third if fourth is None else fourth, fourth if third is None else third
            bit = Mux(far[place], Mux(bit, third, fourth), bit)
        bits.append(bit)
    return Cat(bits)


def merged(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Return the words of one or two groups from the first word of the line on, or ones."""
    first = x.row_low | (x.row_high & x.wide.replicate(WORD_BITS))
    codes = Cat(first, x.row_high) | Cat(_places(x.ones, BLOCK_CODES, wide=True))
    for number in range(len(_CHOICES)):
        codes = codes | getattr(x, f"choice_{number}")
    return {"codes": codes}
