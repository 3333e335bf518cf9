"""Views of the store's regions, and what travels between the parts of the store's device."""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from lamina.formats.cxl import LINE_ADDRESS_BITS
from lamina.formats.planes import BLOCK_BITS

__all__ = [
    "BLOCK_ROWS",
    "GRANULE_LINES_BITS",
    "PACKED_FORMS",
    "RUN_BLOCKS_BITS",
    "VIEW_INDEX_BITS",
    "ViewKind",
    "access_layout",
    "fetch_layout",
    "line_layout",
    "message_layout",
    "place_layout",
    "read_layout",
    "run_layout",
    "view_layout",
    "write_layout",
]

#: Rows that a block has in a plane buffer, whatever its format.
BLOCK_ROWS = 16

#: log2 of the most blocks that are fetched together: a plane of each, 4 KiB, is the longest burst.
RUN_BLOCKS_BITS = 6

#: log2 of the lines of the grain in which windows lie in the device's address space: 64 KiB.
GRANULE_LINES_BITS = 10

#: Bits of a view's index: at most 64 views.
VIEW_INDEX_BITS = 6


#: Forms of packed lines: log2 of the rows of a group, and k.
PACKED_FORMS = tuple(
    sorted(
        {
            *(((k - 1).bit_length(), k) for k in range(1, 17)),
            *((3, k) for k in range(1, 9)),
            *((4, k) for k in range(6, 17)),
        }
    )
)

#: Fields of a view that its reads take along, as `view_layout` has them.
_READING = {
    "keep": unsigned(5),
    "read": unsigned(5),
    "width": unsigned(5),
    "group": unsigned(3),
    "wide": unsigned(1),
    "bfloat": unsigned(1),
    "nearest": unsigned(1),
}


class ViewKind(enum.IntEnum, shape=unsigned(2)):
    """How the lines of a window hold the codes of a block."""

    FULL = 0
    CONTAINER = 1
    PACKED = 2
    PLANES = 3


def view_layout(beat_bits: int) -> data.StructLayout:
    """Return a view as the device uses it, made from its entry in the view table.

    ``blocks`` in its window. ``store``: beat in memory at which the region begins; ``row_shift``:
    log2 R. ``lines`` of a block, and log2 of that.
    ``planes`` N, ``keep`` k, ``read``: planes that a read fetches (k, or k + 1 to round).
    ``width``: row of plane 0 in the plane buffer, plus one; ``group``: log2 of its pattern's K.
    ``wide``: 16-bit codes; ``bfloat``: of those, BF16; ``nearest``: there is something to round.
    """
    return data.StructLayout(
        {
            "blocks": unsigned(BLOCK_BITS),
            "store": unsigned(beat_bits),
            "row_shift": unsigned(4),
            "lines": unsigned(5),
            "lines_shift": unsigned(3),
            "kind": ViewKind,
            "planes": unsigned(5),
            **_READING,
        }
    )


def message_layout() -> data.StructLayout:
    """Return a read or a write on its way through the decoders; ``line``: Address[51:6].

    ``internal``: the read of a line that a partial write needs. ``prefetch``: only its block is
    wanted, for reads to come. ``partial``: not all bytes.
    """
    return data.StructLayout(
        {
            "write": unsigned(1),
            "internal": unsigned(1),
            "prefetch": unsigned(1),
            "partial": unsigned(1),
            "poison": unsigned(1),
            "tag": unsigned(16),
            "ld_id": unsigned(4),
            "line": unsigned(LINE_ADDRESS_BITS),
        }
    )


def place_layout(view: data.StructLayout) -> data.StructLayout:
    """Return where a message goes: ``block`` and ``line`` of the view of number ``index``.

    ``mapped``: some window holds the address, if ``block`` is one of the view's. ``elsewhere``:
    ``block`` and ``index`` the other way round: registers of their own for those who compare them
    with all slots.
    """
    return data.StructLayout(
        {
            "message": message_layout(),
            "mapped": unsigned(1),
            "index": unsigned(VIEW_INDEX_BITS),
            "view": view,
            "block": unsigned(BLOCK_BITS),
            "line": unsigned(4),
            "elsewhere": unsigned(BLOCK_BITS + VIEW_INDEX_BITS),
        }
    )


def read_layout(slot_bits: int) -> data.StructLayout:
    """Return a read that waits for its block in slot ``slot``, or for nothing.

    ``unmapped``: answered by ones. ``blank``: a line beyond the view's k, answered by zeros.
    ``form``: of packed lines, which of `PACKED_FORMS`.
    """
    return data.StructLayout(
        {
            "tag": unsigned(16),
            "ld_id": unsigned(4),
            "internal": unsigned(1),
            "unmapped": unsigned(1),
            "blank": unsigned(1),
            "slot": unsigned(slot_bits),
            "line": unsigned(4),
            "kind": ViewKind,
            "form": range(len(PACKED_FORMS)),
            **_READING,
        }
    )


def fetch_layout(slot_bits: int, beat_bits: int) -> data.StructLayout:
    """Return an order to fetch ``count`` planes of a block, from beat ``address``, 2^``row_shift``
    beats apart, into rows ``top`` and below of slot ``slot``.
    """
    return data.StructLayout(
        {
            "slot": unsigned(slot_bits),
            "address": unsigned(beat_bits),
            "row_shift": unsigned(4),
            "count": unsigned(5),
            "top": unsigned(4),
            "group": unsigned(3),
        }
    )


def run_layout(slot_bits: int, beat_bits: int) -> data.StructLayout:
    """Return an order to fetch ``blocks`` + 1 blocks side by side, of which ``order`` is the first.

    Plane by plane: a beat of each block, then the next plane.
    """
    return data.StructLayout(
        {"order": fetch_layout(slot_bits, beat_bits), "blocks": unsigned(RUN_BLOCKS_BITS)}
    )


def access_layout(slot_bits: int) -> data.StructLayout:
    """Return what a plane buffer is asked for: row ``index`` of a slot, or group ``index``."""
    return data.StructLayout(
        {
            "slot": unsigned(slot_bits),
            "across": unsigned(1),  # a group, not a row
            "index": unsigned(4),
            "group": unsigned(3),
        }
    )


def write_layout(beat_bits: int) -> data.StructLayout:
    """Return a write that was placed; its data wait elsewhere. ``drop``: answered, not done.

    ``address``: beat of plane 0 of its block.
    """
    return data.StructLayout(
        {
            "message": message_layout(),
            "unmapped": unsigned(1),
            "drop": unsigned(1),
            "index": unsigned(VIEW_INDEX_BITS),
            "block": unsigned(BLOCK_BITS),
            "line": unsigned(4),
            "planes": unsigned(5),
            "wide": unsigned(1),
            "row_shift": unsigned(4),
            "address": unsigned(beat_bits),
        }
    )


def line_layout() -> data.StructLayout:
    """Return a line on its way out."""
    return data.StructLayout(
        {
            "tag": unsigned(16),
            "ld_id": unsigned(4),
            "internal": unsigned(1),
            "unmapped": unsigned(1),
            "poison": unsigned(1),
            "data": unsigned(512),
        }
    )
