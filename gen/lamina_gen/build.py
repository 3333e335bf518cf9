"""From a module's name to a model that runs: generate, verilate, load."""

import functools
from collections.abc import Callable
from pathlib import Path

from lamina_gen.emit import Emission, emit
from lamina_gen.registry import find, make_parameters
from lamina_sim import verilated

__all__ = ["BUILD", "Progress", "build_model"]

#: Where generated Verilog stays, for those who want to read it.
BUILD = Path("build")

#: Called with what is being done and the finished fraction of it, 0 to 1.
Progress = Callable[[str, float], None]


def build_model(
    module: str, settings: dict, *, folder: Path = BUILD, progress: Progress | None = None
) -> verilated.Model:
    """Generate ``module`` with ``settings`` into ``folder`` and build it, or find it built.

    Built models are kept in $LAMINA_CACHE, by default build/verilated.

    Raises ValueError or TypeError for a bad name or setting, ToolError if a tool is missing.
    """
    emission = _emission(module, tuple(settings.items()))
    paths = emission.write(folder / "rtl" / _folder_name(emission.entry.top, settings))
    return verilated.build(paths["json"], progress=progress)


@functools.lru_cache(maxsize=8)
def _emission(module: str, settings: tuple) -> Emission:
    """Generate a module, which takes seconds: a process that comes again gets the same."""
    entry = find(module)
    return emit(entry, make_parameters(entry, dict(settings)))


def _folder_name(top: str, settings: dict) -> str:
    return "-".join([top, *(f"{name}={value}" for name, value in settings.items())])
