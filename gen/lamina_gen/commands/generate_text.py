"""`lamina generate-text`."""

import json
from pathlib import Path
from typing import Any

import click

from lamina_gen.commands._study import precision_of, precision_options

__all__ = ["command"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("generate-text")
@click.option("--checkpoint", default="tinylm", show_default=True, help="As in `lamina eval`.")
@click.option("--prompt", required=True, help="The text to continue.")
@click.option("--engine", type=click.Choice(["anda", "pacq"]), default="anda", show_default=True)
@click.option("--on", type=click.Choice(["rtl", "golden"]), default="rtl", show_default=True)
@click.option("--count", default=100, show_default=True, help="Tokens to write.")
@click.option("--temperature", default=0.0, show_default=True, help="0: the most likely token.")
@click.option("--seed", default=0, show_default=True, help="Of the draws above temperature 0.")
@precision_options
@click.option("--planes", type=int, help="Planes of the weights that are fetched; else all.")
@click.option("--weight-bits", type=int, help="Of a code, 2 to 8; else 4.")
@click.option("--scale-group", type=int, help="Rows per scale; 0: per channel; else 128.")
@click.option("--tokenizer", type=_FILE, help="Else the one beside the checkpoint.")
@click.option("--config", default="tiny", show_default=True, help="Configuration of the system.")
@click.option("--energy", type=_FILE, help="What `lamina bench pe --json` printed; see below.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(
    prompt: str,
    count: int,
    temperature: float,
    seed: int,
    energy: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Continue a text; every product of the model is computed by the hardware.

    All matrices, the head's too, are written to the plane store as planes and fetched for each
    token; norms, attention and the choice of tokens are the host's. Each product is compared with
    the golden model: if one bit differs, the exit code is 1.

    Energy is that of the memory, and with --energy that of Anda's elements as measured, where the
    weights are symmetric INT4; each set of weights met four rows of activations there.

    \b
    Example:
      lamina generate-text --prompt "It was a fine morning, and " --mantissa-bits 7
    """
    from lamina_gen.console import output, progress
    from lamina_gen.text import MismatchError, Writer
    from lamina_gen.text_energy import Energy

    if count < 1:
        raise ValueError(f"--count must be at least 1, not {count}.")
    costs = Energy.load(energy) if energy else Energy()
    with progress("Opening") as report:
        writer = Writer(_settings(**options), progress=report)
        written = writer.write(prompt, count, temperature=temperature, seed=seed)
        writer.build()
    steps: list[Any] = []
    try:
        for step in written:
            if not as_json:
                # As it is: a console would replace what it takes for names of signs, and tabs.
                click.echo(step.text if steps else prompt + step.text, nl=False)
            steps.append(step)
    except MismatchError as error:
        click.echo(f"\nlamina: {error}", err=True)
        raise click.exceptions.Exit(1) from None
    rows = _rows(steps, costs, on_rtl=options["on"] == "rtl")
    if as_json:
        text = "".join(step.text for step in steps)
        tokens = [step.token for step in steps]
        click.echo(json.dumps({"text": text, "tokens": tokens, "rows": rows}))
        return
    click.echo()
    _show(rows, output())


def _settings(
    checkpoint: str,
    engine: str,
    mantissa_bits: str | None,
    file: Path | None,
    weight_bits: int | None,
    scale_group: int | None,
    **others: Any,
) -> Any:
    from lamina_gen.text import Settings

    if engine == "pacq" and mantissa_bits is not None:
        raise ValueError("--mantissa-bits is Anda's; PacQ takes FP16 as it is.")
    precision = precision_of(mantissa_bits, file)
    if file is not None:
        if weight_bits is not None or scale_group is not None:
            raise ValueError("--weight-bits and --scale-group: --precision has them.")
        weight_bits, scale_group = precision.weight_bits, precision.scale_group or 0
    return Settings(
        source=checkpoint,
        engine=engine,
        precision=precision,
        weight_bits=4 if weight_bits is None else weight_bits,
        scale_group=128 if scale_group is None else scale_group,
        **others,
    )


def _rows(steps: list[Any], costs: Any, *, on_rtl: bool) -> list[dict[str, Any]]:
    """What reading took, the prompt and the context anew, and what each other token did."""
    if not on_rtl:
        return [_row("all", steps)]
    read = [step for step in steps if step.positions > 1]
    kinds = {"reading": read, "writing": [step for step in steps if step.positions == 1]}
    return [_row(kind, part) | _costs(part, costs) for kind, part in kinds.items() if part]


def _row(kind: str, part: list[Any]) -> dict[str, Any]:
    seconds = sum(step.seconds for step in part)
    return {"kind": kind, "tokens": len(part), "tokens_per_second": len(part) / seconds}


def _costs(part: list[Any], costs: Any) -> dict[str, Any]:
    """Means per token, on the hardware."""
    number = len(part)
    lengths = sorted({length for step in part for length in step.macs})
    fetched = sum(step.bytes_fetched for step in part) / number
    return {
        "positions": sum(step.positions for step in part) / number,
        "cycles": sum(step.cycles for step in part) / number,
        "bytes_fetched": fetched,
        "memory_uj": costs.memory(fetched),
        "compute_uj": costs.compute(
            {n: sum(step.macs.get(n, 0) for step in part) / number for n in lengths}
        ),
    }


def _show(rows: list[dict[str, Any]], console: Any) -> None:
    from rich.table import Table

    hardware = "cycles" in rows[0]
    table = Table(title="Per token", box=None, pad_edge=False)
    headings = ["", "tokens"]
    if hardware:
        headings += ["positions", "cycles", "bytes fetched", "memory uJ", "elements uJ"]
    for heading in [*headings, "tokens per second"]:
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        cells = [row["kind"], f"{row['tokens']}"]
        if hardware:
            compute = row["compute_uj"]
            cells += [
                f"{row['positions']:.1f}",
                f"{row['cycles']:,.0f}",
                f"{row['bytes_fetched']:,.0f}",
                f"{row['memory_uj']:.2f}",
                "-" if compute is None else f"{compute:.2f}",
            ]
        table.add_row(*cells, f"{row['tokens_per_second']:.2f}")
    console.print(table)
    if hardware:
        console.print("Every product is bit-exact with golden.")
