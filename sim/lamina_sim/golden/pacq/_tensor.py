"""PacQ's tensor core, warp operation by warp operation: what it computes and what it accesses."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lamina_sim.golden import _check, ieee
from lamina_sim.golden._operands import Weights, check_weights
from lamina_sim.golden.pacq._words import WORD_BITS, check_bits

#: How weights are packed, and with that the loops of an operation.
FLOWS = ("packed_n", "packed_k", "fp16")

#: Columns that a DP-4 unit may retire a cycle.
TREES = (1, 2, 4, 8)

_TILE = 4
_OCTETS = 4
_UNITS = 2  # DP-4 units of an octet
_EXTENT = 16  # rows of A, and words of B either way, of an operation
_TILES = _EXTENT // 2 // _TILE  # of an octet, along m and along n
_UNIT_EXPONENT = -24


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What a tensor core does.

    ``register_file_a``, ``_b``: 4 x 4 tiles read from the register file, by all octets; ``_c``:
    4 x 4 elements written. ``buffer_a``: reads of four activations from an operand buffer;
    ``buffer_b``: reads of the weights that meet them, one for both units of an octet.
    ``issue_cycles``: cycles in which the multipliers of an octet work (all octets work at once).
    """

    register_file_a: int = 0
    register_file_b: int = 0
    register_file_c: int = 0
    buffer_a: int = 0
    buffer_b: int = 0
    issue_cycles: int = 0

    def __add__(self, other: "Counters") -> "Counters":
        pairs = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Counters(**pairs)

    @property
    def register_file(self) -> int:
        """Accesses of all operands."""
        return self.register_file_a + self.register_file_b + self.register_file_c


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A warp operation: C[row:, column:] += A[row:, start:stop] * B[start:stop, column:].

    ``group``: the scale group that all its k lie in. ``group_first``, ``group_last``: it is the
    first, the last operation of the group; ``begin``, ``end``: the group is the first, the last
    one. What of the operation's shape lies outside of the matrices or the group is zero.
    """

    row: int
    column: int
    start: int
    stop: int
    group: int
    group_first: bool
    group_last: bool
    begin: bool
    end: bool


@dataclass(frozen=True, kw_only=True)
class TileStep:
    """Four rows by four words of an octet, four k: what it fetches and how long it takes.

    ``rows``, ``columns``, ``depth``: slices of the octet's m, n and k. ``fetch_b``: the tile of B
    is fetched and not still there (one of A always is). ``words``: words, or halves of words, that
    each row meets one after another. ``cycles`` in which a DP-4 unit works on its two rows.
    """

    rows: slice
    columns: slice
    depth: slice
    fetch_b: bool
    words: int
    cycles: int


def operation_shape(flow: str, bits: int) -> tuple[int, int, int]:
    """(m, n, k) of a warp operation with weights of ``bits`` bits: 16 x 16 words of B.

    In the flow "fp16" a word is one weight, dequantized: (code - zero point) as FP16.
    """
    _check.choice("flow", flow, FLOWS)
    per_word = WORD_BITS // check_bits(bits)
    along_n = per_word if flow == "packed_n" else 1
    along_k = per_word if flow == "packed_k" else 1
    return _EXTENT, _EXTENT * along_n, _EXTENT * along_k


def tile_steps(flow: str, bits: int, trees: int) -> Iterator[TileStep]:
    """The steps of one octet's share of an operation: 8 rows by 8 words, 16 words along k.

    ``trees``: columns that a DP-4 unit retires a cycle; along k it is one column.

    packed_n (PacQ): n, m, k from the outside; every step fetches its tiles of A and B. packed_k
    (the hyper-asymmetric baseline): k, n, m; a tile of B meets 4 or 8 tiles of A for each m, and
    stays while m changes. fp16 (weights dequantized before): n, m, k, one column a cycle; the tiles
    of B stay while m changes.
    """
    _, n, k = operation_shape(flow, bits)
    per_word = WORD_BITS // bits
    columns = n // _EXTENT * _TILE  # of four words

    def step(m_tile: int, n_tile: int, k_step: int, fetch_b: bool, cycles: int) -> TileStep:
        return TileStep(
            rows=slice(m_tile * _TILE, (m_tile + 1) * _TILE),
            columns=slice(n_tile * columns, (n_tile + 1) * columns),
            depth=slice(k_step * _TILE, (k_step + 1) * _TILE),
            fetch_b=fetch_b,
            words=_TILE,
            cycles=_TILE // _UNITS * _TILE * cycles,
        )

    if flow != "packed_k":
        along_n = flow == "packed_n"
        beats = max(1, per_word // trees) if along_n else 1
        for n_tile in range(_TILES):
            for m_tile in range(_TILES):
                for k_step in range(k // _TILE):
                    yield step(m_tile, n_tile, k_step, along_n or m_tile == 0, beats)
        return
    for k_tile in range(_EXTENT // _TILE):
        for n_tile in range(_TILES):
            for m_tile in range(_TILES):
                for part in range(per_word):
                    first = m_tile == 0 and part == 0
                    yield step(m_tile, n_tile, k_tile * per_word + part, first, 1)


def operations(
    shape: tuple[int, int, int], flow: str, bits: int, scale_group: int
) -> Iterator[Operation]:
    """The warp operations of a product of ``shape`` (m, n, k), k innermost, then n, then m.

    An operation lies in one scale group: the last one of a group may have fewer k than it could.
    """
    m, n, k = shape
    rows, columns, depth = operation_shape(flow, bits)
    for row in range(0, m, rows):
        for column in range(0, n, columns):
            for group, low in enumerate(range(0, k, scale_group)):
                high = min(low + scale_group, k)
                for start in range(low, high, depth):
                    yield Operation(
                        row=row,
                        column=column,
                        start=start,
                        stop=min(start + depth, high),
                        group=group,
                        group_first=start == low,
                        group_last=start + depth >= high,
                        begin=low == 0,
                        end=high == k,
                    )


def count(flow: str, bits: int, trees: int, *, end: bool = True) -> Counters:
    """What one warp operation takes; only with ``end`` elements of C leave."""
    _check.choice("trees", trees, TREES)
    rows, columns, _ = operation_shape(flow, bits)
    steps = list(tile_steps(flow, bits, trees))
    met = sum(step.words * _TILE for step in steps)  # row by word, of all rows of a tile
    return Counters(
        register_file_a=_OCTETS * len(steps),
        register_file_b=_OCTETS * sum(step.fetch_b for step in steps),
        register_file_c=rows * columns // _TILE**2 if end else 0,
        buffer_a=_OCTETS * met,
        buffer_b=_OCTETS * met // _UNITS,
        issue_cycles=sum(step.cycles for step in steps),
    )


def tensor_core(
    x: Any,
    codes: Any,
    scales: Any,
    *,
    bits: int = 4,
    flow: str = "packed_n",
    trees: int = 2,
    zero_points: Any = None,
    scale_group: int = 128,
) -> tuple[np.ndarray, Counters]:
    """Runs a product through the tensor core: the result of ``gemm``, and what it took.

    Operands and errors as of ``gemm``; ``flow`` is one of ``FLOWS``, ``trees`` 1, 2, 4 or 8.
    Computes tile by tile in the order of the flow.
    """
    bits = check_bits(bits)
    _check.choice("flow", flow, FLOWS)
    _check.choice("trees", trees, TREES)
    x = _check.array("x", x, np.float16, 2)
    m, k = x.shape
    weights = check_weights(
        codes, scales, zero_points, k=k, bits=bits, scale_group=scale_group, multiple=4
    )
    n = weights.codes.shape[1]
    rows, columns, _ = operation_shape(flow, bits)
    result = np.zeros((m + -m % rows, n + -n % columns), np.float32)
    exact = np.zeros(result.shape, np.int64)
    special = np.zeros(result.shape)
    total = Counters()
    for operation in operations((m, n, k), flow, bits, weights.scale_group):
        place = np.s_[
            operation.row : operation.row + rows, operation.column : operation.column + columns
        ]
        if operation.group_first:
            exact[place], special[place] = 0, 0
        a, b = _operands(x, weights, operation, flow, bits)
        _multiply_tiles(a, b, exact[place], special[place], flow, bits)
        if operation.group_last:
            _finish(exact[place], special[place], result[place], weights, operation)
        total += count(flow, bits, trees, end=operation.group_last and operation.end)
    return ieee.canonical(result[:m, :n]), total


def _operands(
    x: np.ndarray, weights: Weights, operation: Operation, flow: str, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """A and B of an operation in float64, padded with zeros."""
    rows, columns, depth = operation_shape(flow, bits)
    a, b = np.zeros((rows, depth)), np.zeros((depth, columns))
    k = slice(operation.start, operation.stop)
    own = x[operation.row : operation.row + rows, k]
    a[: own.shape[0], : own.shape[1]] = own
    last = min(operation.column + columns, weights.codes.shape[1])
    integers = weights.integers(k.start, k.stop, slice(operation.column, last), np.float64)
    b[: integers.shape[0], : integers.shape[1]] = integers
    return a, b


def _multiply_tiles(
    a: np.ndarray, b: np.ndarray, exact: np.ndarray, special: np.ndarray, flow: str, bits: int
) -> None:
    """Adds A * B to ``exact``, in units of 2^-24, or where it is no number to ``special``."""
    finite = np.isfinite(a)
    units = np.ldexp(np.where(finite, a, 0), -_UNIT_EXPONENT).astype(np.int64)
    odd = np.where(finite, 0, a)
    rows, columns = (extent // 2 for extent in exact.shape)
    with np.errstate(invalid="ignore"):
        for octet in range(_OCTETS):
            corner = (octet // 2 * rows, octet % 2 * columns)
            for step in tile_steps(flow, bits, 1):
                r, c = (
                    slice(part.start + at, part.stop + at)
                    for part, at in zip((step.rows, step.columns), corner, strict=True)
                )
                exact[r, c] += units[r, step.depth] @ b[step.depth, c].astype(np.int64)
                if not finite[r, step.depth].all():
                    special[r, c] += odd[r, step.depth] @ b[step.depth, c]


def _finish(
    exact: np.ndarray,
    special: np.ndarray,
    result: np.ndarray,
    weights: Weights,
    operation: Operation,
) -> None:
    """Rounds, scales and accumulates the sums of a scale group."""
    scales = weights.scales[operation.group, operation.column :][: exact.shape[1]]
    padded = np.zeros(exact.shape[1], np.float32)
    padded[: len(scales)] = scales
    with np.errstate(all="ignore"):
        rounded = ieee.fp32_from_int(exact, _UNIT_EXPONENT)
        term = np.where(np.isfinite(special), rounded, special.astype(np.float32)) * padded
        result[:] = term + (np.float32(0) if operation.begin else result)
