"""Options that several subcommands share."""

from collections.abc import Callable
from typing import Any

import click

__all__ = ["configured", "parameter_options"]


def parameter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add MODULE, --config and --set to a command."""
    function = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set a parameter; `lamina describe MODULE` lists them. May be repeated.",
    )(function)
    function = click.option(
        "--config", metavar="CONFIG", help="A named configuration (tiny), or a TOML file like it."
    )(function)
    return click.argument("module")(function)


def configured(module: str, config: str | None, settings: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the registry's entry and the parameters that the options ask for.

    What ``settings`` says goes before what the configuration says, and that before the defaults.
    """
    from lamina_gen.configurations import settings_of
    from lamina_gen.registry import find, make_parameters

    entry = find(module)
    values = settings_of(config, entry.name) if config else {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ValueError(f"--set must be NAME=VALUE, not {setting!r}.")
        values[name] = value
    return entry, make_parameters(entry, values)
