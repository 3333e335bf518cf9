"""Named configurations: TOML files with one table of parameters for each module they set."""

import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

__all__ = ["names", "read", "settings_of"]


def names() -> list[str]:
    """List the configurations that come with Lamina."""
    files = (resources.files("lamina_gen") / "configs").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read(config: str) -> dict[str, dict[str, Any]]:
    """Return the tables of a named configuration, or of a TOML file, by module name.

    A .json file is what `lamina search` wrote: it sets the width of the weights. Mantissa lengths
    are told to the hardware with every group, so that one machine computes all of them.
    Raises ValueError for an unknown name or a file that is no such TOML, OSError for no file.
    """
    if config.endswith(".json"):
        from lamina_gen.study import read_precision

        bits = {"weight_bits": read_precision(Path(config)).weight_bits}
        return {"anda.element": bits, "anda.accumulator": bits, "system": {"engine": "anda"} | bits}
    if config in names():
        source: Traversable = resources.files("lamina_gen") / "configs" / f"{config}.toml"
    elif config.endswith(".toml"):
        source = Path(config)
    else:
        raise ValueError(
            f"The configuration must be one of {', '.join(names())} or a .toml or .json file, "
            f"not {config!r}."
        )
    try:
        tables = tomllib.loads(source.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{config} must be valid TOML: {error}.") from None
    for module, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{config} must hold one table per module; {module} is none.")
    return tables


def settings_of(config: str, module: str) -> dict[str, Any]:
    """Return what ``config`` sets of ``module``: nothing if it does not name it."""
    return dict(read(config).get(module, {}))
