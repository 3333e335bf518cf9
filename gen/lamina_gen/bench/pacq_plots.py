"""Plots of what `bench pacq` measured."""

from pathlib import Path
from typing import Any

from lamina_gen import plots

__all__ = ["plot_edp", "plot_errors", "plot_speedup"]

_TREES = ("1", "2", "4", "8")
_ROUNDED = ("as_printed", "dequantized", "dequantized_fp32")


def plot_speedup(result: dict[str, Any], path: Path, paper_figures: dict[str, Any]) -> None:
    """Speedup by trees, and the paper's at two."""
    chart, axes = plots.figure()
    for precision, paper in paper_figures.items():
        points = [(int(t), result[f"speedup_{precision}"][t]) for t in _TREES]
        axes.plot(*zip(*points, strict=True), marker="o", label=precision.upper())
        axes.plot(2, paper["speedup"], "x", color="0.3", label=f"{precision.upper()}, paper")
    axes.set(xlabel="trees", ylabel="speedup against the k-packed flow", xscale="log", yscale="log")
    ticks = [int(t) for t in _TREES]
    axes.set_xticks(ticks, _TREES)
    axes.set_yticks(ticks, _TREES)
    axes.minorticks_off()
    axes.legend(fontsize=7)
    plots.save(chart, path)


def plot_errors(result: dict[str, Any], path: Path) -> None:
    """Error by k of each arithmetic that has one."""
    chart, axes = plots.figure()
    for ending, style in (("", "-"), ("_int2", "--")):
        for number, name in enumerate(_ROUNDED):
            by_k = result[f"rel_rms_error{ending}"][name]
            points = [(int(k), error) for k, error in by_k.items() if error]
            label = f"{name.replace('_', ' ')}, {'INT2' if ending else 'INT4'}"
            axes.plot(
                *zip(*points, strict=True), style, marker="o", color=f"C{number}", label=label
            )
    axes.set(xlabel="k", ylabel="relative RMS error (exact: 0)", xscale="log", yscale="log")
    axes.legend(fontsize=7)
    plots.save(chart, path)


def plot_edp(result: dict[str, Any], path: Path, paper_figures: dict[str, Any]) -> None:
    """EDP by trees, and the paper's at two."""
    chart, axes = plots.figure()
    for number, (precision, paper) in enumerate(paper_figures.items()):
        reduction = result[f"edp_reduction_{precision}"]
        points = sorted((int(t), 1 - value) for t, value in reduction.items())
        color = f"C{number}"
        axes.plot(*zip(*points, strict=True), marker="o", color=color, label=precision.upper())
        axes.plot(2, 1 - paper["edp"], "x", color=color, label=f"{precision.upper()}, paper")
    axes.set(xlabel="trees", ylabel="EDP over that of dequantization")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)
    plots.save(chart, path)
