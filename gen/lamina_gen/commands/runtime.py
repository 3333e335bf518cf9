"""`lamina runtime`."""

import json
from pathlib import Path
from typing import Any

import click

from lamina_gen.commands._study import settings_of, study_options

__all__ = ["command"]


@click.command("runtime")
@study_options
@click.option(
    "--share",
    "shares",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    multiple=True,
    help="Of all bytes to fetch, about; may be repeated; else 0.3 to 0.55.",
)
@click.option(
    "--units",
    type=click.Choice(["rows", "heads", "matrices"]),
    default="rows",
    show_default=True,
    help="What is fetched at one precision: 8 rows; whole heads of o; whole matrices.",
)
@click.option(
    "--step", type=click.IntRange(1), default=1, show_default=True, help="Tokens per fetch."
)
@click.option(
    "--tolerance",
    "tolerances",
    type=click.FloatRange(0, 10, min_open=True),
    multiple=True,
    help="Also search static planes for 8 rows within this loss, such as 0.01.",
)
@click.option(
    "--rtl",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Tokens whose weights store.device hands out in Verilator, at the first share.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="Write loss against bytes, .svg.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(
    checkpoint: str,
    shares: tuple[float, ...],
    units: str,
    step: int,
    tolerances: tuple[float, ...],
    rtl: int,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Fetch weights at the precision that each context needs: loss against bytes.

    Before each product, a runtime picks how many planes of which weights it reads from the store,
    by the activations that they will meet. Beside it: what does not look at the context. What the
    policies know is learned from the end of the text, which is not evaluated.

    \b
    Example:
      lamina runtime tinylm --weight-bits 8
      lamina runtime tinylm --weight-bits 8 --tokens 1024 --share 0.45 --rtl 4 --plot loss.svg
    """
    from lamina_gen.build import build_model
    from lamina_gen.console import progress
    from lamina_gen.context_study import SHARES, ContextStudy
    from lamina_gen.context_study import plot as draw
    from lamina_gen.study import Study
    from lamina_gen.text import MismatchError

    settings = settings_of(checkpoint, options)
    shares = shares or SHARES
    with progress("Opening") as report:
        study = ContextStudy(Study(settings, report), report, units)
        found: dict[str, Any] = {"checkpoint": checkpoint, "units": units, "step": step}
        found |= study.measure(shares, tolerances, step)
        if rtl:
            model = build_model("store.device", {}, progress=report)
            try:
                found["rtl"] = study.on_device(model, shares[0], rtl, step)
            except MismatchError as error:
                click.echo(f"lamina: {error}", err=True)
                raise click.exceptions.Exit(1) from None
    if plot:
        draw(found["rows"], plot)
    if as_json:
        click.echo(json.dumps(found))
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    from lamina_gen.console import output

    table = Table("policy", "aimed", box=None, pad_edge=False)
    for heading in ("bytes a step", "of all planes", "nats a token", "over all planes"):
        table.add_column(heading, justify="right")
    for row in found["rows"]:
        table.add_row(
            row["policy"],
            f"{row['aimed']:g}",
            f"{row['bytes_per_step']:,.0f}",
            f"{100 * row['share']:.1f} %",
            f"{row['loss']:.4f}",
            f"{row['over_whole']:+.4f}",
        )
    table.add_row("all planes", "", f"{found['bytes']:,}", "100.0 %", f"{found['loss']:.4f}", "")
    output().print(table)
    output().print(f"{found['tokens']} tokens.")
    if "rtl" in found:
        rtl = found["rtl"]
        output().print(
            f"On store.device, {rtl['tokens']} tokens: {rtl['lines_compared']:,} lines as golden "
            f"has them, {rtl['bytes_per_step']:,.0f} bytes a step asked for, "
            f"{rtl['axi_bytes_per_step']:,.0f} on AXI; "
            f"{rtl['cycles_per_step']:,.0f} cycles, {rtl['nj_per_step']:,.0f} nJ of DRAM."
        )
