"""How a line is made: which groups of its block, and where their codes go in it."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data

from lamina.formats.planes import BLOCK_CODES
from lamina.formats.views import BLOCK_ROWS, PACKED_FORMS, ViewKind
from lamina.store.plane_buffer import BANKS

__all__ = [
    "PACKED_TABLE_ROWS",
    "add_packed",
    "add_plan",
    "form_number",
    "packed_layout",
    "packed_plan",
    "packed_sources",
    "plan_layout",
]


#: Of the table of packed lines: a row for each line of each form, of blocks of either size.
PACKED_TABLE_ROWS = 2 * BANKS << (len(PACKED_FORMS) - 1).bit_length()


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


def packed_layout() -> data.StructLayout:
    """Return what a packed line's place in its block decides of its plan."""
    plan = plan_layout().members
    return data.StructLayout({n: plan[n] for n in ("first", "steps", "offset", "sources")})


def form_number(m: Module, group: Value, keep: Value) -> Value:
    """Return which of `PACKED_FORMS` a packed view of such groups and k has."""
    number = Signal(range(len(PACKED_FORMS)))
    with m.Switch(Cat(keep, group)):
        for n, (rows, planes) in enumerate(PACKED_FORMS):
            with m.Case(planes | rows << 5):
                m.d.comb += number.eq(n)
    return number


def add_packed(m: Module, read: Value, packed: Value) -> None:
    """Drive ``packed``, a view of `packed_layout`, from a view of `read_layout`."""
    # One table, so that an FPGA finds a ROM in it.
    with m.Switch(Cat(read.line, read.form, read.wide)):
        for wide in range(2):
            for number, (group, keep) in enumerate(PACKED_FORMS):
                for line in range(keep):
                    with m.Case(line | number << 4 | wide << 4 + len(read.form)):
                        first, steps, offset = packed_plan(group, keep, line)
                        m.d.comb += [
                            packed.first.eq(first),
                            packed.steps.eq(steps),
                            packed.offset.eq(offset),
                            packed.sources.eq(packed_sources(8 << wide, keep, line)),
                        ]


def add_plan(m: Module, read: Value, packed: Value, plan: Value) -> None:
    """Drive ``plan``, a view of `plan_layout`, from views of `read_layout`, `packed_layout`."""
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
            m.d.comb += [plan[name].eq(packed[name]) for name, _ in packed.shape()]
