"""`lamina sweep`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

__all__ = ["command"]

_PATH = click.Path(path_type=Path)


@click.command("sweep")
@click.argument("spec", type=_PATH)
@click.option("--scheduler", metavar="ADDRESS", help="A Dask cluster that runs; else a local one.")
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    help="Processes of the local cluster; by default it is threads of this process.",
)
@click.option("--retry", is_flag=True, help="Evaluate the points that failed again.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=_PATH,
    help="Folder for results and plots; by default build/sweep/ and the name of SPEC.",
)
def command(
    spec: Path, scheduler: str | None, workers: int | None, retry: bool, folder: Path | None
) -> None:
    """Explore a design space: the points of SPEC, a TOML file, on Dask.

    Each point is kept in results.sqlite as it is finished. The same command goes on where one was
    stopped or killed; a point that fails is kept with its reason and stops nothing. For each target
    there is a Pareto plot.

    \b
    Example:
      lamina sweep docs/examples/adder_tree.toml
      lamina sweep docs/examples/adder_tree.toml --scheduler tcp://127.0.0.1:8786
    """
    if scheduler and workers:
        raise ValueError("--workers must not be given with --scheduler, which has its own.")
    missing = [name for name in ("distributed", "matplotlib") if find_spec(name) is None]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be installed: pip install 'lamina[synth]'.")
    from lamina_gen.console import output, progress
    from lamina_gen.sweep import Cluster, Results, plot, read_spec, run

    plan = read_spec(spec)
    folder = folder or Path("build", "sweep", spec.stem)
    with Results(folder / "results.sqlite") as results, progress("Starting") as report:
        cluster = Cluster(scheduler=scheduler, workers=workers)
        count = run(plan.points, results, cluster, retry=retry, progress=report)
        rows = results.rows(plan.points)
    console = output()
    for target in dict.fromkeys(row.target for row in rows):
        chosen = [row for row in rows if row.target == target]
        axes = plan.axes.get(target)
        _show(console, target, chosen, axes)
        if axes and any(axes.place(row) for row in chosen):
            path = folder / f"pareto-{target.replace(':', '-')}.svg"
            plot(chosen, axes, target, path)
            console.print(f"{path}\n", soft_wrap=True)
    failed = sum(row.sentence is not None for row in rows)
    console.print(
        f"{len(rows)} points, {count} of them evaluated now, {failed} failed: {results.path}",
        soft_wrap=True,
    )


def _show(console: Any, target: str, rows: list[Any], axes: Any) -> None:
    from rich.table import Table

    from lamina_gen.sweep import front

    best = {row.key for row in front(rows, axes)} if axes else set()
    figures = list(dict.fromkeys(name for row in rows for name in _flat(row.figures or {})))
    names = list(dict.fromkeys(name for row in rows for name in row.parameters))
    # A parameter that is the same everywhere tells nothing here; the file has it.
    names = [name for name in names if len({row.parameters.get(name) for row in rows}) > 1]
    title = f"{target} (* on the Pareto front of {axes.x} and {axes.y})" if axes else target
    table = Table(
        "", "module", *names, *figures, box=None, pad_edge=False, title=title, title_justify="left"
    )
    for row in rows:
        cells = [_text(row.parameters.get(name)) for name in names]
        flat = _flat(row.figures or {})
        values = [_text(flat.get(name)) for name in figures]
        table.add_row("*" if row.key in best else "", row.module, *cells, *values)
    console.print(table)
    for row in rows:
        if row.sentence:
            settings = " ".join(f"{name}={row.parameters.get(name)}" for name in names)
            console.print(f"failed: {row.module} {settings}: {row.sentence}", soft_wrap=True)


def _flat(figures: dict[str, Any]) -> dict[str, Any]:
    """Return single values by name, those of a table as outer.inner."""
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": item for inner, item in value.items()}
        elif not isinstance(value, list):
            flat[name] = value
    return flat


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.5g}" if isinstance(value, float) else str(value)
