"""docs/results.md: the tables and plots that `make bench` brings up to date.

Each library that was measured has a file docs/results/pe-LIBRARY.json, and the FPGA pe-ecp5.json,
with what `lamina bench pe --json` printed of it; the page between its markers and the plots are
made of these files alone.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lamina_gen import plots
from lamina_gen.bench.pe import FIGURES

__all__ = [
    "DATA",
    "PAGE",
    "PAPER",
    "PLOTS",
    "load",
    "record",
    "render",
    "replaced",
    "table",
    "write",
]

#: Figure 15 of the Anda paper: area and energy efficiency per operation, FP-FP = 1.
PAPER = {
    "FP-FP": (1.00, 1.00),
    "FP-INT": (1.59, 1.93),
    "iFPU": (3.78, 3.51),
    "FIGNA": (5.58, 5.87),
    "FIGNA-M11": (6.55, 8.03),
    "FIGNA-M8": (8.09, 10.49),
    "Anda M13": (4.96, 5.74),
    "Anda M12": (5.34, 6.18),
    "Anda M11": (5.79, 6.69),
    "Anda M10": (6.31, 7.30),
    "Anda M9": (6.95, 8.03),
    "Anda M8": (7.72, 8.93),
    "Anda M7": (8.68, 10.04),
    "Anda M6": (9.92, 11.48),
    "Anda M5": (11.58, 13.39),
    "Anda M4": (13.89, 16.07),
}

#: The page, and the folders of what was measured and of plots.
PAGE, DATA, PLOTS = "results.md", "results", "plots"
_COLUMNS = (
    ("element", "name", ""),
    ("M", "mantissa_bits", "d"),
    ("MAC/cycle", "macs_per_cycle", ".4g"),
    ("um2 per MAC/cycle", "area_um2_per_mac_per_cycle", ",.0f"),
    ("of it accumulators", "area_accumulators_um2_per_mac_per_cycle", ",.0f"),
    ("period ps", "min_period_ps", ",.0f"),
    ("area x", "area_ratio", ".2f"),
    ("area x at equal clock", "area_at_clock_ratio", ".2f"),
    ("area x time x", "area_time_ratio", ".2f"),
    ("paper: area x", "paper_area", ".2f"),
    ("pJ per MAC", "energy_pj_per_mac", ".3g"),
    ("energy x", "energy_ratio", ".2f"),
    ("paper: energy x", "paper_energy", ".2f"),
)
_AGAINST = (
    ("M", "mantissa_bits", "d"),
    ("FIGNA plain: area", "plain_area", ".2f"),
    ("area at equal clock", "plain_area_at_clock", ".2f"),
    ("energy", "plain_energy", ".2f"),
    ("FIGNA dense: area", "dense_area", ".2f"),
    ("area at equal clock", "dense_area_at_clock", ".2f"),
    ("energy", "dense_energy", ".2f"),
)
_FPGA = (
    ("element", "name", ""),
    ("M", "mantissa_bits", "d"),
    ("MAC/cycle", "macs_per_cycle_ecp5", ".4g"),
    ("LUT4", "lut4", ",.0f"),
    ("FF", "ff", ",.0f"),
    ("DSP", "dsp", ",.0f"),
    ("block RAM", "bram", ",.0f"),
    ("fmax MHz", "fmax_mhz", ".0f"),
    ("LUT4 per MAC/cycle", "lut4_per_mac_per_cycle", ".4g"),
    ("LUT4 x", "lut4_ratio", ".2f"),
)
#: Plots, and the ratio that each shows.
_CELLS, _LUTS = ("area", "energy"), ("lut4",)
_LABELS = {"area": "area at equal clock", "energy": "energy", "lut4": "LUT4"}
_SHOWS = {"area": "area_at_clock_ratio", "energy": "energy_ratio", "lut4": "lut4_ratio"}
#: Text of a figure that nobody measured, and of one that there cannot be.
_MISSING, _NONE = "not measured", "-"
_OPTIONAL = {"mantissa_bits", "paper_area", "paper_energy"}
_IDENTITY = ("name", "module", "paper", "mantissa_bits", "parameters")


def record(result: dict[str, Any], docs: Path) -> None:
    """Keep what `bench pe` measured, each target on its own, then write page and plots anew."""
    folder = docs / DATA
    folder.mkdir(parents=True, exist_ok=True)
    for target in result["targets"]:
        name = result["library"] if target == "cells" else target
        if name is None:
            continue
        kept = (*_IDENTITY, *FIGURES[target])
        rows = [{figure: row[figure] for figure in kept} for row in result["rows"]]
        slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        text = json.dumps(result | {"targets": [target], "rows": rows}, indent=1, sort_keys=True)
        (folder / f"pe-{slug}.json").write_text(text + "\n")
    write(docs)


def load(docs: Path) -> dict[str, dict[str, Any]]:
    """Return what was measured by the file's name."""
    return {
        path.stem: json.loads(path.read_text()) for path in sorted((docs / DATA).glob("pe-*.json"))
    }


def write(docs: Path) -> None:
    """Write the page and the plots from the files."""
    page = docs / PAGE
    page.write_text(render(page.read_text(), load(docs)))
    (docs / PLOTS).mkdir(exist_ok=True)
    for name, result in load(docs).items():
        for kind in _plotted(result, _CELLS + _LUTS):
            _plot(result, kind, docs / PLOTS / f"{name}-{kind}.svg")


def render(page: str, results: dict[str, dict[str, Any]]) -> str:
    """Return ``page`` with what is between its markers made of ``results``."""
    sections = [text for name, result in results.items() for text in _section(name, result)]
    return replaced(page, "pe", sections or ["Nothing measured yet.", ""])


def replaced(page: str, name: str, lines: Iterable[str]) -> str:
    """Return ``page`` with ``lines`` between the markers of ``name``."""
    marks = f"<!-- {name}: made by `make bench` -->", f"<!-- end of {name} -->"
    before, begin, rest = page.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{PAGE} must have the markers {marks[0]} and {marks[1]}.")
    return "\n".join([before + begin, "", *lines, end]) + after


def _section(name: str, result: dict[str, Any]) -> Iterable[str]:
    """Yield the section of one cell library, or of the FPGA."""
    kinds = _CELLS if result["targets"] == ["cells"] else _LUTS
    if kinds is _LUTS:
        yield "### ECP5, LFE5U-85F, speed 6"
        yield ""
        yield from table(_FPGA, result["rows"])
    else:
        yield f"### {result['library']}"
        yield ""
        if result["clock_ps"]:
            yield f"The equal clock is {result['clock_ps']:,.0f} ps."
            yield ""
        yield from table(_COLUMNS, [row | _published(row["paper"]) for row in result["rows"]])
        yield from _figna_share(result["rows"])
        yield from _against(result["rows"])
    for kind in _plotted(result, kinds):
        yield f"![{kind}]({PLOTS}/{name}-{kind}.svg)"
    yield ""
    yield from _colophon(result)


def _figna_share(rows: list[dict[str, Any]]) -> Iterable[str]:
    """Yield how large plain FIGNA at M = 8 is beside the lane, by which others can check a flow."""
    for row in rows:
        if row["paper"] == "FIGNA-M8" and row["area_ratio"] and row["area_at_clock_ratio"]:
            yield (
                f"Area per MAC/cycle, FP-FP lane : plain FIGNA at M = 8: 1 : "
                f"{1 / row['area_at_clock_ratio']:.3f} at the equal clock, 1 : "
                f"{1 / row['area_ratio']:.3f} by the script made for speed; in the paper 1 : "
                f"{1 / PAPER['FIGNA-M8'][0]:.3f}."
            )
            yield ""


def _against(rows: list[dict[str, Any]]) -> Iterable[str]:
    """Yield what Anda takes over what FIGNA of the same mantissa length takes."""
    figures = {
        "area": "area_um2_per_mac_per_cycle",
        "area_at_clock": "area_at_clock_um2_per_mac_per_cycle",
        "energy": "energy_pj_per_mac",
    }
    by_name = {(row["name"], row["mantissa_bits"]): row for row in rows}
    compared = []
    for (name, bits), anda in by_name.items():
        line = {"mantissa_bits": bits}
        for structure in ("plain", "dense"):
            figna = by_name.get((f"FIGNA {structure}", bits), {})
            for short, figure in figures.items():
                mine, theirs = anda[figure], figna.get(figure)
                line[f"{structure}_{short}"] = mine / theirs if mine and theirs else None
        if name == "Anda" and any(line[key] for key in line if key != "mantissa_bits"):
            compared.append(line)
    if compared:
        yield "What Anda takes for a MAC over what FIGNA of the same M takes: above 1, FIGNA wins."
        yield ""
        yield from table(_AGAINST, compared)


def _colophon(result: dict[str, Any]) -> Iterable[str]:
    versions = ", ".join(f"{tool} {version}" for tool, version in sorted(result["tools"].items()))
    yield f"Made with {versions}."
    yield ""
    yield from (f"- {note}" for note in result["notes"])
    yield ""


def _published(line: str | None) -> dict[str, float]:
    if line is None:
        return {}
    return dict(zip(("paper_area", "paper_energy"), PAPER[line], strict=True))


def table(
    columns: Sequence[tuple[str, str, str]], rows: list[dict[str, Any]], missing: str = _MISSING
) -> Iterable[str]:
    """Yield a table in Markdown: of each column its title, its figure and the format of that.

    ``missing`` stands where a row has no such figure.
    """
    yield "| " + " | ".join(title for title, _, _ in columns) + " |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        cells = []
        for _, figure, form in columns:
            value = row.get(figure)
            none = _NONE if figure in _OPTIONAL else missing
            slower = figure == "area_at_clock_ratio" and row["meets_clock"] is False
            text = none if value is None else format(value, form)
            cells.append(f"({text})" if slower else text)
        yield "| " + " | ".join(cells) + " |"
    yield ""


def _plotted(result: dict[str, Any], kinds: Sequence[str]) -> list[str]:
    """Return those of ``kinds`` that there are figures of."""
    return [
        kind
        for kind in kinds
        if any(row.get(_SHOWS[kind]) and row["mantissa_bits"] for row in result["rows"])
    ]


def _plot(result: dict[str, Any], kind: str, path: Path) -> None:
    """Draw a ratio over the mantissa length, the paper's beside ours."""
    chart, axes = plots.figure()
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in result["rows"]:
        bits, ratio = row["mantissa_bits"], row[_SHOWS[kind]]
        if bits and ratio:
            lines.setdefault(row["name"], []).append((bits, ratio))
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    if kind in _CELLS:
        which = _CELLS.index(kind)
        anda = [(m, PAPER[f"Anda M{m}"][which]) for m in range(4, 14)]
        figna = [(8, "FIGNA-M8"), (11, "FIGNA-M11"), (13, "FIGNA")]
        axes.plot(*zip(*anda, strict=True), "--", color="0.5", label="Anda, paper")
        places = [(m, PAPER[line][which]) for m, line in figna]
        axes.plot(*zip(*places, strict=True), ":", color="0.5", label="FIGNA, paper")
    axes.set(xlabel="mantissa bits M", ylabel=f"{_LABELS[kind]} per MAC: FP-FP lane over element")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)
    plots.save(chart, path)
