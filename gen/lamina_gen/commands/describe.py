"""`lamina describe`."""

import json
from typing import Any

import click

from lamina_gen.commands._options import configured, parameter_options

__all__ = ["command"]


@click.command("describe")
@parameter_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(module: str, config: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Show the ports, parameters, latency, throughput and storage of MODULE.

    \b
    Example:
      lamina describe anda.element --set columns=8
    """
    from lamina_gen.describe import describe

    entry, parameters = configured(module, config, settings)
    description = describe(entry, parameters)
    if as_json:
        click.echo(json.dumps(description, indent=1))
    else:
        _show(description)


def _show(description: dict[str, Any]) -> None:
    from rich.table import Table

    from lamina_gen.console import output

    console = output()
    console.print(f"{description['module']} ({description['stage']})", style="bold")
    console.print(description["contract"], soft_wrap=True)

    figures = Table("figure", "value", box=None, pad_edge=False, title_justify="left")
    figures.add_row("latency", f"{description['latency']} cycles")
    figures.add_row("throughput", str(description["throughput"]))
    figures.add_row("storage", f"{description['storage_bits']} bits")

    parameters = Table("parameter", "type", "default", "value", "meaning", box=None, pad_edge=False)
    for row in description["parameters"]:
        texts = ["" if row[key] is None else str(row[key]) for key in ("default", "value")]
        parameters.add_row(row["name"], row["type"], *texts, row["meaning"])

    ports = Table("port", "kind", "direction", "bits", "at", "signals", box=None, pad_edge=False)
    for port in description["ports"]:
        signals = ", ".join(name for name in port["signals"].values() if name)
        width = port["shape"]["width"] if "shape" in port else port["data_width"]
        ports.add_row(port["name"], port["kind"], port["direction"], str(width), "", signals)
        for depth, name, shape, offset in _fields(port.get("shape", {}), 0):
            bits = f"{shape['width']}{' signed' if shape.get('signed') else ''}"
            ports.add_row(f"{'  ' * (depth + 1)}{name}", "", "", bits, str(offset), "")
    for table in (figures, parameters, ports):
        if table.row_count:
            console.print()
            console.print(table)


def _fields(shape: dict[str, Any], base: int, depth: int = 0) -> Any:
    """Yield depth, name, shape and bit offset of each field within ``shape``, outermost first."""
    if shape.get("kind") == "array":
        element = shape["element"]
        yield depth, f"[0..{shape['length'] - 1}] x {element['width']}", element, base
        yield from _fields(element, base, depth + 1)
    for field in shape.get("fields", []):
        offset = base + field["offset"]
        yield depth, field["name"], field["shape"], offset
        yield from _fields(field["shape"], offset, depth + 1)
