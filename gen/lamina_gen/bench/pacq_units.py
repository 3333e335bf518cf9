"""Energies of PacQ's unit and the FP16 one: their netlists run a product of the bundled model."""

from pathlib import Path
from typing import Any

import numpy as np

from lamina_gen.bench.contenders import Contender, Part
from lamina_gen.bench.energy import count, run_netlists
from lamina_gen.bench.flow import Flow
from lamina_gen.bench.operands import ROWS, Stimulus, packed_product
from lamina_gen.build import Progress
from lamina_gen.demo import layer_operands
from lamina_gen.synth import sta, tools
from lamina_gen.synth.power import measure_power
from lamina_sim.golden import ieee, pacq
from lamina_sim.perf.simt import Unit
from lamina_sim.verilated.toolchain import ToolError

__all__ = ["INDEX_BITS", "dot_stimulus", "measure_units", "scale_stimulus"]

#: On what dequantized weights run: the paper's DP-4, four FP16 multipliers and FP16 adders.
_FP16 = Contender(name="FP16 DP-4", module="baseline.tree_dot")
#: Words of columns that meet each row, bits of an index, stages in a rank on cells.
_WORDS, INDEX_BITS, _RANKS = 4, 2, 3
_LANES = 4


def measure_units(
    liberty: Path, progress: Progress, trees: tuple[int, ...] = (1, 2, 4, 8)
) -> tuple[dict[tuple[int, int], Unit], dict[str, Any]]:
    """Energy per MAC by bits and trees, (0, 0) that of the FP16 DP-4, and what it was made with.

    PacQ's unit is `pacq.dot` and an `arith.scale_accumulate`, which scales and adds its sums. All
    are mapped for speed, run at the clock of the slowest of them, and their results are checked.
    Raises ToolError if a tool is missing or fails.
    """
    if tools.find_sta() is None:
        raise ToolError(sta.MISSING)
    flow = Flow(liberty, progress)
    fp16 = flow.cells([_FP16.element("cells")])
    dots = {t: flow.cells([_dot(t), _scale()]) for t in trees}
    clocks = [parts.choose("min_period_ps", max) for parts in (fp16, *dots.values())]
    if any(parts.complete is None for parts in (fp16, *dots.values())) or None in clocks:
        raise ToolError(" ".join(sorted(flow.notes)) or "The units could not be synthesized.")
    clock_ps = max(clocks)
    flow.progress("FP16 DP-4: running the netlist")
    reference = run_netlists(_FP16, fp16.complete or [], clock_ps).energy_pj
    units = {(0, 0): Unit(pj_per_mac=reference)}
    for bits in (4, 2):
        for t in (t for t in trees if t <= 16 // bits):
            flow.progress(f"pacq.dot, INT{bits}, trees = {t}: running the netlists")
            units[bits, t] = Unit(pj_per_mac=_energy(dots[t].complete or [], bits, t, clock_ps))
    figures = {
        f"int{bits}": {
            str(t): float(f"{units[bits, t].pj_per_mac:.4g}") for t in trees if (bits, t) in units
        }
        for bits in (4, 2)
    }
    about = {
        "units": {"fp16": float(f"{reference:.4g}"), **figures},
        "library": flow.tools["liberty"],
        "clock_ps": clock_ps,
        "tools": {name: version for name, version in flow.tools.items() if name != "command"},
        "notes": sorted(flow.notes),
    }
    return units, about


def _dot(trees: int) -> Part:
    settings = {"trees": trees, "index_bits": INDEX_BITS, "stages_per_rank": _RANKS}
    return Part("pacq.dot", settings)


def _scale() -> Part:
    return Part("arith.scale_accumulate", {"outputs": 8 << INDEX_BITS, "stages_per_rank": 9})


def _energy(reports: list[Any], bits: int, trees: int, clock_ps: float) -> float:
    """Picojoules of a MAC in a dot product unit and in what scales and adds its sums."""
    columns = 16 // bits
    (dot, dot_report), (scale, scale_report) = reports
    steps = dot_stimulus(bits)
    sums = scale_stimulus(bits)
    per_group = layer_operands()[0]["scale_group"] // _LANES * columns // trees
    total = 0.0
    # What scales has a sum of each column per group, and waits for the rest of it.
    for part, report, given, idle in (
        (dot, dot_report, steps, 0.0),
        (scale, scale_report, sums, 1 - columns / per_group),
    ):
        activity = count(part, report, given, max(0.0, idle))
        total += measure_power(activity, clock_ps).energy_pj(given.macs)
    return total


def dot_stimulus(bits: int) -> Stimulus:
    """Steps of `pacq.dot`: word by word of columns, row by row, k ascending; one group each."""
    x, codes, scales = packed_product(bits, _WORDS * 16 // bits)
    columns, steps = 16 // bits, x.shape[1] // _LANES
    shape = (_WORDS, ROWS, steps)
    words = pacq.pack(codes, bits).T.reshape(_WORDS, 1, steps, _LANES)
    a = x.view(np.uint16).reshape(1, ROWS, steps, _LANES)
    word, row, step = np.indices(shape).reshape(3, -1)
    index = (word * ROWS + row) % (1 << INDEX_BITS)
    padded = np.zeros((_WORDS, 8), np.int64)
    padded[:, :columns] = scales.view(np.uint16).reshape(_WORDS, columns)
    ones = np.ones(len(word), np.int64)
    beats: dict[str, np.ndarray] = {
        "a": np.broadcast_to(a, (*shape, _LANES)).reshape(-1, _LANES).astype(np.int64),
        "words": np.broadcast_to(words, (*shape, _LANES)).reshape(-1, _LANES).astype(np.int64),
        "int2": ones * (bits == 2),
        "zeros": np.zeros((len(word), 8), np.int64),
        "scales": padded[word],
        "index": index,
        "first": (step == 0).astype(np.int64),
        "last": (step == steps - 1).astype(np.int64),
        **dict.fromkeys(("group_first", "group_last", "begin", "end"), ones),
    }
    values, places = _sums(x, codes, bits)
    due: dict[str, np.ndarray] = {
        "value": values.view(np.uint32).astype(np.int64),
        "scale": scales.view(np.uint16).reshape(_WORDS, 1, columns).repeat(ROWS, 1).ravel(),
        "index": places,
    }
    return Stimulus({"i": beats}, due, x.size * codes.shape[1])


def scale_stimulus(bits: int) -> Stimulus:
    """The sums of the same product, one group each, on their way into `arith.scale_accumulate`."""
    x, codes, scales = packed_product(bits, _WORDS * 16 // bits)
    columns = 16 // bits
    values, places = _sums(x, codes, bits)
    factors = scales.reshape(_WORDS, 1, columns).repeat(ROWS, 1).ravel()
    ones = np.ones(len(values), np.int64)
    beats: dict[str, np.ndarray] = {
        "value": values.view(np.uint32).astype(np.int64),
        "scale": factors.view(np.uint16).astype(np.int64),
        "index": places,
        "begin": ones,
        "end": ones,
    }
    scaled = ieee.canonical(values * factors.astype(np.float32) + np.float32(0))
    due: dict[str, np.ndarray] = {"value": scaled.view(np.uint32).astype(np.int64), "index": places}
    return Stimulus({"i": beats}, due, x.size * codes.shape[1])


def _sums(x: np.ndarray, codes: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums float32 of the steps in their order, by golden, and their indices."""
    columns = 16 // bits
    ones = np.ones((1, codes.shape[1]), np.float16)
    sums = pacq.gemm(x, codes, ones, bits=bits, scale_group=x.shape[1])
    values = sums.reshape(ROWS, _WORDS, columns).swapaxes(0, 1).ravel()
    word, row, column = np.indices((_WORDS, ROWS, columns)).reshape(3, -1)
    return values, (word * ROWS + row) % (1 << INDEX_BITS) * 8 + column
