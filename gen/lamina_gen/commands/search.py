"""`lamina search`."""

import json
from pathlib import Path
from typing import Any

import click

from lamina_gen.commands._study import settings_of, study_options

__all__ = ["command"]


@click.command("search")
@study_options
@click.option("--tolerance", required=True, help="Largest loss over w4a16, such as 1% or 0.01.")
@click.option(
    "--method",
    "search",
    type=click.Choice(["guided", "layers", "paper"]),
    default="guided",
    show_default=True,
    help="guided: a model of the loss picks tuples; layers: then lengths for each layer; "
    "paper: Anda's own search.",
)
@click.option("--iterations", default=32, show_default=True, help="Evaluations of tuples at most.")
@click.option(
    "--planes",
    type=click.Choice(["tensors", "rows"]),
    help="Then search planes of the weights, for each tensor or each 8 rows of it.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write what was found, .json, for eval, gemm and generate.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(
    checkpoint: str,
    tolerance: str,
    search: str,
    iterations: int,
    planes: str | None,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the fewest mantissa bits of Anda within a tolerated loss.

    One length each for the activations of qkv, o, u and d. Loss is perplexity over that of w4a16,
    less 1; every tuple is evaluated with the golden model of Anda, and printed as it comes.

    \b
    Example:
      lamina search tinylm --tolerance 1% -o tuple.json
      lamina search ./opt-125m --text c4.txt --tolerance 0.1% --method paper
    """
    from contextlib import ExitStack

    from lamina_gen.commands._arrays import whole_file
    from lamina_gen.console import progress
    from lamina_gen.precision_search import SearchSettings, find
    from lamina_gen.study import Study

    bound = _tolerance(tolerance)
    if iterations < 1:
        raise ValueError(f"--iterations must be at least 1, not {iterations}.")
    settings = settings_of(checkpoint, options)
    with ExitStack() as stack:
        file = stack.enter_context(whole_file(output)) if output else None
        report = stack.enter_context(progress("Opening"))
        study = Study(settings, report)
        found = find(
            study,
            SearchSettings(tolerance=bound, method=search, iterations=iterations, planes=planes),
            print_step=None if as_json else _print_step,
        )
        entries = {"checkpoint": checkpoint, **found}
        if file:
            file.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")
    if as_json:
        click.echo(json.dumps(entries))
        return
    _show(entries, output)


def _tolerance(text: str) -> float:
    number, percent = text.strip(), 1.0
    if number.endswith("%"):
        number, percent = number[:-1], 100.0
    try:
        value = float(number) / percent
    except ValueError:
        value = -1.0
    if not 0 < value < 10:
        raise ValueError(f"--tolerance must be a positive share such as 1% or 0.01, not {text!r}.")
    return value


def _print_step(number: int, step: Any, saving: float) -> None:
    lengths = " ".join(f"{m:2}" for m in step.mantissas)
    verdict = "accepted" if step.accepted else "rejected"
    click.echo(f"{number:3}  [{lengths}]  {saving:5.2f}x  {100 * step.loss:+9.4f} %  {verdict}")


def _show(entries: dict[str, Any], output: Path | None) -> None:
    lengths = entries["mantissa_bits"]
    for row in lengths if isinstance(lengths, list) else [lengths]:
        click.echo("  ".join(f"{kind} {m}" for kind, m in row.items()))
    click.echo(
        f"{entries['bops_saving']:.2f}x fewer bit operations than FP16 activations, "
        f"loss {100 * entries['loss']:+.4f} %, {entries['evaluations']} evaluations "
        f"({entries['whole_passes']:.1f} passes over all layers)."
    )
    if "plane_fraction" in entries:
        click.echo(
            f"{100 * entries['plane_fraction']:.1f} % of the bytes of all planes, loss "
            f"{100 * entries['plane_loss']:+.4f} %, {entries['plane_evaluations']} evaluations."
        )
    if output:
        click.echo(str(output))
