"""What the host streams into the system for one pass: a few rows through a run of weight tiles.

The tiles of 8 columns follow each other along k, then comes the next 8 columns; each tile meets all
rows of the pass before the next tile. Every function returns fields as arrays, one entry per beat,
for the tiles of one column of tiles; all columns repeat the same beats of activations.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.formats.packed import LANES, STEPS
from lamina.formats.planes import TILE_COLUMNS, TILE_ROWS
from lamina_gen.gemm.problem import Problem

__all__ = ["Pass", "group_words", "orders", "place", "row_groups"]


@dataclass(frozen=True)
class Pass:
    """Some rows through some columns of tiles: one run of the system."""

    rows: slice
    columns: slice

    @property
    def width(self) -> int:
        """Columns of tiles."""
        return self.columns.stop - self.columns.start

    @property
    def outputs(self) -> int:
        """Results, those of padded columns too."""
        return (self.rows.stop - self.rows.start) * self.width * TILE_COLUMNS


def orders(problem: Problem, part: Pass, first: int = 0) -> dict[str, Any]:
    """Beats of the streams that are the same for both engines: what to fetch, and the scales.

    The weights lie in the plane store from block ``first`` on.
    """
    tiles_down = -(-problem.shape[2] // TILE_ROWS)
    run = {
        "base": 0,
        "block": first + part.columns.start * tiles_down,
        "blocks": part.width * tiles_down,
        "planes": problem.weight_bits,
        "keep": problem.keep,
    }
    return {
        "i_run": {name: [value] for name, value in run.items()},
        "i_scales": _tile_scales(problem, part.columns),
    }


def place(
    result: np.ndarray, part: Pass, engine: str, index: np.ndarray, values: np.ndarray
) -> None:
    """Put the results of a pass, by their index on the stream, into float32 [m, padded n]."""
    row, column = index // TILE_COLUMNS, index % TILE_COLUMNS
    if engine == "pacq":
        # Its index counts words of columns: two of four columns for INT4, one of eight for INT2.
        row, column = row // 2, (row % 2) * (TILE_COLUMNS // 2) + column
    tile = part.columns.start + np.arange(len(index)) // (len(index) // part.width)
    floats = values.astype(np.uint32).view(np.float32)
    result[part.rows.start + row, TILE_COLUMNS * tile + column] = floats


def group_words(exponents: np.ndarray, planes: np.ndarray) -> dict[str, Any]:
    """Beats of Anda's activations: exponents uint8 [rows, groups], planes uint64 [.., 1 + M]."""
    rows, groups, words = planes.shape
    shape = (groups, rows, words)
    group, row, word = (axis.ravel() for axis in np.indices(shape))
    return {
        "word": planes.transpose(1, 0, 2).ravel(),
        "first": word == 0,
        "last": word == words - 1,
        "exponent": np.broadcast_to(exponents.T[..., None], shape).ravel(),
        "index": row,
        "load": row == 0,
        "begin": group == 0,
        "end": group == groups - 1,
    }


def row_groups(problem: Problem, activations: np.ndarray) -> dict[str, Any]:
    """Beats of PacQ's activations: float16 [rows, k], k padded with +0 to whole tiles."""
    rows, k = activations.shape
    tiles = -(-k // TILE_ROWS)
    padded = np.zeros((rows, tiles * TILE_ROWS), np.float16)
    padded[:, :k] = activations
    tile, row = (axis.ravel() for axis in np.indices((tiles, rows)))
    group = _scale_group_of_step(problem, tiles)
    # A scale group ends with a step if the next one belongs to another; the last ends with k.
    end = np.append(group[1:] != group[:-1], True).reshape(tiles, STEPS)
    first = group.reshape(tiles, STEPS)[:, 0]
    resumed = np.append(False, ~end[:-1, -1])
    return {
        "values": padded.view(np.uint16).reshape(rows, tiles, TILE_ROWS)[row, tile],
        "index": row,
        "int2": np.full(tiles * rows, problem.weight_bits == 2),
        "load": row == 0,
        "ends": (end << np.arange(STEPS)).sum(axis=1)[tile],
        "resume": resumed[tile],
        "begin": (first == 0)[tile],
        "end": tile == tiles - 1,
    }


def _tile_scales(problem: Problem, columns: slice) -> dict[str, Any]:
    """Beats of scales and zero points for the tiles of the column tiles ``columns``.

    One beat for each scale group that has steps in a tile, in ascending k; unused columns have
    scale and zero point 0.
    """
    _, n, k = problem.shape
    tiles = -(-k // TILE_ROWS)
    steps = _scale_group_of_step(problem, tiles).reshape(tiles, STEPS)
    groups = [np.unique(row) for row in steps]
    beats = np.concatenate(groups)
    last = np.concatenate([np.arange(len(row)) == len(row) - 1 for row in groups])
    width = -(-n // TILE_COLUMNS) * TILE_COLUMNS
    zeros = problem.zero_points
    fields = {
        "scales": _by_tile(problem.scales.view(np.uint16), width),
        "zeros": _by_tile(
            np.zeros_like(problem.scales, np.int8) if zeros is None else zeros, width
        ),
    }
    repeated = {
        name: values[columns, beats].reshape(-1, TILE_COLUMNS) for name, values in fields.items()
    }
    return {**repeated, "last": np.tile(last, len(repeated["scales"]) // len(beats))}


def _scale_group_of_step(problem: Problem, tiles: int) -> np.ndarray:
    """Scale group of each step of four along k; padding counts as the last group."""
    last = len(problem.scales) - 1
    return np.minimum(np.arange(tiles * STEPS) * LANES // problem.group, last)


def _by_tile(values: np.ndarray, width: int) -> np.ndarray:
    """Cut [groups, n] into [column tiles, groups, 8], padded with 0 to ``width`` columns."""
    groups, n = values.shape
    padded = np.zeros((groups, width), values.dtype)
    padded[:, :n] = values
    return padded.reshape(groups, -1, TILE_COLUMNS).swapaxes(0, 1)
