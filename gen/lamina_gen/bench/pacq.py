"""`lamina bench pacq`: PacQ's speedup, register-file accesses, accuracy and EDP."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lamina_gen.bench.pacq_accuracy import errors, losses
from lamina_gen.build import build_model
from lamina_gen.registry import find, make_parameters
from lamina_sim.golden import pacq
from lamina_sim.perf import simt
from lamina_sim.verilated.toolchain import ToolError

__all__ = ["BITS", "SHAPE", "TREES", "measure"]

BITS, TREES = (4, 2), (1, 2, 4, 8)
#: Operations of 16 x 16 words issued back to back, and the product of the paper's figure 10.
OPERATIONS = 16
SHAPE = (16, 4096, 4096)

#: From a precision and a number of trees (0: the FP16 unit) to what its unit takes.
Units = dict[tuple[int, int], simt.Unit]


def measure(
    progress: Callable[[str, float], None] | None = None, *, liberty: Path | None = None
) -> dict[str, Any]:
    """Figures 7a, 7b and 10 of the paper and its arithmetic, by precision and number of trees.

    Reductions are fractions. Cycles and accesses are those of the model `lamina_sim.perf.simt`,
    with the latency of `pacq.dot` for a pipeline. Energies need the cell library ``liberty``:
    without one, or without OpenSTA, there is no EDP. ``rows``: errors of the arithmetics.
    """
    report = progress or (lambda what, fraction: None)
    result: dict[str, Any] = {"from_model": "lamina_sim.perf.simt"}
    for bits in BITS:
        result[f"speedup_int{bits}"] = {str(t): _speedup(bits, t) for t in TREES}
        result[f"rf_access_reduction_int{bits}"] = _saved_accesses(bits)
    result["rf_accesses_per_octet"] = {
        f"{flow}_int{bits}": dict(zip("abc", simt.octet_accesses(flow, bits), strict=True))
        for bits in BITS
        for flow in simt.FLOWS
    }
    report("Every activation times every code", 0.1)
    result["mismatches_exhaustive"] = sum(_mismatches(bits) for bits in BITS)
    result["products_exhaustive"] = sum(1 << 16 + bits for bits in BITS)
    report("Losses of the bundled model", 0.3)
    result["loss"] = losses()
    report("Errors of the arithmetics", 0.5)
    rows = errors()
    result |= _by_length(rows)
    if liberty is not None:
        from lamina_gen.bench.pacq_units import measure_units

        report("Energies of the units", 0.6)
        try:
            units, about = measure_units(liberty, report)
        except ToolError as error:
            result["edp_missing"] = str(error)
        else:
            result |= about | edp(units)
            result |= _multiplier(liberty, report) | _dense(liberty, report)
    return result | {"rows": rows}


def _multiplier(liberty: Path, report: Callable[[str, float], None]) -> dict[str, Any]:
    """Throughput per area and watt of the multiplier alone; why not, if it cannot be had."""
    from lamina_gen.bench.pacq_multiplier import measure_multiplier

    report("The multiplier", 0.85)
    try:
        return measure_multiplier(liberty, report)
    except ToolError as error:
        return {"multiplier_missing": str(error)}


def _dense(liberty: Path, report: Callable[[str, float], None]) -> dict[str, Any]:
    """Throughput per area and watt of the dense unit; why not, if it cannot be had."""
    from lamina_gen.bench.pacq_window import measure_window

    report("The dense unit", 0.9)
    try:
        result = measure_window(liberty, report)
    except ToolError as error:
        return {"dense_missing": str(error)}
    pj = {name: unit["pj_per_mac"] for name, unit in result["dense_units"].items()}
    replayed = 1 + result["replays"]["cycles"]
    # With as many trees as a word has columns: more do not shorten the flow.
    for bits in (b for b in BITS if f"int{b}" in pj):
        units = {
            (0, 0): simt.Unit(pj_per_mac=pj["fp16"]),
            (bits, 16 // bits): simt.Unit(pj_per_mac=pj[f"int{bits}"] * replayed),
        }
        reduction = edp(units)[f"edp_reduction_int{bits}"]
        result[f"edp_reduction_dense_int{bits}"] = reduction[str(16 // bits)]
    return result


def fill(trees: int) -> int:
    """Cycles from a step to its sums: what a pipeline takes to fill, on either side."""
    parameters: Any = make_parameters(find("pacq.dot"), {"trees": trees})
    return int(parameters.latency)


def _speedup(bits: int, trees: int) -> float:
    """Cycles of the k-packed flow over those of the n-packed one, both with the same pipeline."""
    core = simt.Core(trees=trees, fill=fill(trees))
    cycles = {}
    for flow in ("packed_k", "packed_n"):
        m, n, k = simt.operation(flow, bits)
        shape = simt.Shape(m=m * OPERATIONS, n=n, k=k, bits=bits)
        cycles[flow] = simt.count(flow, shape, core).cycles
    return cycles["packed_k"] / cycles["packed_n"]


def _saved_accesses(bits: int) -> float:
    mine, theirs = (sum(simt.octet_accesses(flow, bits)) for flow in ("packed_n", "packed_k"))
    return 1 - mine / theirs


def _mismatches(bits: int) -> int:
    """Count words of every FP16 value times every code that `pacq.multiplier` gets wrong."""
    columns, codes = 16 // bits, 1 << bits
    stored = np.arange(codes).reshape(-1, min(codes, columns))
    stored = np.tile(stored, columns // stored.shape[1])
    words = (stored << (bits * np.arange(columns))).sum(axis=1).astype(np.uint16)
    a, words = (x.ravel() for x in np.meshgrid(np.arange(1 << 16, dtype=np.uint16), words))
    sent = {"a": a, "word": words, "int2": int(bits == 2), "tag": 0}
    got = build_model("pacq.multiplier", {}).run({"i": sent})["o"].values
    due = pacq.multiply(a.view(np.float16), words, bits)
    wrong = (got["products"][:, :columns] != due.significand).any(axis=1)
    for name in ("exponent", "inf", "nan"):
        wrong |= got[name] != getattr(due, name)
    return int(wrong.sum())


def _by_length(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Errors by arithmetic and k, where one scale group is all of k."""
    found: dict[str, Any] = {}
    for row in rows:
        if row["scale_group"] == row["k"] and row["mean"] == 0:
            ending = "" if row["bits"] == 4 else f"_int{row['bits']}"
            for figure in ("rel_rms_error", "not_finite"):
                by_name = found.setdefault(figure + ending, {})
                by_name.setdefault(row["arithmetic"], {})[str(row["k"])] = row[figure]
    return found


def edp(units: Units) -> dict[str, Any]:
    """EDP of the product of figure 10 against dequantization, with its sensitivity.

    ``units`` by bits and trees; (0, 0) is that of FP16, on which dequantized weights run, and one
    tree that of the k-packed flow. ``edp_reduction_registers``: where weights are dequantized in
    registers and not on their way through L1.
    """
    m, n, k = SHAPE
    result: dict[str, Any] = {}
    for bits in BITS:
        shape = simt.Shape(m=m, n=n, k=k, bits=bits)
        against, in_registers = (
            simt.energy(
                "fp16",
                shape,
                units[0, 0],
                core=simt.Core(fill=fill(1)),
                blocks=simt.Blocks(dequantize=where),
            )
            for where in ("l1", "registers")
        )
        reduction, other, parts, moved = {}, {}, {}, {}
        for trees in (t for t in TREES if (bits, t) in units):
            core, unit = simt.Core(trees=trees, fill=fill(trees)), units[bits, trees]
            mine = simt.energy("packed_n", shape, unit, core=core)
            reduction[str(trees)] = 1 - mine.delay_product / against.delay_product
            other[str(trees)] = 1 - mine.delay_product / in_registers.delay_product
            parts[str(trees)] = _microjoules(mine)
            moved[str(trees)] = {
                memory: {str(factor): 1 - ratio for factor, ratio in by_factor.items()}
                for memory, by_factor in simt.sensitivity(
                    shape, "packed_n", unit, "fp16", units[0, 0], core=core
                ).items()
            }
        result[f"edp_reduction_int{bits}"] = reduction
        result[f"edp_reduction_registers_int{bits}"] = other
        result[f"edp_sensitivity_int{bits}"] = moved
        result[f"energy_uj_int{bits}"] = parts
        result[f"energy_uj_fp16_int{bits}"] = _microjoules(against)
        if (bits, 1) in units:
            packed = simt.energy("packed_k", shape, units[bits, 1], core=simt.Core(fill=fill(1)))
            ratio = packed.delay_product / against.delay_product
            result[f"edp_reduction_packed_k_int{bits}"] = 1 - ratio
    return result


def _microjoules(energy: simt.Energy) -> dict[str, float]:
    return {name: float(f"{pj * 1e-6:.4g}") for name, pj in energy.parts.items()}
