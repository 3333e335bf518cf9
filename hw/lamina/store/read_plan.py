"""How a line is made: which groups of its block, and where their codes go in it."""

from amaranth.hdl import Cat, Module, Mux, Value, signed, unsigned
from amaranth.lib import data

from lamina.formats.planes import BLOCK_CODES
from lamina.formats.views import BLOCK_ROWS, ViewKind
from lamina.store.plane_buffer import BANKS

__all__ = [
    "add_form",
    "add_plan",
    "form_layout",
    "packed_plan",
    "packed_sources",
    "plan_layout",
]


def plan_layout() -> data.StructLayout:
    """Return the plan of a line.

    ``first``: its first group (or row), ``steps``: groups after that. ``words``: 32-bit words that
    the codes of a group give; those of the first group begin at word ``offset`` of the line, 0 or
    before. ``pairs``: two groups are of use at a time. ``direct``: a row as it is. ``sources``:
    lines of the full view whose codes are in it.
    """
    return data.StructLayout(
        {
            "first": unsigned(4),
            "steps": unsigned(4),
            "words": unsigned(5),
            "offset": signed(6),
            "pairs": unsigned(1),
            "direct": unsigned(1),
            "sources": unsigned(BLOCK_ROWS),
        }
    )


def packed_plan(group: int, keep: int, line: int) -> tuple[int, int, int]:
    """Return first group, further groups and offset of a packed line, K = 2^``group``."""
    words = (BANKS * keep) >> group
    first, last = BANKS * line // words, (BANKS * line + BANKS - 1) // words
    return first, last - first, first * words - BANKS * line


def packed_sources(lines: int, keep: int, line: int) -> int:
    """Return a mask of the ``lines`` lines of the full view that share codes with a packed line."""
    codes = BLOCK_CODES // lines
    first, last = BLOCK_CODES * line // keep, (BLOCK_CODES * (line + 1) - 1) // keep
    return sum(1 << n for n in range(first // codes, last // codes + 1))


def _pairs():
    """All pairs of ``group`` and k that packed views have."""
    exact = [((k - 1).bit_length(), k) for k in range(1, 17)]
    return sorted({*exact, *((3, k) for k in range(1, 9)), *((4, k) for k in range(6, 17))})


#: Bits of the number of a form: of ``group`` and k of a packed view.
_FORM_BITS = (len(_pairs()) - 1).bit_length()


def form_layout() -> data.StructLayout:
    """Return what is found out of a packed read before its plan.

    ``number`` of its ``group`` and k; ``sources`` as in the plan.
    """
    return data.StructLayout({"number": unsigned(_FORM_BITS), "sources": unsigned(BLOCK_ROWS)})


def add_form(m: Module, read: Value, form: Value) -> None:
    """Drive ``form``, a view of `form_layout`, from a view of `read_layout`."""
    with m.Switch(Cat(read.keep, read.group)):
        for number, (group, keep) in enumerate(_pairs()):
            with m.Case(keep | group << 5):
                m.d.comb += form.number.eq(number)
    with m.Switch(Cat(read.line, read.keep, read.wide)):
        for wide, keeps in ((0, range(1, 9)), (1, range(6, 17))):
            for keep in keeps:
                for line in range(keep):
                    with m.Case(line | keep << 4 | wide << 9):
                        m.d.comb += form.sources.eq(packed_sources(8 << wide, keep, line))


def add_plan(m: Module, read: Value, form: Value, plan: Value) -> None:
    """Drive ``plan``, a view of `plan_layout`, from a view of `read_layout` and its form."""
    everything = Mux(read.wide, 0xFFFF, 0x00FF)
    last_group = ((1 << read.group) - 1)[:4]
    m.d.comb += [plan.first.eq(read.line), plan.words.eq(BANKS), plan.sources.eq(everything)]
    with m.Switch(read.kind):
        with m.Case(ViewKind.FULL, ViewKind.CONTAINER):
            m.d.comb += plan.sources.eq(1 << read.line)
        with m.Case(ViewKind.PLANES):
            with m.If(read.nearest):
                m.d.comb += [
                    plan.first.eq(0),
                    plan.steps.eq(last_group),
                    plan.words.eq(Mux(read.wide, 1, 2)),
                ]
            with m.Else():
                m.d.comb += [plan.direct.eq(1), plan.first.eq(read.width - 1 - read.line)]
        with m.Case(ViewKind.PACKED):
            m.d.comb += plan.words.eq((read.keep << 4) >> read.group)
            # Codes that are rounded pass the one way that there is for it.
            m.d.comb += plan.pairs.eq(~read.nearest)
            _add_packed(m, read, form, plan)


def _add_packed(m, read, form, plan):
    m.d.comb += plan.sources.eq(form.sources)
    with m.Switch(Cat(read.line, form.number)):
        for number, (group, keep) in enumerate(_pairs()):
            for line in range(keep):
                with m.Case(line | number << 4):
                    first, steps, offset = packed_plan(group, keep, line)
                    m.d.comb += [
                        plan.first.eq(first),
                        plan.steps.eq(steps),
                        plan.offset.eq(offset),
                    ]
