"""PacQ's dense unit against the FP16 DP-4: area and energy of a MAC, with what replays cost."""

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
from lamina_sim.golden import pacq
from lamina_sim.verilated.toolchain import ToolError
from lamina_sim.workload import tinylm

__all__ = ["WINDOW_BITS", "measure_window", "window_part", "window_replays", "window_stimulus"]

WINDOW_BITS = 29
_INDEX_BITS, _RANKS = 2, 6
#: A row of activations for as many columns as leave in the steps of a scale group: one finish
#: serves them all and never rests.
_ROWS, _COLUMNS = 1, 32
#: Activations of a step: of the DP-4 and, with half as many columns, of the DP-8.
_LANES = 4
_UNITS = {4: "", 8: "dp8_"}
#: k of a scale group, and columns of the product that are multiplied.
_GROUP, _USED = 128, 128
_FP16 = Contender(name="FP16 DP-4", module="baseline.tree_dot")


def measure_window(liberty: Path, progress: Progress) -> dict[str, Any]:
    """Throughput per area and per watt over the FP16 DP-4's, at the period of that, by precision.

    The DP-8, with half as many columns and as many products a cycle, has its figures beside the
    DP-4's, with ``dp8`` in their names.

    Areas are those of the smallest mapping that meets the period. Replays are counted with all
    activations of the bundled model, and make each MAC dearer by as many cycles as they add.
    A unit that misses the clock, or on which a tool fails, has no figures: ``dense_missing`` says
    why. Raises ToolError if a tool is missing or fails on the FP16 DP-4.
    """
    if tools.find_sta() is None:
        raise ToolError(sta.MISSING)
    flow = Flow(liberty, progress)
    clock_ps = flow.cells([_FP16.element("cells")]).choose("min_period_ps", max)
    if clock_ps is None:
        raise ToolError(" ".join(sorted(flow.notes)) or "The FP16 DP-4 could not be synthesized.")
    reference = flow.cells([_FP16.element("cells")], clock_ps)
    macs = _FP16.macs_per_cycle("cells")
    base = {
        "um2_per_mac_per_cycle": (reference.total("area_at_clock_um2") or 0.0) / macs,
        "pj_per_mac": run_netlists(_FP16, reference.complete or [], clock_ps).energy_pj,
        "min_period_ps": clock_ps,
    }
    result: dict[str, Any] = {"dense_units": {"fp16": _rounded(base)}}
    for lanes, prefix in _UNITS.items():
        result[f"{prefix}replays"] = replays = window_replays(lanes=lanes)
        for bits in (4, 2):
            name = f"{prefix}int{bits}"
            flow.progress(f"pacq.window_dot, {name.upper()}: synthesis")
            try:
                unit = _unit(flow, window_part(bits, lanes=lanes), clock_ps)
            except ToolError as error:
                result["dense_missing"] = f"{result.get('dense_missing', '')} {error}".strip()
                continue
            result["dense_units"][name] = _rounded(unit)
            for figure, per in (("um2_per_mac_per_cycle", "area"), ("pj_per_mac", "watt")):
                ratio = base[figure] / unit[figure] / (1 + replays["cycles"])
                result[f"throughput_per_{per}_{name}"] = float(f"{ratio:.4g}")
    return result


def _unit(flow: Flow, part: Part, clock_ps: float) -> dict[str, float]:
    """Return area and energy of a MAC without replays, and the period of the netlist."""
    bits, lanes = part.settings["weight_bits"], part.settings["lanes"]
    parts = flow.cells([part], clock_ps)
    if parts.complete is None or not parts.choose("meets_clock", all):
        raise ToolError(f"The DP-{lanes} for INT{bits} must meet {clock_ps:.0f} ps, but does not.")
    ((_, report),) = parts.complete
    macs = part.parameters.macs_per_cycle
    flow.progress(f"pacq.window_dot, DP-{lanes}, INT{bits}: running the netlist")
    given = window_stimulus(bits, lanes)
    activity = count(part, report, given, 0.0)
    return {
        "um2_per_mac_per_cycle": report.figures["area_at_clock_um2"] / macs,
        "pj_per_mac": measure_power(activity, clock_ps).energy_pj(given.macs),
        "min_period_ps": report.figures["period_at_clock_ps"],
        "macro_bits": report.figures["macro_bits"],
    }


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.5g}") for name, value in figures.items()}


def window_replays(window_bits: int = WINDOW_BITS, lanes: int = _LANES) -> dict[str, float]:
    """What passes below the first add, over all products of all layers of the bundled model.

    ``steps``, ``cycles``: as shares of those of the first passes; ``groups``: share of the groups
    that have more than one pass. Each product counts as often as it has columns.
    """
    model, _ = tinylm.load()
    names = ("steps", "cycles", "groups")
    totals, more = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    outputs = _ROWS * _columns(lanes)
    for layer in range(model.config.num_hidden_layers):
        for product in layer_operands(layer=layer):
            columns = product["codes"].shape[1]
            passes = pacq.window_passes(
                product["activations"],
                window_bits=window_bits,
                rows=_ROWS,
                lanes=lanes,
                scale_group=product["scale_group"],
            )
            first = sum(max(steps[0], outputs) for steps in passes.steps)
            for name, whole, part in (
                ("steps", passes.fresh, passes.replayed),
                ("cycles", first, passes.cycles(outputs) - first),
                ("groups", len(passes.steps), sum(len(steps) > 1 for steps in passes.steps)),
            ):
                totals[name] += columns * whole
                more[name] += columns * part
    return {name: more[name] / totals[name] for name in names}


def _columns(lanes: int) -> int:
    """Columns of a unit of 128 products a cycle: its steps last as long as its outputs leave."""
    return _COLUMNS * _LANES // lanes


def window_part(bits: int, window_bits: int = WINDOW_BITS, lanes: int = _LANES) -> Part:
    """Return the unit for weights of ``bits`` bits that is measured."""
    settings = {
        "rows": _ROWS,
        "words": _columns(lanes) * bits // 16,
        "lanes": lanes,
        "steps": _GROUP // lanes,
        "weight_bits": bits,
        "window_bits": window_bits,
        "index_bits": _INDEX_BITS,
        "stages_per_rank": _RANKS,
    }
    return Part("pacq.window_dot", settings)


def window_stimulus(bits: int, lanes: int = _LANES) -> Stimulus:
    """A product of the bundled model, tile by tile; INT2 are the top planes of INT4."""
    x, codes, scales = packed_product(bits, _USED)
    columns = _columns(lanes)
    steps, tiles = x.shape[1] // lanes, (ROWS // _ROWS, _USED // columns)
    a = x.view(np.uint16).reshape(tiles[0], 1, _ROWS, steps, lanes).swapaxes(2, 3)
    words = pacq.pack(codes, bits).reshape(1, steps, lanes, tiles[1], -1).transpose(0, 3, 1, 4, 2)
    shape = (*tiles, steps)
    step = np.indices(shape)[2].ravel()
    tile = np.arange(step.size) // steps % (1 << _INDEX_BITS)
    ones = np.ones(step.size, np.int64)
    own = scales.view(np.uint16).reshape(1, tiles[1], columns)
    inputs: dict[str, dict[str, np.ndarray]] = {
        "i": {
            "a": np.broadcast_to(a, (*shape, _ROWS, lanes)).reshape(-1, _ROWS, lanes),
            "last": (step == steps - 1).astype(np.int64),
            "index": tile,
            "begin": ones,
            "end": ones,
        },
        "i_words": {
            "words": np.broadcast_to(words, (*shape, words.shape[3], lanes)).reshape(
                -1, words.shape[3], lanes
            )
        },
        "i_scales": {"scale": np.broadcast_to(own, (*tiles, columns)).ravel()},
    }
    inputs["i_scales"]["zero"] = np.zeros(inputs["i_scales"]["scale"].shape, np.int64)
    inputs = {
        port: {name: value.astype(np.int64) for name, value in fields.items()}
        for port, fields in inputs.items()
    }
    sums = pacq.gemm(x, codes, scales, bits=bits, scale_group=x.shape[1])
    sums = sums.reshape(tiles[0], _ROWS, tiles[1], columns).swapaxes(1, 2)
    outputs = _ROWS * columns
    place = np.arange(sums.size)
    due: dict[str, np.ndarray] = {
        "value": sums.ravel().view(np.uint32).astype(np.int64),
        "index": place // outputs % (1 << _INDEX_BITS) * outputs + place % outputs,
    }
    return Stimulus(inputs, due, x.size * _USED)
