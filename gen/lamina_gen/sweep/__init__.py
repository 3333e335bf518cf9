"""Design-space exploration: every point of a specification, evaluated once, on Dask.

A specification (TOML) names modules, values of their parameters, and targets; `read_spec` makes
points of it, `run` evaluates those that the `Results` do not have yet, and `plot` draws what is
worth building. docs/sweep.md has the format.
"""

from lamina_gen.sweep.driver import Cluster, run
from lamina_gen.sweep.pareto import Axes, front, plot
from lamina_gen.sweep.point import Outcome, Point
from lamina_gen.sweep.results import Results, Row
from lamina_gen.sweep.spec import Spec, read_spec

__all__ = [
    "Axes",
    "Cluster",
    "Outcome",
    "Point",
    "Results",
    "Row",
    "Spec",
    "front",
    "plot",
    "read_spec",
    "run",
]
