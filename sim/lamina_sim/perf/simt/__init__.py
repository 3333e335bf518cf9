"""PacQ's SIMT flow: cycles, register file, buffers, memory traffic, energy, EDP of any m, n, k.

Source: Yin et al., "PacQ" (DAC 2025), sections II to IV, after the tensor core of Raihan et al.
(ISPASS 2019); docs/simt.md has the loops and what the paper leaves open.
"""

from lamina_sim.perf.simt._counts import (
    FLOWS,
    Core,
    Counters,
    Shape,
    count,
    octet_accesses,
    operation,
)
from lamina_sim.perf.simt._energy import MEMORIES, Energy, Memory, Unit, energy, sensitivity
from lamina_sim.perf.simt._traffic import Blocks, Traffic, traffic

__all__ = [
    "FLOWS",
    "MEMORIES",
    "Blocks",
    "Core",
    "Counters",
    "Energy",
    "Memory",
    "Shape",
    "Traffic",
    "Unit",
    "count",
    "energy",
    "octet_accesses",
    "operation",
    "sensitivity",
    "traffic",
]
