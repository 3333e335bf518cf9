"""Options of the commands that evaluate a checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["settings_of", "study_options"]

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
