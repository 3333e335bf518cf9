"""PacQ's multiplier alone against an FP16 multiplier: figure 8 of the paper."""

from pathlib import Path
from typing import Any

import numpy as np

from lamina_gen.bench.contenders import Part
from lamina_gen.bench.energy import count
from lamina_gen.bench.flow import Flow
from lamina_gen.bench.operands import Stimulus, packed_product
from lamina_gen.build import Progress
from lamina_gen.synth import sta, tools
from lamina_gen.synth.power import measure_power
from lamina_sim.golden import baseline, pacq
from lamina_sim.verilated.toolchain import ToolError

__all__ = ["measure_multiplier", "multiplier_stimulus"]

#: Unpacked, multiplied and rounded in one cycle, either one.
_RANKS = {"stages_per_rank": 9}
_FP16 = Part("baseline.fp16_multiply", _RANKS)
_PACQ = Part("pacq.multiplier", _RANKS)
_WORDS = 16  # of columns that meet each activation, one after another


def measure_multiplier(liberty: Path, progress: Progress) -> dict[str, Any]:
    """Products a cycle per area and per watt over an FP16 multiplier's, at the period of that.

    Both hold nothing but their results. Areas are those of the smallest mapping that meets the
    period. ``multiplier_units``: square micrometres, picojoules of a cycle and of a product. Raises
    ToolError if a tool is missing or fails.
    """
    if tools.find_sta() is None:
        raise ToolError(sta.MISSING)
    flow = Flow(liberty, progress)
    clock_ps = flow.cells([_FP16]).choose("min_period_ps", max)
    parts = flow.cells([_FP16, _PACQ], clock_ps)
    if clock_ps is None or parts.complete is None:
        raise ToolError(" ".join(sorted(flow.notes)) or "A multiplier could not be synthesized.")
    if not parts.choose("meets_clock", all):
        raise ToolError(f"pacq.multiplier must meet {clock_ps:.0f} ps, but does not.")
    fp16, packed = (report for _, report in parts.complete)
    units: dict[str, dict[str, float]] = {}
    for name, part, report, bits in (
        ("fp16", _FP16, fp16, 16),
        ("int4", _PACQ, packed, 4),
        ("int2", _PACQ, packed, 2),
    ):
        flow.progress(f"{part.module}, {name.upper()}: running the netlist")
        given = multiplier_stimulus(bits)
        power = measure_power(count(part, report, given, 0.0), clock_ps)
        units[name] = {
            "um2": report.figures["area_at_clock_um2"],
            "min_period_ps": report.figures["period_at_clock_ps"],
            "pj_per_product": float(f"{power.energy_pj(given.macs):.4g}"),
        }
    result: dict[str, Any] = {"multiplier_units": units}
    for bits in (4, 2):
        own, columns = units[f"int{bits}"], 16 // bits
        area = units["fp16"]["um2"] * columns / own["um2"]
        watt = units["fp16"]["pj_per_product"] / own["pj_per_product"]
        result[f"multiplier_throughput_per_area_int{bits}"] = float(f"{area:.4g}")
        result[f"multiplier_throughput_per_watt_int{bits}"] = float(f"{watt:.4g}")
    return result


def multiplier_stimulus(bits: int) -> Stimulus:
    """Activations of the bundled model, each with the weights of some columns, one after another.

    ``bits``: 4 or 2, of the words; 16: the weights are FP16, each times its scale.
    """
    per_word = 16 // bits
    # FP16 weights are made of whole INT4 codes.
    x, codes, scales = packed_product(min(bits, 4), _WORDS * per_word)
    if bits == 16:
        words = (codes * scales.astype(np.float32)).astype(np.float16).view(np.uint16)
    else:
        words = pacq.pack(codes, bits)
    # As a DP unit takes them: for each k the words of all columns, while the activation stays.
    a = np.broadcast_to(x.view(np.uint16)[..., None], (*x.shape, _WORDS)).ravel()
    words = np.broadcast_to(words, (*x.shape, _WORDS)).ravel()
    inputs: dict[str, np.ndarray] = {"a": a, "tag": np.zeros(a.size, np.int64)}
    if bits == 16:
        value = baseline.multiply(a.view(np.float16), words.view(np.float16))
        return _stimulus(inputs | {"b": words}, {"value": value.view(np.uint16)}, a.size)
    found = pacq.multiply(a.view(np.float16), words, bits)
    products = np.zeros((a.size, 8), np.int64)
    products[:, :per_word] = found.significand
    due: dict[str, np.ndarray] = {
        "products": products,
        **{name: getattr(found, name) for name in ("exponent", "inf", "nan")},
    }
    inputs |= {"word": words, "int2": np.full(a.size, bits == 2)}
    return _stimulus(inputs, due, a.size * per_word)


def _stimulus(inputs: dict[str, np.ndarray], due: dict[str, np.ndarray], macs: int) -> Stimulus:
    as_integers = {name: values.astype(np.int64) for name, values in inputs.items()}
    expected = {name: np.asarray(values).astype(np.int64) for name, values in due.items()}
    return Stimulus({"i": as_integers}, expected, macs)
