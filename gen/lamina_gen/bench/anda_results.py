"""docs/results.md: Anda's array and engine beside the values that its paper prints.

docs/results/anda.json has what needs no cell library, docs/results/anda-LIBRARY.json what was
measured with one; the page between its markers is made of these files alone.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lamina_gen.bench.contenders import MANTISSA_BITS
from lamina_gen.bench.results import DATA, PAGE, replaced, table

__all__ = ["record", "render", "write"]

#: The paper's geometric means at a loss of 0.1 % and of 1 % (its figure 16).
_PAPER = {
    "speedup": (2.14, 2.49),
    "area_efficiency": (3.47, 4.03),
    "energy_efficiency": (3.07, 3.16),
    "energy_efficiency_same_tiles": (3.07, 3.16),
}
_NAME = "anda"
_LOSSES = {"01pct": "0.1%", "1pct": "1%"}
#: What needs a library: the rest does not change with it.
_MEASURED = ("area_", "energy_", "clock_ps", "min_period_ps", "meets_clock", "macro_bits", "tools")
_CYCLES = (
    ("M", "mantissa_bits", ""),
    ("cycles of a group", "cycles_per_group", ".0f"),
    ("array busy, m = n = 64, k = 1024", "utilization_prefill", ".1%"),
    ("weight port busy, m = 1", "weight_port_utilization_decode", ".1%"),
)
_CELLS = (
    ("M", "mantissa_bits", ""),
    ("area: FP-FP lane over Anda", "area_ratio_fp_fp", ".2f"),
    ("area x time: FP-FP lane over Anda", "area_time_ratio_fp_fp", ".2f"),
    ("area: plain FIGNA of this M over Anda", "area_ratio_figna", ".2f"),
    ("pJ per MAC", "energy_pj_per_mac", ".3g"),
    ("energy: FP-FP lane over Anda", "energy_ratio_fp_fp", ".2f"),
)


def record(result: dict[str, Any], docs: Path) -> None:
    """Keep what `bench anda` measured, then write the page anew."""
    (docs / DATA).mkdir(parents=True, exist_ok=True)
    own = {name: value for name, value in result.items() if not _of_library(name)}
    parts = {_NAME: own}
    if "tools" in result:
        parts[f"{_NAME}-{_plain(result['tools']['liberty'])}"] = {
            name: value for name, value in result.items() if name not in own
        }
        # Efficiencies of single models are the library's, too; the page has their means.
        own["rows"] = [
            {name: value for name, value in row.items() if "_efficiency" not in name}
            for row in own["rows"]
        ]
    for name, part in parts.items():
        text = json.dumps(part, indent=1, sort_keys=True)
        (docs / DATA / f"{name}.json").write_text(text + "\n")
    write(docs)


def write(docs: Path) -> None:
    """Write the page from the files."""
    files = sorted((docs / DATA).glob(f"{_NAME}*.json"), key=lambda path: path.stem)
    results = {path.stem: json.loads(path.read_text()) for path in files}
    page = docs / PAGE
    page.write_text(render(page.read_text(), results))


def render(page: str, results: dict[str, dict[str, Any]]) -> str:
    """Return ``page`` with what is between its markers made of ``results``."""
    lines: list[str] = []
    for name, result in results.items():
        lines += _cycles(result) if name == _NAME else _cells(result)
    lines = [line.replace("%", " %") for line in lines]
    return replaced(page, _NAME, lines or ["Nothing measured yet.", ""])


def _of_library(name: str) -> bool:
    return name.startswith((*_MEASURED, "notes")) or (
        name.startswith("system_") and "_efficiency_" in name
    )


def _plain(library: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", library.lower()).strip("_")


def _cycles(result: dict[str, Any]) -> Iterable[str]:
    """Yield what the engine's cycles say."""
    yield from table(_CYCLES, _by_length(result, _CYCLES, (*sorted(MANTISSA_BITS), 16)))
    yield "Geometric means of nine models, over FP-FP:"
    yield ""
    yield from _means(result)
    gemms, wrong = (result[f"model_vs_rtl_{what}"] for what in ("gemms", "cycle_mismatches"))
    yield f"{gemms} products in Verilator, of {wrong} the model's counters are wrong."
    yield ""


def _cells(result: dict[str, Any]) -> Iterable[str]:
    """Yield what was measured with a library."""
    yield f"### Array on {result['tools']['liberty']}"
    yield ""
    yield from table(_CELLS, _by_length(result, _CELLS, sorted(MANTISSA_BITS)))
    meets = "meets" if result["meets_clock"] else "misses"
    yield (
        f"{result['area_um2_per_element']:,.0f} um2 for each of 256 elements of 64 lanes, all of "
        f"the array counted; it {meets} the FP-FP lane's {result['clock_ps']:,.0f} ps, at which "
        f"the lane takes {result['area_fp_fp_um2']:,.0f} um2."
    )
    yield ""
    if "system_area_efficiency_geomean_1pct" in result:
        yield from _means(result)
    tools = ", ".join(f"{name} {version}" for name, version in sorted(result["tools"].items()))
    yield f"Made with {tools}."
    yield ""
    for note in result["notes"]:
        yield f"- {note}"
    yield ""


def _means(result: dict[str, Any]) -> Iterable[str]:
    columns = [("figure", "figure", "")]
    for place, (loss, title) in enumerate(_LOSSES.items()):
        columns += [(f"loss {title}", loss, ".2f"), (f"paper, {title}", f"paper_{place}", ".2f")]
    rows = []
    for figure, paper in _PAPER.items():
        found = {loss: result.get(f"system_{figure}_geomean_{loss}") for loss in _LOSSES}
        if None not in found.values():
            beside = {f"paper_{place}": value for place, value in enumerate(paper)}
            rows.append({"figure": figure.replace("_", " "), **found, **beside})
    yield from table(columns, rows)


def _by_length(
    result: dict[str, Any], columns: Iterable[tuple[str, str, str]], lengths: Iterable[int]
) -> list[dict[str, Any]]:
    """Return a row for each length of what ``result`` has by length."""
    figures = [figure for _, figure, _ in columns if figure != "mantissa_bits"]
    return [
        {"mantissa_bits": bits}
        | {figure: result.get(figure, {}).get(str(bits)) for figure in figures}
        for bits in lengths
    ]
