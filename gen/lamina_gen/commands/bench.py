"""`lamina bench`."""

import json
from typing import Any

import click

__all__ = ["command"]


@click.command("bench")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(name: str, as_json: bool) -> None:
    """Measure the figures that the documentation quotes.

    NAME is a bench or `all`; `lamina bench list` names them.

    \b
    Example:
      lamina bench golden --json
    """
    from lamina_gen.bench import BENCHES, run
    from lamina_gen.console import output, status

    if name == "list":
        for bench, (_, summary) in BENCHES.items():
            click.echo(f"{bench:12} {summary}")
        return
    if name != "all" and name not in BENCHES:
        choices = ", ".join([*BENCHES, "all", "list"])
        raise ValueError(f"There is no bench {name!r}; it must be one of {choices}.")
    results = {}
    for bench in BENCHES if name == "all" else [name]:
        with status(f"Measuring {bench}"):
            results[bench] = run(bench)
        if not as_json:
            _show(output(), bench, results[bench])
    if as_json:
        click.echo(json.dumps(results if name == "all" else results[name]))


def _show(console: Any, bench: str, result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("figure", "value", box=None, pad_edge=False, title=bench, title_justify="left")
    for name, value in result.items():
        if name != "rows":
            table.add_row(name, _text(value))
    if table.row_count:
        console.print(table)
    if rows := result.get("rows"):
        table = Table(*rows[0], box=None, pad_edge=False)
        for row in rows:
            table.add_row(*map(_text, row.values()))
        console.print(table)
    console.print()


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
