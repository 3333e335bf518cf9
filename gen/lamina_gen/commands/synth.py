"""`lamina synth`."""

import json
from pathlib import Path
from typing import Any

import click

from lamina_gen.commands._options import configured, parameter_options

__all__ = ["command"]


@click.command("synth")
@parameter_options
@click.option(
    "--target", required=True, metavar="TARGET", help="cells, ecp5, ice40, xilinx, gowin."
)
@click.option(
    "--liberty", type=click.Path(path_type=Path), metavar="FILE",
    help="For cells: the library, .lib or .lib.gz; else osu018 of Debian's qflow-tech-osu018.",
)  # fmt: skip
@click.option(
    "--clock-ps", type=float, metavar="PERIOD", help="For cells: give the area at this period too."
)
@click.option("--power", is_flag=True, help="For cells: run the netlist and give its power.")
@click.option("--prove", is_flag=True, help="For cells: prove the netlist equal to the Verilog.")
@click.option(
    "--prove-limit", type=float, metavar="SECONDS", help="How long a proof may take; else 120."
)
@click.option("--dsp", is_flag=True, help="For FPGAs: let multipliers use DSP blocks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(
    module: str,
    config: str | None,
    settings: tuple[str, ...],
    target: str,
    liberty: Path | None,
    clock_ps: float | None,
    power: bool,
    prove: bool,
    prove_limit: float | None,
    dsp: bool,
    as_json: bool,
) -> int:
    """Synthesize MODULE and report its size and speed.

    For cells: area, and the minimum period by OpenSTA where it is installed. For ecp5: resources,
    and the clock frequency by nextpnr on an LFE5U-85F of speed grade 6, the median of three seeds.
    For the others: resources. Finished steps are kept in build/synth, or $LAMINA_CACHE/synth.
    A netlist that is proved to differ from the Verilog: exit code 1.

    \b
    Example:
      lamina synth anda.element --target cells --liberty sky130.lib --clock-ps 9000
      lamina synth pacq.multiplier --target cells --prove
    """
    from lamina_gen.console import progress
    from lamina_gen.synth import synthesize

    if power and target != "cells":
        raise ValueError("Power is for the target cells only.")
    if prove and target != "cells":
        raise ValueError("A proof is for the target cells only.")
    if prove_limit is not None and not (prove and prove_limit > 0):
        raise ValueError("A limit must be above 0 s and for a proof: give --prove too.")
    entry, parameters = configured(module, config, settings)
    with progress(f"Generating {entry.name}") as report:
        result = synthesize(
            entry.name,
            vars(parameters),
            target,
            liberty=liberty,
            clock_ps=clock_ps,
            dsp=dsp,
            progress=report,
        )
        if power:
            from lamina_gen.bench.power import with_power

            report(f"{entry.name}: the netlist runs", 1.0)
            result = with_power(result, vars(parameters))
        if prove:
            from lamina_gen.synth.equivalence import LIMIT_S, with_proof

            result = with_proof(result, vars(parameters), prove_limit or LIMIT_S, report)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=1))
    else:
        _show(result)
    if result.figures.get("equivalence") != "different":
        return 0
    click.echo(f"lamina: {result.notes[-1]}", err=True)
    return 1


_UNITS = {"um2_ns": "um2 ns", "um2": "um2", "ps": "ps", "mhz": "MHz", "mw": "mW", "s": "s"}


def _show(result: Any) -> None:
    from rich.table import Table

    from lamina_gen.console import output

    console = output()
    settings = ", ".join(f"{name}={value}" for name, value in result.parameters.items())
    console.print(f"{result.module} ({settings or 'no parameters'}) on {result.target}")
    table = Table("figure", "value", "unit", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for row in _rows(result.figures):
        table.add_row(*row)
    console.print(table)
    if parts := result.figures.get("definitions"):
        table = Table("definition", "instances", "um2 each", box=None, pad_edge=False)
        for part in parts:
            table.add_row(part["name"], str(part["instances"]), f"{part['area_um2']:,.1f}")
        console.print(table)
    for line in (*result.notes, f"Netlist: {result.netlist}"):
        console.print(line, soft_wrap=True)
    tools = ", ".join(f"{name} {version}" for name, version in result.tools.items())
    console.print(tools, soft_wrap=True)


def _rows(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return name, text and unit of the figures that are there."""
    rows: list[tuple[str, ...]] = []
    for name, value in figures.items():
        if name == "resources":
            rows += [(kind, f"{count:,}") for kind, count in value.items()]
        elif name == "worst_path" and value:
            rows += [("worst path from", value["from"]), ("worst path to", value["to"])]
        elif name == "fmax_seeds":
            rows.append(("fmax of the seeds", ", ".join(f"{mhz:.1f}" for mhz in value), "MHz"))
        elif name != "definitions" and value is not None:
            label, unit = _split(name)
            rows.append((label, f"{value:,.1f}" if isinstance(value, float) else str(value), unit))
    return rows


def _split(name: str) -> tuple[str, str]:
    """Tell the unit at the end of a figure's name from the name."""
    for ending, unit in _UNITS.items():
        if name.endswith(f"_{ending}"):
            return name.removesuffix(f"_{ending}").replace("_", " "), unit
    return name.replace("_", " "), ""
