"""`lamina bench`."""

import json
import os
from pathlib import Path
from typing import Any

import click

__all__ = ["command"]

#: Columns of a bench's table on screen, where they are not all.
_SHOWN = {
    "pe": (
        "name",
        "mantissa_bits",
        "area_um2_per_mac_per_cycle",
        "area_at_clock_ratio",
        "min_period_ps",
        "energy_pj_per_mac",
        "energy_ratio",
        "lut4_per_mac_per_cycle",
        "lut4_ratio",
        "fmax_mhz",
    )
}


@click.command("bench")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--liberty",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="For `pe`, `anda`, `pacq`: cell library; else $LAMINA_LIBERTY, for `pe` Debian's osu018.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="TARGET",
    help="For `pe`: cells or ecp5 only.",
)
@click.option(
    "--element",
    "elements",
    multiple=True,
    metavar="NAME",
    help="For `pe`: rows of this name only, say Anda or `FIGNA plain`; may be repeated.",
)
@click.option(
    "--docs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Bring tables and plots of this folder up to date with `pe`, `anda`, `pacq`, `runtime`.",
)
def command(
    name: str,
    as_json: bool,
    liberty: Path | None,
    targets: tuple[str, ...],
    elements: tuple[str, ...],
    docs: Path | None,
) -> None:
    """Measure the figures that the documentation quotes.

    NAME is a bench or `all`; `lamina bench list` names them.

    \b
    Example:
      lamina bench golden --json
      lamina bench pe --liberty my.lib --target cells --json
    """
    from lamina_gen.bench import BENCHES, run
    from lamina_gen.console import output, progress

    if name == "list":
        for bench, (_, summary) in BENCHES.items():
            click.echo(f"{bench:12} {summary}")
        return
    if name != "all" and name not in BENCHES:
        choices = ", ".join([*BENCHES, "all", "list"])
        raise ValueError(f"There is no bench {name!r}; it must be one of {choices}.")
    if docs and elements:
        raise ValueError("The tables of --docs need all elements: --element must not be given.")
    environment = os.environ.get("LAMINA_LIBERTY")
    options: dict[str, Any] = {
        "liberty": liberty or (Path(environment) if environment else None),
        "elements": elements,
    }
    if targets:
        options["targets"] = targets
    results = {}
    for bench in BENCHES if name == "all" else [name]:
        with progress(f"Measuring {bench}") as report:
            results[bench] = run(bench, report, **options)
        if not as_json:
            _show(output(), bench, results[bench])
    if docs:
        _record(results, docs)
    if as_json:
        click.echo(json.dumps(results if name == "all" else results[name]))


def _record(results: dict[str, Any], docs: Path) -> None:
    """Bring the page of results up to date with what was measured of it."""
    from lamina_gen.bench import anda_results, pacq_results, runtime
    from lamina_gen.bench import results as pe_results

    recorders = {"pe": pe_results, "anda": anda_results, "pacq": pacq_results, "runtime": runtime}
    for name, module in recorders.items():
        if name in results:
            module.record(results[name], docs)


def _show(console: Any, bench: str, result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("figure", "value", box=None, pad_edge=False, title=bench, title_justify="left")
    for name, value in result.items():
        if name != "rows":
            table.add_row(name, _text(value))
    if table.row_count:
        console.print(table)
    if rows := result.get("rows"):
        # What has an inner structure is for JSON, and so is what no screen has room for.
        names = _SHOWN.get(bench, tuple(rows[0]))
        values = {name: [row[name] for row in rows] for name in names}
        shown = [
            name
            for name, column in values.items()
            if any(value is not None for value in column)
            and not any(isinstance(value, dict | list) for value in column)
        ]
        table = Table(*shown, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(_text(row[name]) for name in shown))
        console.print(table)
    console.print()


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
