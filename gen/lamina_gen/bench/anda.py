"""`lamina bench anda`: cycles of Anda's engine, area and energy of its array, the systems."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lamina_gen.bench.anda_energy import array_energies
from lamina_gen.bench.contenders import CONTENDERS, FP_FP, MANTISSA_BITS
from lamina_gen.bench.energy import run_netlists
from lamina_gen.bench.flow import Flow
from lamina_gen.gemm import Problem
from lamina_gen.gemm.engine import EngineMachine, model_of
from lamina_gen.registry import find, make_parameters
from lamina_gen.synth import sta, tools
from lamina_sim.perf import anda

__all__ = ["SIZED", "measure", "random_product"]

#: The engine whose ports are the paper's, of 256 elements; and a small one that is simulated.
SIZED: dict[str, object] = {"rows": 8, "columns": 32, "block_columns": 4, "depth": 8192}
_SIMULATED = {"rows": 2, "columns": 4, "block_columns": 2, "stages_per_rank": 5}

#: Groups along k of which the rest is the same, and the GEMMs of any shape.
_GROUPS, _GEMMS = (4, 12), 40
#: m, n, groups of k: what utilization is given for.
_PREFILL, _DECODE = (64, 64, 16), (1, 4096, 64)
_SYSTEM = ("speedup", "area_efficiency", "energy_efficiency", "energy_efficiency_same_tiles")
_TOLERANCES = {"0.1%": "01pct", "1%": "1pct"}


def measure(
    progress: Callable[[str, float], None] | None = None, *, liberty: Path | None = None
) -> dict[str, Any]:
    """Measure the engine's cycles in Verilator, and with ``liberty`` area and energy of the array.

    Areas are of the whole array, of 256 elements, at the period of the FP-FP lane, the lane's at
    that, too; ratios are the lane's area per MAC a cycle over the array's, by mantissa length. Area
    times period has the least period of both, by the script for speed.
    Energies are `array_energies`. Without a library there are neither areas nor energies nor
    efficiencies; ``notes`` say what is missing. ``rows``: the paper's models, at either loss.
    """
    report = progress or (lambda what, fraction: None)
    result = _in_verilator(report)
    engine = model_of(make_parameters(find("anda.engine"), SIZED))
    lengths = range(1, 17)
    result["utilization_prefill"] = {
        str(bits): _cost(engine, *_PREFILL, bits).utilization(engine, bits) for bits in lengths
    }
    result["weight_port_utilization_decode"] = {
        str(bits): (cost := _cost(engine, *_DECODE, bits)).weight_beats / cost.array_cycles
        for bits in lengths
    }
    figures = None
    if liberty is not None:
        report("Area of the array", 0.4)
        flow = Flow(liberty, progress)
        result |= _areas(flow)
        if (area := result.get("area_um2_per_element")) is not None:
            energies, measured = _energies(flow, result["clock_ps"])
            result |= measured
            figures = anda.Figures(area=area / (4 * result["area_fp_fp_um2"]), energy=energies)
        result |= {"tools": flow.tools, "notes": sorted(flow.notes)}
    result["rows"] = rows = []
    for tolerance, name in _TOLERANCES.items():
        report(f"The paper's models at {tolerance}", 0.8)
        found = anda.evaluate(engine, tolerance, figures)
        rows += [{"loss": tolerance, **row} for row in found]
        for figure in _SYSTEM:
            if figure not in found[0]:
                continue
            mean = anda.geomean([row[figure] for row in found])
            result[f"system_{figure}_geomean_{name}"] = mean
    return result


def _cost(engine: anda.Engine, m: int, n: int, groups: int, bits: int) -> anda.Cost:
    turns = anda.row_turns(engine, m, groups, bits)
    gemm = anda.Gemm(m=m, n=n, groups=groups, mantissa_bits=bits, row_turns=turns)
    return anda.cost(engine, gemm)


def _in_verilator(report: Callable[[str, float], None]) -> dict[str, Any]:
    """Run products on an engine: cycles a group takes, and where the model is wrong."""
    report("Building an engine", 0.0)
    machine = EngineMachine(_SIMULATED, bits=4)
    engine = model_of(machine.parameters)
    rng = np.random.default_rng(1)
    taken, wrong = {}, []

    def run(m: int, n: int, groups: int, bits: int) -> int:
        outcome = machine.run(random_product(rng, m, n, groups, bits))
        if not outcome.exact:
            raise RuntimeError(f"A product of {m} x {n}, M = {bits}, is not that of golden.")
        model = vars(_cost(engine, m, n, groups, bits))
        known = model.keys() & outcome.counters.keys()
        wrong.append(any(model[name] != outcome.counters[name] for name in known))
        return outcome.cycles

    turns = engine.slots
    for bits in range(1, 17):
        report(f"Groups of {bits} mantissa bits", 0.1 + bits / 80)
        few, many = (run(turns * engine.rows, engine.columns, n, bits) for n in _GROUPS)
        taken[str(bits)] = (many - few) / (turns * (_GROUPS[1] - _GROUPS[0]))
    for number in range(_GEMMS):
        report("Products of any shape", 0.3 + number / 400)
        m, n, groups, bits = (int(rng.integers(1, most)) for most in (40, 40, 6, 17))
        run(m, n, groups, bits)
    return {
        "cycles_per_group": taken,
        "model_vs_rtl_gemms": len(wrong),
        "model_vs_rtl_cycle_mismatches": sum(wrong),
    }


def random_product(rng: np.random.Generator, m: int, n: int, groups: int, bits: int) -> Problem:
    """Return a product of INT4 weights, k in groups of 64, each with scales of its own."""
    k = 64 * groups
    return Problem(
        engine="anda",
        activations=rng.normal(size=(m, k)).astype(np.float16),
        codes=rng.integers(-8, 8, (k, n)).astype(np.int8),
        scales=rng.uniform(0.01, 0.1, (groups, n)).astype(np.float16),
        scale_group=64,
        mantissa_bits=bits,
    )


def _areas(flow: Flow) -> dict[str, Any]:
    """Map the FP-FP lane, the array at its period, and plain FIGNA of each length at that."""
    lane = flow.cells([FP_FP.element("cells")])
    clock = lane.choose("min_period_ps", max)
    found: dict[str, Any] = {"clock_ps": clock, "area_fp_fp_um2": lane.total("area_um2")}
    if clock is None:
        return found
    # By all scripts, as the others: none may be larger than it must be at this clock.
    lane = flow.cells([FP_FP.element("cells")], clock)
    found["area_fp_fp_um2"] = area = lane.total("area_at_clock_um2")
    if area is None:
        return found
    own: dict[str, float] = {}
    for contender in CONTENDERS:
        bits = contender.mantissa_bits
        if contender.name not in ("Anda array", "FIGNA plain") or bits not in MANTISSA_BITS:
            continue
        flow.progress(f"{contender.name}, M = {bits}")
        parts = flow.cells(contender.parts("cells"), clock)
        at_clock = parts.total("area_at_clock_um2") or parts.total("area_um2")
        if at_clock is None:
            continue
        rate = contender.macs_per_cycle("cells")
        per_mac = at_clock / rate
        if contender.whole:
            p = contender.element("cells").parameters
            own[str(bits)] = per_mac
            found["area_um2_per_element"] = at_clock / (p.rows * p.columns)
            found["min_period_ps"] = parts.choose("min_period_ps", max)
            found["meets_clock"] = parts.choose("meets_clock", all)
            found["macro_bits"] = parts.total("macro_bits")
            found.setdefault("area_ratio_fp_fp", {})[str(bits)] = area / per_mac
            times = lane.total("area_time_um2_ns"), parts.total("area_time_um2_ns")
            if times[0] is not None and times[1] is not None:
                ratio = times[0] * rate / times[1]
                found.setdefault("area_time_ratio_fp_fp", {})[str(bits)] = ratio
        else:
            found.setdefault("figna", {})[str(bits)] = per_mac
    figna = found.pop("figna", {})
    found["area_ratio_figna"] = {bits: figna[bits] / per for bits, per in own.items()}
    return found


def _energies(flow: Flow, clock_ps: float) -> tuple[dict[int, float] | None, dict[str, Any]]:
    """Energy of a MAC over the lane's by mantissa length, for all that models have; the figures."""
    if tools.find_sta() is None:
        flow.notes.add(sta.MISSING)
        return None, {}
    lane = flow.cells([FP_FP.element("cells")], clock_ps).complete
    array = next(contender for contender in CONTENDERS if contender.whole)
    settings = array.element("cells").settings
    wanted = {*MANTISSA_BITS, *(n for m in anda.MODELS for own in m.tuples.values() for n in own)}
    energies = array_energies(flow, settings, clock_ps, sorted(wanted))
    if lane is None or energies is None:
        return None, {}
    flow.progress("Energy of the FP-FP lane")
    of_lane = run_netlists(FP_FP, lane, clock_ps).energy_pj
    found = {
        "energy_fp_fp_pj": of_lane,
        "energy_pj_per_mac": {str(bits): energy for bits, energy in energies.items()},
        "energy_ratio_fp_fp": {str(bits): of_lane / energy for bits, energy in energies.items()},
    }
    return _for_all_lengths(energies, of_lane), found


def _for_all_lengths(energies: Mapping[int, float], of_lane: float) -> dict[int, float]:
    """Return energies over the lane's: of a length between two measured ones that of the longer."""
    return {
        bits: energies[min(length for length in energies if length >= bits)] / of_lane
        for bits in range(1, max(energies) + 1)
    }
