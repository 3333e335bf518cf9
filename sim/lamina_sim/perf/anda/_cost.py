"""Cycles and traffic of a GEMM on the Anda engine: what its counters say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lamina_sim.perf.anda._schedule import Engine, Gemm, Pass, passes

#: Cycles from the first one of a GEMM until planes of its first group leave the head of the array,
#: beside those in which the group's beats come in: check, loader, memory, reader, head.
_START = 6
#: Cycles from the last outputs of the array until the completion is taken.
_FINISH = 2


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the engine's counters say after a GEMM, by their names, with streams never idle.

    Also ``activation_bytes``, ``weight_bytes``, ``result_bytes`` on the ports: whole beats, of
    results those that are kept only; and ``macs``, of the GEMM itself.
    """

    cycles: int
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
        """Share of the multiply-accumulates that the array could do in these cycles."""
        per_turn = 64 * engine.rows * engine.columns
        return self.macs * engine.cycles(mantissa_bits) / (per_turn * self.cycles)


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
    rounds = np.array([_round(engine, gemm, part) for part in parts])
    begins = np.cumsum(rounds * gemm.groups) - rounds * gemm.groups
    ends = [
        begin + (gemm.groups - 1) * length + _offsets(engine, gemm, part)
        for begin, length, part in zip(begins, rounds, parts, strict=True)
    ]
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
        cycles=_START + beats + _last_output(engine, gemm, np.concatenate(ends)) + _FINISH,
        group_turns=turns * gemm.groups,
        idle_turns=(engine.slots * len(parts) - turns) * gemm.groups,
        activation_beats=activation_beats,
        weight_beats=weight_beats,
        result_beats=kept + (not _keeps_last(engine, gemm)),
        activation_bytes=activation_beats * engine.rows * (8 * engine.planes + 1),
        weight_bytes=weight_beats * engine.block_columns * (9 * engine.weight_bits + 2),
        result_bytes=4 * gemm.m * gemm.n,
        macs=64 * gemm.m * gemm.n * gemm.groups,
    )


def _runs(engine: Engine, gemm: Gemm, part: Pass) -> list[int]:
    """Cycles from one load of weights to the next, in a round.

    Weights enter a block a cycle, so loads are as many cycles apart as there are blocks.
    """
    cycles = engine.cycles(gemm.mantissa_bits)
    own = len(part.rows) * cycles
    spare = (engine.slots - len(part.rows) * len(part.columns)) * cycles
    runs = [own] * (len(part.columns) - 1) + [own + spare]
    return [max(run, engine.blocks) for run in runs]


def _round(engine: Engine, gemm: Gemm, part: Pass) -> int:
    """Cycles of a round."""
    return sum(_runs(engine, gemm, part))


def _offsets(engine: Engine, gemm: Gemm, part: Pass) -> np.ndarray:
    """When the groups of a round begin."""
    begins = np.cumsum([0, *_runs(engine, gemm, part)[:-1]])
    turn = np.arange(len(part.rows)) * engine.cycles(gemm.mantissa_bits)
    return (begins[:, None] + turn).ravel()


def _last_output(engine: Engine, gemm: Gemm, ends: np.ndarray) -> int:
    """Cycles from the first group until the outputs of the last one that ends leave.

    Block b finishes step s of a group b + s cycles after the first one does; while the outputs of
    several blocks leave, one a cycle, nothing moves on.
    """
    steps = np.arange(engine.blocks)[:, None] + np.arange(engine.steps)
    at = (ends[:, None] + steps.ravel()).ravel()
    _, together = np.unique(at, return_counts=True)
    through = int(at.max()) + engine.cycles(gemm.mantissa_bits) - 1 + engine.latency
    return through + int((together - 1).sum())


def _keeps_last(engine: Engine, gemm: Gemm) -> bool:
    """Whether the last beat of outputs has a result; if not, it is sent all the same."""
    rows = gemm.m - (gemm.m - 1) // engine.rows * engine.rows
    columns = gemm.n - (gemm.n - 1) // engine.columns * engine.columns
    return (
        rows > (engine.steps - 1) * engine.units and columns > engine.columns - engine.block_columns
    )
