"""Payloads of the Anda engine: descriptors of GEMMs, activations, results, counters."""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from lamina.formats.anda import EXPONENT_BITS, GROUP, column_weights_layout

__all__ = [
    "GROUPS_BITS",
    "PLACE_BITS",
    "TAG_BITS",
    "Cause",
    "counters_layout",
    "done_layout",
    "gemm_layout",
    "job_layout",
    "output_job_layout",
    "plane_words_layout",
    "result_layout",
    "span_layout",
    "tile_layout",
    "turn_layout",
    "weights_beat_layout",
]

#: Bits of a row or column of a result, and of m and n.
PLACE_BITS = 24

#: Bits of k in groups of 64.
GROUPS_BITS = 16

TAG_BITS = 8


class Cause(enum.Enum, shape=4):
    """Why a GEMM was not done, or not right.

    DATA: beats of activations or weights came with ``error``. All was done, but the results are
    what came out of those and must not be used. With any other cause a GEMM takes no data and gives
    no results. SHAPE: m, n or groups is 0. MANTISSA: mantissa_bits is not 1 to 16. ROW_TURNS: it is
    not 1 to the engine's slots. MEMORY: groups * row_turns are more than the activation memory
    holds. QUEUE: the doorbell was rung with the queue full, and the descriptor is lost.
    """

    NONE = 0
    SHAPE = 1
    MANTISSA = 2
    ROW_TURNS = 3
    MEMORY = 4
    QUEUE = 5
    DATA = 6


def gemm_layout() -> data.StructLayout:
    """Return the descriptor of a GEMM: ``m`` x ``n`` results, k in ``groups`` of 64.

    ``mantissa_bits`` M of the activations. ``row_turns``: how many tiles of rows are worked on at a
    time with the same weights; the slots that are left take further tiles of columns. ``tag``:
    comes back with results and completion.
    """
    return data.StructLayout(
        {
            "m": unsigned(PLACE_BITS),
            "n": unsigned(PLACE_BITS),
            "groups": unsigned(GROUPS_BITS),
            "mantissa_bits": unsigned(5),
            "row_turns": unsigned(7),
            "tag": unsigned(TAG_BITS),
        }
    )


def job_layout() -> data.StructLayout:
    """Return a descriptor that was found right, and what follows from its M: ``beats`` of words
    that a group comes in, and ``cycles`` that it takes in the array.
    """
    return data.StructLayout({"gemm": gemm_layout(), "beats": unsigned(5), "cycles": unsigned(5)})


def plane_words_layout(rows: int, planes: int) -> data.StructLayout:
    """Return one beat of activations: ``words[r][p]`` of row r's group, in the order in which they
    are stored: signs, then the mantissa, most significant plane first; the last beat of a group is
    filled up with words of zeros. ``exponents`` belong to the group's first beat. ``error``:
    something in the beat could not be read.
    """
    words = data.ArrayLayout(data.ArrayLayout(unsigned(GROUP), planes), rows)
    exponents = data.ArrayLayout(unsigned(EXPONENT_BITS), rows)
    return data.StructLayout({"words": words, "exponents": exponents, "error": unsigned(1)})


def weights_beat_layout(columns: int, weight_bits: int) -> data.StructLayout:
    """Return one beat of weights: `column_weights_layout`, and ``error`` as of activations."""
    members = column_weights_layout(columns, weight_bits).members
    return data.StructLayout({**members, "error": unsigned(1)})


def turn_layout(address_bits: int) -> data.StructLayout:
    """Return what the array does next: multiply the groups whose rows of memory begin at
    ``address``, ``beats`` of them, in ``cycles``; or, if not ``real``, nothing, in as many.
    ``load``, ``begin``, ``end`` as in `array_words_layout`.
    """
    flags = {name: unsigned(1) for name in ("real", "load", "begin", "end")}
    counts = {name: unsigned(5) for name in ("beats", "cycles")}
    return data.StructLayout({"address": unsigned(address_bits), **counts, **flags})


def tile_layout(rows: int, columns: int) -> data.StructLayout:
    """Return where outputs of the array belong: ``row`` and ``column`` of the first of them, how
    many ``rows`` and ``columns`` there are, ``tag``, and whether it is the GEMM's ``last`` tile.
    """
    return data.StructLayout(
        {
            "row": unsigned(PLACE_BITS),
            "column": unsigned(PLACE_BITS),
            "rows": range(rows + 1),
            "columns": range(columns + 1),
            "tag": unsigned(TAG_BITS),
            "last": unsigned(1),
        }
    )


def result_layout(units: int, columns: int) -> data.StructLayout:
    """Return FP32 results: ``values[u][c]`` is of row ``row`` + u and column ``column`` + c.

    ``keep[u][c]``: it is a result; others lie beyond m or n. ``tag`` of the GEMM. ``last``: no
    results of this GEMM follow; such a beat may hold none itself.
    """
    return data.StructLayout(
        {
            "values": data.ArrayLayout(data.ArrayLayout(unsigned(32), columns), units),
            "keep": data.ArrayLayout(data.ArrayLayout(unsigned(1), columns), units),
            "row": unsigned(PLACE_BITS),
            "column": unsigned(PLACE_BITS),
            "tag": unsigned(TAG_BITS),
            "last": unsigned(1),
        }
    )


def output_job_layout() -> data.StructLayout:
    """Return what to do with the results of a GEMM, which has ``m``, ``n`` and ``row_turns``:
    encode them with ``mantissa_bits``, 1 to 16, and ``rounding``, 0 to truncate, 1 to nearest.
    """
    fields = gemm_layout().members
    names = ("m", "n", "row_turns", "mantissa_bits")
    return data.StructLayout({**{name: fields[name] for name in names}, "rounding": unsigned(1)})


def span_layout(rows: int, columns: int) -> data.StructLayout:
    """Return results that wait to be encoded: of up to so many ``rows`` and ``columns``; and M and
    rounding, as in `output_job_layout`.
    """
    return data.StructLayout(
        {
            "rows": range(rows + 1),
            "columns": range(columns + 1),
            "mantissa_bits": unsigned(5),
            "rounding": unsigned(1),
        }
    )


def done_layout() -> data.StructLayout:
    """Return the completion of a GEMM, after its last result: ``tag`` and ``cause``."""
    return data.StructLayout({"tag": unsigned(TAG_BITS), "cause": Cause})


def counters_layout() -> data.StructLayout:
    """Return what was counted since reset or clearing; 32 bits each, which wrap.

    ``cycles``: a GEMM is under way, from the cycle after its descriptor was taken to that in which
    its completion is. ``group_turns``: groups that the array multiplied, all rows' at a time;
    ``idle_turns``: turns in which it had none. ``activation_beats``, ``weight_beats``,
    ``result_beats``: transfers. ``stall_activations``: cycles in which the array's next group was
    not there yet; ``stall_weights``: in which words waited for weights; ``stall_results``: in which
    results waited to be taken.
    """
    names = ["cycles", "group_turns", "idle_turns"]
    names += ["activation_beats", "weight_beats", "result_beats"]
    names += ["stall_activations", "stall_weights", "stall_results"]
    return data.StructLayout({name: unsigned(32) for name in names})
