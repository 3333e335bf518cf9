"""Options of the commands that evaluate a checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["precision_of", "precision_options", "settings_of", "study_options"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_OPTIONS = (
    click.option("--text", type=_FILE, help="Text to evaluate on; tinylm has its own."),
    click.option("--tokenizer", type=_FILE, help="Else the one beside the checkpoint."),
    click.option("--tokens", default=8192, show_default=True, help="Tokens to evaluate at most."),
    click.option("--context", type=int, help="Tokens of a window; else the model's, up to 2048."),
    click.option("--weight-bits", default=4, show_default=True, help="Of a code, 2 to 8."),
    click.option(
        "--scale-group", default=128, show_default=True, help="Rows per scale; 0: per channel."
    ),
    click.option(
        "--quantize",
        "method",
        type=click.Choice(["nearest", "gptq", "nested"]),
        default="nearest",
        show_default=True,
        help="How float weights become codes; gptq and nested calibrate on the text's end.",
    ),
    click.option("--asymmetric", is_flag=True, help="With zero points."),
)


def study_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add CHECKPOINT and what else says how to evaluate it to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return click.argument("checkpoint")(function)


def settings_of(checkpoint: str, options: dict[str, Any]) -> Any:
    """The `Settings` of the options; what is not one of them is taken out of `options`."""
    from lamina_gen.study import Settings

    names = ("text", "tokenizer", "tokens", "context", "weight_bits", "scale_group", "method")
    asymmetric = options.pop("asymmetric")
    values = {name: options.pop(name) for name in names}
    if asymmetric and values["method"] == "nested":
        raise ValueError("--asymmetric must not go with --quantize nested, which is symmetric.")
    return Settings(source=checkpoint, symmetric=not asymmetric, **values)


def precision_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `mantissa_bits` and `file` to a command: what `precision_of` takes."""
    function = click.option(
        "--precision",
        "file",
        type=_FILE,
        help="Mantissa lengths and planes as `lamina search` wrote them.",
    )(function)
    return click.option(
        "--mantissa-bits", help="Of anda: one length, or four for qkv,o,u,d; else 8.", metavar="M"
    )(function)


def precision_of(mantissa_bits: str | None, file: Path | None) -> Any:
    """The `Precision` of the options, of one length or four, or that of a file."""
    from lamina_gen.study import read_precision
    from lamina_sim.workload.precision import Precision

    if file is not None:
        if mantissa_bits is not None:
            raise ValueError("--mantissa-bits must not go with --precision, which says them.")
        return read_precision(file)
    try:
        lengths = tuple(int(field) for field in (mantissa_bits or "8").split(","))
    except ValueError:
        lengths = ()
    if len(lengths) not in (1, 4):
        raise ValueError(f"--mantissa-bits must be one or four numbers, not {mantissa_bits!r}.")
    return Precision.of(lengths * 4 if len(lengths) == 1 else lengths)
