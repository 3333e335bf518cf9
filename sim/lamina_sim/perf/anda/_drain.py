"""When the outputs of an array leave it, and how often it stops for them."""

from __future__ import annotations

import numpy as np

from lamina_sim.perf.anda._schedule import Engine

__all__ = ["drained"]

#: Cycles of a beat on its way through an empty queue.
_QUEUE_LATENCY = 2


def drained(engine: Engine, ends: np.ndarray) -> tuple[int, int]:
    """Return when the last outputs leave, and how many cycles the array stops for outputs.

    ``ends``: cycles, those of stops not counted, at which a group with outputs is through block 0,
    ascending. Block b finishes step s b + s cycles later; there are as many steps as elements that
    share a unit, also where rows are too few for the last ones, which come after all others. Each
    block's outputs wait in a queue; one beat leaves a cycle, of each step those of all blocks.
    """
    length = engine.blocks * engine.sharing
    number = np.arange(len(ends))
    begins = length * number + np.maximum.accumulate(ends - length * number)
    steps = np.arange(engine.sharing)
    entered = np.sort((ends[:, None] + steps).ravel())
    left = (begins[:, None] + engine.blocks * steps).ravel() + _QUEUE_LATENCY
    # As many wait in a queue when its next beat has entered; they enter in order, and leave so.
    waiting = np.arange(1, len(left) + 1) - np.searchsorted(left, entered, side="right")
    if waiting.max() > engine.room:
        return _Drain(engine, ends).run()
    return int(begins[-1]) + engine.blocks * engine.steps - 1, 0


class _Drain:
    """The same, cycle by cycle: queues that fill stop the array, and with it what comes to them."""

    def __init__(self, engine: Engine, ends: np.ndarray) -> None:
        self.engine = engine
        steps = np.arange(engine.sharing)
        finished = np.sort((ends[:, None] + steps).ravel())
        # Per block, the cycles without stops after which a beat is finished.
        self.due = [(finished + block).tolist() for block in range(engine.blocks)]
        self.beats = len(ends) * engine.blocks * engine.sharing
        # The last one of use: those of steps without rows come behind it.
        self.last = self.beats - engine.blocks * (engine.sharing - engine.steps)

    def run(self) -> tuple[int, int]:
        """Return the cycle in which the last beat of use leaves, and the stops until the end."""
        engine = self.engine
        moved = self.due[0][0] - 1  # nothing is finished before
        cycle, moves, stops = moved, True, 0
        level, valid, given = [0] * engine.blocks, [False] * engine.blocks, [0] * engine.blocks
        sent, turn, fresh, leaves = 0, 0, False, 0
        while sent < self.beats:
            moves_next = all(held <= engine.room for held in level)
            taken = turn if valid[turn] else None
            for block in range(engine.blocks):
                enters = fresh and given[block] < len(self.due[block])
                enters = enters and self.due[block][given[block]] == moved
                left = block == taken
                waits = level[block] != valid[block]
                if left or not valid[block]:
                    valid[block] = waits
                level[block] += enters - left
                given[block] += enters
            if taken is not None:
                sent, turn = sent + 1, (turn + 1) % engine.blocks
                if sent == self.last:
                    leaves = cycle
            moved, stops, fresh = moved + moves, stops + (not moves), moves
            moves, cycle = moves_next, cycle + 1
        return leaves - _QUEUE_LATENCY, stops
