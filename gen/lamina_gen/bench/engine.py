"""`lamina bench engine`: what a whole engine costs those who simulate it."""

import re
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lamina_gen.bench.anda import random_product
from lamina_gen.emit import emit
from lamina_gen.gemm.engine import Operands, matrix, model_of
from lamina_gen.registry import find, make_parameters
from lamina_sim import verilated
from lamina_sim.perf import anda

__all__ = ["SIZES", "measure"]

_T = TypeVar("_T")

#: Engines of 256 elements whose ports are the paper's 1,024 bits each: of the paper's rows and
#: columns, a plane a cycle; and of half the rows and twice the columns, two planes a cycle.
SIZES: dict[str, dict[str, Any]] = {
    "16x16": {"rows": 16, "columns": 16, "block_columns": 4, "planes": 1, "depth": 8192},
    "8x32": {"rows": 8, "columns": 32, "block_columns": 4, "planes": 2, "depth": 8192},
}
#: m, n, groups of k, M of the product that is run.
_PRODUCT = (128, 128, 16, 7)


def measure(progress: Callable[[str, float], None] | None = None) -> dict[str, Any]:
    """Generate, build and run each engine, once, from nothing.

    ``verilog_seconds``, ``build_seconds`` (Verilator and g++, with Verilator's runtime) and
    ``cycles_per_second`` are in CPU time of one core, tools included, so that what else a machine
    does counts little. ``modules``, ``defined_twice``: definitions in the Verilog.
    """

    def report(what: str, fraction: float) -> None:
        if progress:
            progress(what, fraction)

    rows = []
    for number, (name, settings) in enumerate(SIZES.items()):
        at = partial(report, fraction=number / len(SIZES))
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_row(name, settings, Path(folder), at))
    return {"rows": rows}


def _row(
    name: str, settings: dict[str, Any], folder: Path, report: Callable[[str], None]
) -> dict[str, Any]:
    entry = find("anda.engine")
    parameters: Any = make_parameters(entry, settings | {"registers": False})
    report(f"{name}: Verilog")
    emission, verilog_seconds = _timed(lambda: emit(entry, parameters))
    paths = emission.write(folder)
    report(f"{name}: Verilator and g++")
    model, build_seconds = _timed(
        lambda: verilated.build(paths["json"], cache=folder / "cache", jobs=1)
    )
    report(f"{name}: a product")
    m, n, _, _ = _PRODUCT
    problem = random_product(np.random.default_rng(1), *_PRODUCT)
    operands = Operands.of(problem, model_of(parameters))
    inputs, beats = operands.inputs(), anda.cost(operands.engine, operands.gemm).result_beats
    run, run_seconds = _timed(lambda: model.run(inputs, outputs={"o": beats, "o_done": 1}))
    result = matrix(run["o"].values, m, n)
    if not np.array_equal(result.view(np.uint32), problem.expected.view(np.uint32)):
        raise RuntimeError(f"The product of the {name} engine is not that of golden.")
    names = re.findall(r"^module (\S+?) ?\(", emission.files["v"], re.M)
    return {
        "engine": name,
        "configuration": settings,
        "verilog_seconds": verilog_seconds,
        "verilog_bytes": len(emission.files["v"].encode()),
        "modules": len(names),
        "defined_twice": len(names) - len(set(names)),
        "build_seconds": build_seconds,
        "cycles": run.cycles,
        "cycles_per_second": run.cycles / run_seconds,
    }


def _timed(work: Callable[[], _T]) -> tuple[_T, float]:
    """Return what ``work`` returns, and the CPU time that it and its programs took."""
    before = _cpu_seconds()
    result = work()
    return result, _cpu_seconds() - before


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
