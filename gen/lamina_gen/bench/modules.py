"""What each module costs and how fast it is by its own account, with default parameters."""

from typing import Any

from lamina_gen.describe import describe_figures
from lamina_gen.registry import MODULES, make_parameters

__all__ = ["measure"]


def measure() -> dict[str, Any]:
    """Ask the parameters of each module; the tests of each module check the answers."""
    rows = [
        {"module": name, **describe_figures(make_parameters(entry, {}))}
        for name, entry in MODULES.items()
    ]
    return {"rows": rows}
