"""From a module's name to a model that runs: generate, verilate, load."""

from collections.abc import Callable
from pathlib import Path

from lamina_gen.emit import emit
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
    entry = find(module)
    emission = emit(entry, make_parameters(entry, settings))
    paths = emission.write(folder / "rtl" / _folder_name(entry.top, settings))
    return verilated.build(paths["json"], progress=progress)


def _folder_name(top: str, settings: dict) -> str:
    return "-".join([top, *(f"{name}={value}" for name, value in settings.items())])
