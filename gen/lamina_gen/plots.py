"""Plots as SVG files that are the same bytes whenever the figures are the same."""

import os
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["figure", "save"]


def figure(width: float = 6.4, height: float = 4.2) -> tuple[Any, Any]:
    """Return a new figure, in inches, and its axes, with a light grid."""
    # The object interface: no backend is chosen and no window system is asked for.
    from matplotlib.figure import Figure

    chart = Figure(figsize=(width, height), layout="constrained")
    axes = chart.add_subplot()
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)
    return chart, axes


def save(chart: Any, path: Path) -> None:
    """Write ``chart`` as SVG under ``path``, whole or not at all."""
    import matplotlib

    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        # By default element ids are random and the file tells the time.
        with matplotlib.rc_context({"svg.hashsalt": "lamina", "svg.fonttype": "none"}):
            chart.savefig(temporary, format="svg", metadata={"Date": None, "Creator": "Lamina"})
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
