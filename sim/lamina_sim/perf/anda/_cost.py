"""Cycles and traffic of a GEMM on the Anda engine: what its counters say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lamina_sim.perf.anda._drain import drained
from lamina_sim.perf.anda._schedule import Engine, Gemm, Pass, passes

#: Cycles from the first one of a GEMM until planes of its first group leave the head of the array,
#: beside those in which the group's beats come in: check, loader, memory, reader, head.
_START = 6
#: Cycles from the last outputs of the array until the completion is taken.
_FINISH = 2


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the engine's counters say after a GEMM, by their names, with streams never idle.

    ``array_cycles``: those in which nothing else could be multiplied; with several GEMMs queued,
    each but one takes no more. ``activation_bytes``, ``weight_bytes``, ``result_bytes``: on the
    ports, in whole beats, but exponents once a group, and of results those that are kept; ``macs``:
    of the GEMM itself.
    """

    cycles: int
    array_cycles: int
    group_turns: int
    idle_turns: int
    activation_beats: int
    weight_beats: int
    result_beats: int
    activation_bytes: int
    weight_bytes: int
    result_bytes: int
    macs: int

    def utilization(self, engine: Engine, mantissa_bits: int) -> float:
        """Share of the multiply-accumulates that the array could do in ``array_cycles``."""
        per_turn = 64 * engine.rows * engine.columns
        return self.macs * engine.cycles(mantissa_bits) / (per_turn * self.array_cycles)


def row_turns(engine: Engine, m: int, groups: int, mantissa_bits: int) -> int:
    """Return the most tiles of rows at a time that there are, and that the plane memory holds.

    The more there are, the fewer weights are fetched. Raises ValueError if it holds none.
    """
    fit = engine.depth // (groups * engine.beats(mantissa_bits))
    if fit < 1:
        raise ValueError(
            f"groups must be at most {engine.depth // engine.beats(mantissa_bits)} with a mantissa "
            f"of {mantissa_bits} bits, not {groups}."
        )
    return min(engine.slots, fit, -(-m // engine.rows))


def cost(engine: Engine, gemm: Gemm) -> Cost:
    """Return what ``gemm`` takes on ``engine``; equal to the hardware's counters."""
    parts = list(passes(engine, gemm))
    rounds = [_Round(engine, gemm, part) for part in parts]
    lengths = np.array([(gemm.groups - 1) * own.cycles + own.last_cycles for own in rounds])
    begins = np.cumsum(lengths) - lengths
    ends = [
        begin + (gemm.groups - 1) * own.cycles + own.turns
        for begin, own in zip(begins, rounds, strict=True)
    ]
    last, stops = drained(engine, np.concatenate(ends))
    turns = sum(len(part.rows) * len(part.columns) for part in parts)
    sets = sum(len(part.columns) for part in parts)
    row_tiles, blocks = -(-gemm.m // engine.rows), -(-gemm.n // engine.block_columns)
    beats = engine.beats(gemm.mantissa_bits)
    kept = blocks * sum(
        -(-min(engine.rows, gemm.m - row) // engine.units) for row in range(0, gemm.m, engine.rows)
    )
    weight_beats = sets * gemm.groups * engine.blocks
    activation_beats = row_tiles * gemm.groups * beats
    return Cost(
        cycles=_START
        + beats
        + last
        + engine.cycles(gemm.mantissa_bits)
        - 1
        + engine.latency
        + _FINISH,
        array_cycles=int(lengths.sum()) + stops,
        group_turns=turns * gemm.groups,
        idle_turns=(engine.slots * len(parts) - turns) * (gemm.groups - 1),
        activation_beats=activation_beats,
        weight_beats=weight_beats,
        result_beats=kept + (not _keeps_last(engine, gemm)),
        activation_bytes=row_tiles * gemm.groups * engine.rows * (8 * engine.planes * beats + 1),
        weight_bytes=weight_beats * engine.block_columns * (65 * engine.weight_bits + 16) // 8,
        result_bytes=4 * gemm.m * gemm.n,
        macs=64 * gemm.m * gemm.n * gemm.groups,
    )


class _Round:
    """The turns of a round: ``turns`` says when they begin; it takes ``cycles``, and where it is
    the last one of a pass ``last_cycles``, as turns without work are left out then.

    Weights enter a block a cycle, so loads are as many cycles apart as there are blocks.
    """

    def __init__(self, engine: Engine, gemm: Gemm, part: Pass) -> None:
        cycles = engine.cycles(gemm.mantissa_bits)
        rows, columns = len(part.rows), len(part.columns)
        run = max(rows * cycles, engine.blocks)
        spare = engine.slots - rows * columns
        loads = run * np.arange(columns)
        self.turns = (loads[:, None] + cycles * np.arange(rows)).ravel()
        self.cycles = int(loads[-1]) + max((rows + spare) * cycles, engine.blocks)
        self.last_cycles = run * columns


def _keeps_last(engine: Engine, gemm: Gemm) -> bool:
    """Whether the last beat of outputs has a result; if not, it is sent all the same."""
    rows = gemm.m - (gemm.m - 1) // engine.rows * engine.rows
    columns = gemm.n - (gemm.n - 1) // engine.columns * engine.columns
    return (
        rows > (engine.steps - 1) * engine.units and columns > engine.columns - engine.block_columns
    )
