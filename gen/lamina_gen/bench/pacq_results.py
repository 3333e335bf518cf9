"""docs/results.md: PacQ's flow beside the values that its paper prints.

docs/results/pacq.json has what needs no cell library, docs/results/pacq-LIBRARY.json the energies
measured with one; the page between its markers and the plots are made of these files alone.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lamina_gen.bench.pacq_plots import plot_edp, plot_errors, plot_speedup
from lamina_gen.bench.results import DATA, PAGE, PLOTS, replaced, table

__all__ = ["PAPER", "record", "render", "write"]

#: The paper's figures by precision: 7a (k-packed, n-packed: A, B, C), 7b, 10 (EDP over that of
#: dequantization; of the k-packed flow), 11 (throughput per watt over the FP16 DP-4, by trees), 8
#: (of the multiplier alone).
PAPER: dict[str, Any] = {
    "int4": {
        "accesses": ((16, 2, 1), (4, 4, 4)),
        "saved": 0.368,
        "speedup": 1.98,
        "edp": 0.704,
        "edp_packed_k": 1 - 0.934,
        "per_watt": {"1": 1.04, "2": 1.39, "4": 1.54},
        "multiplier_per_watt": 3.38,
    },
    "int2": {
        "accesses": ((32, 2, 1), (4, 4, 8)),
        "saved": 0.543,
        "speedup": 1.99,
        "edp": 0.814,
        "edp_packed_k": 1 - 0.858,
        "per_watt": {"1": 1.09, "2": 1.51, "4": 1.79, "8": 1.80},
        "multiplier_per_watt": 6.75,
    },
}
#: Figure 12a: throughput per watt of the DP-8 over that of FP16, its precision not said.
_PAPER_DP8 = 1.443
_TREES = ("1", "2", "4", "8")
_FLOWS = {"packed_k": "packed along k", "packed_n": "packed along n"}
#: What `measure_units` adds, and what is made of it.
_MEASURED = (
    *("edp_", "energy_", "units", "library", "clock_ps", "tools", "notes"),
    *("dense_", "replays", "dp8_", "throughput_", "multiplier_"),
)
_NAME = "pacq"
_MEMORIES = {
    "operand_buffer": "operand buffers",
    "register_file": "register file",
    "l1": "L1",
    "l2": "L2",
    "dram": "DRAM",
    "all": "all",
    "tenfold": "all, tenfold",
}
#: Text of a figure that there is not.
_NONE = "-"


def record(result: dict[str, Any], docs: Path) -> None:
    """Keep what `bench pacq` measured, then write page and plots anew."""
    (docs / DATA).mkdir(parents=True, exist_ok=True)
    energies = {name: value for name, value in result.items() if name.startswith(_MEASURED)}
    parts = {_NAME: {name: value for name, value in result.items() if name not in energies}}
    if energies:
        parts[f"{_NAME}-{re.sub(r'[^a-z0-9]+', '_', energies['library'].lower()).strip('_')}"] = (
            energies
        )
    for name, part in parts.items():
        text = json.dumps(part, indent=1, sort_keys=True)
        (docs / DATA / f"{name}.json").write_text(text + "\n")
    write(docs)


def write(docs: Path) -> None:
    """Write the page and the plots from the files."""
    # What needs no library comes first.
    files = sorted((docs / DATA).glob(f"{_NAME}*.json"), key=lambda path: path.stem)
    results = {path.stem: json.loads(path.read_text()) for path in files}
    page = docs / PAGE
    page.write_text(render(page.read_text(), results))
    (docs / PLOTS).mkdir(exist_ok=True)
    if _NAME in results:
        plot_speedup(results[_NAME], docs / PLOTS / "pacq-speedup.svg", PAPER)
        plot_errors(results[_NAME], docs / PLOTS / "pacq-errors.svg")
    for name, result in results.items():
        if name != _NAME:
            plot_edp(result, docs / PLOTS / f"{name}-edp.svg", PAPER)


def render(page: str, results: dict[str, dict[str, Any]]) -> str:
    """Return ``page`` with what is between its markers made of ``results``."""
    lines: list[str] = []
    for name, result in results.items():
        lines += _flow(result) if name == _NAME else _energies(name, result)
    lines = [line.replace("%", " %") for line in lines]
    return replaced(page, _NAME, lines or ["Nothing measured yet.", ""])


def _flow(result: dict[str, Any]) -> Iterable[str]:
    """Yield figures 7a and 7b and the accuracy."""
    yield "### Register-file accesses (figure 7a)"
    yield ""
    rows = []
    for precision, paper in PAPER.items():
        for flow, bars in zip(_FLOWS, paper["accesses"], strict=True):
            tiles = result["rf_accesses_per_octet"][f"{flow}_{precision}"]
            rows.append(
                {
                    "precision": precision.upper(),
                    "flow": _FLOWS[flow],
                    **tiles,
                    "sum": sum(tiles.values()),
                    "saved": f"{result[f'rf_access_reduction_{precision}']:.1%}"
                    if flow == "packed_n"
                    else "",
                    "bars": ":".join(map(str, bars)),
                    "paper": f"{paper['saved']:.1%}" if flow == "packed_n" else "",
                }
            )
    names = ("precision", "flow", "a", "b", "c", "sum", "saved")
    titles = ("", "flow", "A", "B", "C", "all", "fewer")
    columns = [(title, name, "") for title, name in zip(titles, names, strict=True)]
    columns += [("paper A:B:C", "bars", ""), ("paper: fewer", "paper", "")]
    yield from table(tuple(columns), rows)
    yield "### Speedup against the k-packed flow (figure 7b)"
    yield ""
    rows = [
        {
            "precision": precision.upper(),
            **result[f"speedup_{precision}"],
            "paper": paper["speedup"],
        }
        for precision, paper in PAPER.items()
    ]
    trees = tuple((f"trees = {t}", t, ".3f") for t in _TREES)
    yield from table((("", "precision", ""), *trees, ("paper, trees = 2", "paper", ".2f")), rows)
    yield "![speedup](plots/pacq-speedup.svg)"
    yield ""
    yield from _accuracy(result)


def _accuracy(result: dict[str, Any]) -> Iterable[str]:
    yield "### Accuracy"
    yield ""
    cases: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in result["rows"]:
        key = tuple(row[name] for name in ("k", "scale_group", "bits", "mean"))
        case = cases.setdefault(key, dict(zip(("k", "group", "bits", "mean"), key, strict=True)))
        error, lost = row["rel_rms_error"], row["not_finite"]
        text = "-" if error is None else f"{error:.2g}"
        case[row["arithmetic"]] = text + (f" ({lost:.0%} overflow)" if lost else "")
    columns = (
        ("k", "k", ""),
        ("scale group", "group", ""),
        ("weight bits", "bits", ""),
        ("mean of A", "mean", ""),
        ("exact", "exact", ""),
        ("as printed", "as_printed", ""),
        ("dequantized, FP16 sums", "dequantized", ""),
        ("dequantized, FP32 sums", "dequantized_fp32", ""),
    )
    yield from table(columns, list(cases.values()))
    yield "![errors](plots/pacq-errors.svg)"
    yield ""
    losses = {
        name: "none: overflow" if value is None else f"{value:.4f}"
        for name, value in result["loss"].items()
    }
    shown = (
        ("exact", "exact", ""),
        ("dequantized, FP32 sums", "dequantized", ""),
        ("as printed", "as_printed", ""),
        ("as printed, overflows mended", "as_printed_where_finite", ""),
    )
    yield "Nats per token of tinylm, 256 characters, INT4:"
    yield ""
    yield from table(shown, [losses])


def _energies(name: str, result: dict[str, Any]) -> Iterable[str]:
    """Yield figures 10 and 11 with the units measured in one library."""
    yield f"### EDP against dequantization (figure 10), units on {result['library']}"
    yield ""
    yield "By how much it is lower, at m16 n4096 k4096:"
    yield ""
    rows, per_watt = [], []
    for precision, paper in PAPER.items():
        reduction = result[f"edp_reduction_{precision}"]
        row = {"precision": precision.upper(), "paper": paper["edp"], **reduction}
        row["packed_k"] = result.get(f"edp_reduction_packed_k_{precision}")
        rows.append(row | {"paper_packed_k": paper["edp_packed_k"]})
        in_registers = {"precision": f"{precision.upper()}, dequantized in registers"}
        rows.append(in_registers | result[f"edp_reduction_registers_{precision}"])
        fp16 = result["units"]["fp16"]
        over = {t: fp16 / pj for t, pj in result["units"][precision].items()}
        per_watt.append({"precision": precision.upper(), **over})
        paper_row = {"precision": f"{precision.upper()}, paper", **paper["per_watt"]}
        per_watt.append(paper_row)
    trees = tuple((f"trees = {t}", t, ".1%") for t in _TREES)
    columns = (
        ("", "precision", ""),
        *trees,
        ("paper, trees = 2", "paper", ".1%"),
        ("packed along k", "packed_k", ".1%"),
        ("paper", "paper_packed_k", ".1%"),
    )
    yield from table(columns, rows, _NONE)
    yield f"![EDP]({PLOTS}/{name}-edp.svg)"
    yield ""
    yield "With the energy of one memory, of all together, halved and doubled; and of all tenfold:"
    yield ""
    yield from table(
        (("", "precision", ""), ("trees", "trees", ""), *_memories(result)), _moved(result)
    )
    yield "Throughput per watt of the units over that of the FP16 DP-4 (figure 11):"
    yield ""
    ratios = tuple((f"trees = {t}", t, ".2f") for t in _TREES)
    yield from table((("", "precision", ""), *ratios), per_watt, _NONE)
    yield from _multiplier(result)
    yield from _dense(result)
    versions = ", ".join(f"{tool} {version}" for tool, version in sorted(result["tools"].items()))
    yield f"Units at {result['clock_ps']:,.0f} ps, made with {versions}."
    yield ""
    yield from (f"- {note}" for note in result["notes"])
    yield ""


def _multiplier(result: dict[str, Any]) -> Iterable[str]:
    """Yield figure 8."""
    if "multiplier_units" not in result:
        return
    yield "The multiplier alone against an FP16 multiplier at the period of that (figure 8):"
    yield ""
    rows = []
    for name, unit in result["multiplier_units"].items():
        ratios = ("multiplier_throughput_per_area", "multiplier_throughput_per_watt")
        row = {"unit": name.upper(), **unit, **_ratios(result, name, ratios)}
        row["paper"] = PAPER[name]["multiplier_per_watt"] if name in PAPER else None
        rows.append(row)
    columns = (
        ("", "unit", ""),
        ("um2", "um2", ",.0f"),
        ("period ps", "min_period_ps", ",.0f"),
        ("throughput per area", "multiplier_throughput_per_area", ".2f"),
        ("pJ per product", "pj_per_product", ".2f"),
        ("throughput per watt", "multiplier_throughput_per_watt", ".2f"),
        ("paper", "paper", ".2f"),
    )
    yield from table(columns, rows, _NONE)


def _dense(result: dict[str, Any]) -> Iterable[str]:
    """Yield the dense unit against the FP16 DP-4."""
    if "dense_units" not in result:
        return
    yield (
        "The dense unit, `pacq.window_dot`, against the FP16 DP-4 at the period of that; DP-8 "
        "(figure 12a) has eight activations a step and half as many columns:"
    )
    yield ""
    rows = []
    for name, unit in result["dense_units"].items():
        precision = name.rpartition("_")[2]
        width = "DP-8" if name.startswith("dp8_") else "DP-4"
        ratios = ("throughput_per_area", "throughput_per_watt", "edp_reduction_dense")
        row = {"unit": f"{precision.upper()} {width}", **unit, **_ratios(result, name, ratios)}
        if name in PAPER:
            row["paper"] = max(PAPER[name]["per_watt"].values())
        elif name != "fp16":
            row["paper"] = _PAPER_DP8
        rows.append(row)
    columns = (
        ("", "unit", ""),
        ("um2 per MAC/cycle", "um2_per_mac_per_cycle", ",.0f"),
        ("period ps", "min_period_ps", ",.0f"),
        ("throughput per area", "throughput_per_area", ".2f"),
        ("pJ per MAC", "pj_per_mac", ".2f"),
        ("throughput per watt", "throughput_per_watt", ".2f"),
        ("paper's best", "paper", ".2f"),
        ("EDP lower by", "edp_reduction_dense", ".1%"),
    )
    yield from table(columns, rows, _NONE)
    replays = result["replays"]
    yield (
        f"Replays on the bundled model, in all ratios: {replays['groups']:.2%} of groups, "
        f"{replays['steps']:.3%} of steps, {replays['cycles']:.2%} of cycles."
    )
    yield ""


def _ratios(result: dict[str, Any], unit: str, names: Iterable[str]) -> dict[str, float | None]:
    """Return a unit's ratios by their names; the FP16 unit, which they are over, has none."""
    return {name: result.get(f"{name}_{unit}") for name in names}


def _memories(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    there = next(iter(result["edp_sensitivity_int4"].values()))
    return [(title, name, "") for name, title in _MEMORIES.items() if name in {*there, "tenfold"}]


def _moved(result: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for precision in PAPER:
        for trees, by_memory in result[f"edp_sensitivity_{precision}"].items():
            row = {"precision": precision.upper(), "trees": trees}
            for memory, by_factor in by_memory.items():
                row[memory] = " .. ".join(f"{by_factor[f]:.1%}" for f in ("0.5", "2.0"))
            row["tenfold"] = f"{by_memory['all']['10.0']:.1%}"
            rows.append(row)
    return rows
