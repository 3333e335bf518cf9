"""`lamina eval`."""

import json
from pathlib import Path
from typing import Any

import click

from lamina_gen.commands._study import precision_of, precision_options, settings_of, study_options

__all__ = ["command"]


@click.command("eval")
@study_options
@click.option(
    "--arithmetic",
    "names",
    multiple=True,
    metavar="NAME",
    help="float, w4a16, anda, figna, pacq, pacq-printed; may be repeated; else all but the last.",
)
@precision_options
@click.option("--planes", type=int, help="Planes of the weights that are read; else all.")
@click.option(
    "--reading",
    type=click.Choice(["truncate", "nearest", "midpoint"]),
    help="How --planes are read; else truncate.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(
    checkpoint: str,
    names: tuple[str, ...],
    mantissa_bits: str | None,
    file: Path | None,
    planes: int | None,
    reading: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate the loss of a language model under an engine's arithmetic.

    CHECKPOINT is tinylm, a Hugging Face folder (Llama, OPT; floats, GPTQ or AWQ) or a llama2.c
    .bin. All products of the layers go through the golden models. The reference is w4a16, if it is
    among the arithmetics.

    \b
    Example:
      lamina eval tinylm --arithmetic w4a16 --arithmetic anda --mantissa-bits 7,6,6,5
      lamina eval ./Llama-2-7b --text wikitext.txt --quantize gptq --tokens 4096
    """
    from lamina_gen.console import progress
    from lamina_gen.study import Study, entries_of
    from lamina_sim.workload.arithmetic import ARITHMETICS

    for name in names:
        if name not in ARITHMETICS:
            raise ValueError(f"--arithmetic must be one of {', '.join(ARITHMETICS)}, not {name!r}.")
    settings = settings_of(checkpoint, options)
    precision = precision_of(mantissa_bits, file)
    with progress("Opening") as report:
        study = Study(settings, report)
        precision.check(study.model.products(), study.model.layers)
        codes = _read(study, precision if file else None, planes, reading)
        # PacQ multiplies by INT4 and INT2 alone.
        others = ("pacq",) if study.weight_bits in (2, 4) else ()
        chosen = names or ("float", "w4a16", "anda", "figna", *others)
        scores = {}
        for name in sorted(chosen, key=lambda name: name != "w4a16"):
            report(f"Evaluating {name}", 0.0)
            scores[name] = study.score(name, precision if name == "anda" else None, codes)
    reference = scores.get("w4a16")
    rows = {name: entries_of(scores[name], reference) for name in chosen}
    if as_json:
        click.echo(json.dumps({"checkpoint": checkpoint, "arithmetics": rows}))
        return
    _show(rows)


def _read(study: Any, precision: Any, planes: int | None, reading: str | None) -> Any:
    """The codes as their planes are read; None where all of them are."""
    from lamina_sim.workload.nested import read_planes
    from lamina_sim.workload.search.planes import read_rows

    if planes is not None:
        for q in study.codes.values():
            if not 1 <= planes <= q.bits:
                raise ValueError(f"--planes must be between 1 and {q.bits}, not {planes}.")
        return {n: read_planes(q, planes, reading or "truncate") for n, q in study.codes.items()}
    if reading is not None:
        raise ValueError("--reading needs --planes.")
    if precision is None or not precision.planes:
        return None
    whole = {name: [q.bits] for name, q in study.codes.items()}
    named = {name: units for name, units in precision.planes.items() if name in whole}
    part = {name: study.codes[name] for name in named}
    return study.codes | read_rows(part, named, precision.rows, precision.reading)


def _show(rows: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table

    from lamina_gen.console import output

    table = Table(box=None, pad_edge=False)
    table.add_column("arithmetic")
    for heading in ("nats per token", "perplexity", "over w4a16", "ms per token"):
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        over = row["over_reference"]
        table.add_row(
            name,
            f"{row['loss']:.4f}",
            f"{row['perplexity']:.4f}",
            "-" if over is None else f"{100 * over:+.3f} %",
            f"{1000 * row['seconds_per_token']:.3f}",
        )
    output().print(table)
    output().print(f"{row['tokens']} tokens.")
