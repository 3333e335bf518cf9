"""Named configurations: TOML files with one table of parameters for each module they set."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

__all__ = ["names", "read", "settings_of"]


def names() -> list[str]:
    """List the configurations that come with Lamina."""
    files = (resources.files("lamina_gen") / "configs").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read(config: str) -> dict[str, dict[str, Any]]:
    """Return the tables of a named configuration, or of a TOML file, by module name.

    Raises ValueError for an unknown name or a file that is no such TOML, OSError for no file.
    """
    if config in names():
        text = (resources.files("lamina_gen") / "configs" / f"{config}.toml").read_text()
    elif config.endswith(".toml"):
        text = Path(config).read_text()
    else:
        raise ValueError(
            f"The configuration must be one of {', '.join(names())} or a .toml file, "
            f"not {config!r}."
        )
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{config} must be valid TOML: {error}.") from None
    for module, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{config} must hold one table per module; {module} is none.")
    return tables


def settings_of(config: str, module: str) -> dict[str, Any]:
    """Return what ``config`` sets of ``module``: nothing if it does not name it."""
    return dict(read(config).get(module, {}))
