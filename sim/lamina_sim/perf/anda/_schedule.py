"""The loops of the Anda engine over a GEMM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What of an engine its schedule and its cycles depend on.

    ``rows`` x ``columns`` of the array, ``block_columns`` of a beat of weights, ``planes`` a cycle,
    ``sharing`` (fewest cycles of a group), ``slots`` (turns of a round), ``weight_bits`` of a code,
    ``depth`` of the plane memory, and ``latency`` of the array in cycles: as the parameters of the
    hardware of these names.
    """

    rows: int
    columns: int
    block_columns: int
    planes: int
    sharing: int
    slots: int
    weight_bits: int
    depth: int
    latency: int

    @property
    def blocks(self) -> int:
        """Beats of weights of a tile of columns and group."""
        return self.columns // self.block_columns

    @property
    def room(self) -> int:
        """Beats of results of a block that wait for their turn before the array stops."""
        return max(self.slots * self.sharing, self.blocks)

    @property
    def units(self) -> int:
        """Rows of a beat of results."""
        return -(-self.rows // self.sharing)

    @property
    def steps(self) -> int:
        """Beats of results of a block."""
        return -(-self.rows // self.units)

    def beats(self, mantissa_bits: int) -> int:
        """Beats of activations of a group; rows of the plane memory that it takes."""
        return -(-(mantissa_bits + 1) // self.planes)

    def cycles(self, mantissa_bits: int) -> int:
        """Cycles of a group in the array."""
        return max(self.beats(mantissa_bits), self.sharing)


@dataclass(frozen=True, kw_only=True)
class Gemm:
    """A descriptor: ``m`` x ``n`` results, k in ``groups`` of 64, M, and ``row_turns``."""

    m: int
    n: int
    groups: int
    mantissa_bits: int
    row_turns: int = 1

    def __post_init__(self) -> None:
        for name in ("m", "n", "groups", "row_turns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not 1 <= self.mantissa_bits <= 16:
            raise ValueError(f"mantissa_bits must be between 1 and 16, not {self.mantissa_bits}.")


@dataclass(frozen=True)
class Pass:
    """What the engine goes through k with: the tiles of ``rows`` and of ``columns``, each a range
    whose members are the first ones of the tiles.
    """

    rows: range
    columns: range


def passes(engine: Engine, gemm: Gemm) -> Iterator[Pass]:
    """Yield the passes in their order: for each tile of rows those of all columns.

    A pass has up to ``row_turns`` tiles of rows, and with each of them as many tiles of columns as
    the slots have room for.
    """
    most = gemm.row_turns * engine.rows
    for row in range(0, gemm.m, most):
        rows = range(row, min(row + most, gemm.m), engine.rows)
        reach = engine.slots // len(rows) * engine.columns
        for column in range(0, gemm.n, reach):
            yield Pass(rows, range(column, min(column + reach, gemm.n), engine.columns))


def activation_order(engine: Engine, gemm: Gemm) -> np.ndarray:
    """Return the groups that the engine takes, in this order: int [groups, (first row, group)].

    For each tile of rows, before its first pass: k, then the tiles of ``row_turns``.
    """
    parts = [
        _product(part.rows, gemm.groups) for part in passes(engine, gemm) if not part.columns[0]
    ]
    return np.concatenate(parts)


def weight_order(engine: Engine, gemm: Gemm) -> np.ndarray:
    """Return the sets of weights that the engine takes: int [sets, (first column, group)].

    Each set is as many beats as there are blocks. For each pass: k, then its tiles of columns.
    """
    return np.concatenate([_product(p.columns, gemm.groups) for p in passes(engine, gemm)])


def _product(tiles: range, groups: int) -> np.ndarray:
    """All of ``tiles`` for each group."""
    group, tile = np.divmod(np.arange(groups * len(tiles)), len(tiles))
    return np.stack([np.asarray(tiles)[tile], group], axis=1)
