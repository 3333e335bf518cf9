"""The figures that the documentation quotes: each bench is a function that returns a dict.

Figures that depend on a parameter are dicts keyed by its value; tables are lists under ``rows``.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["BENCHES", "run"]

#: As `lamina_gen.build.Progress`, whose import would make `lamina bench --help` slow.
Progress = Callable[[str, float], None]

#: Name: the function, imported when it is called, and what it measures.
BENCHES = {
    "modules": ("lamina_gen.bench.modules:measure", "latency, throughput, storage of all modules"),
    "fetcher": ("lamina_gen.bench.hardware:measure_fetcher", "beats per cycle of store.fetcher"),
    "store": ("lamina_gen.bench.store:measure", "store.device: bytes, rates, latency, answers"),
    "element": ("lamina_gen.bench.hardware:measure_element", "cycles per group of anda.element"),
    "pe": ("lamina_gen.bench.pe:measure", "area, period, energy, FPGA: elements and baselines"),
    "anda": ("lamina_gen.bench.anda:measure", "cycles, area, systems: Anda's array and engine"),
    "engine": ("lamina_gen.bench.engine:measure", "Verilog, build and speed of large engines"),
    "gemm": ("lamina_gen.bench.hardware:measure_gemm", "a [64,1024] x [1024,1024] product"),
    "driver": ("lamina_gen.bench.driver:measure", "vectors per second of the bulk driver"),
    "pacq": ("lamina_gen.bench.pacq:measure", "speedup, accesses, accuracy, EDP of PacQ's flow"),
    "models": ("lamina_gen.bench.models:measure", "losses of tinylm, and the precision searches"),
    "runtime": ("lamina_gen.bench.runtime:measure", "loss by bytes that a runtime fetches"),
    "golden": ("lamina_gen.bench.golden:measure", "speed of the golden models"),
}


def run(name: str, progress: Progress | None = None, **options: Any) -> dict[str, Any]:
    """Run the bench ``name`` and return its figures; one that takes long moves ``progress``.

    ``options`` are keywords of the bench's function; those that it does not have are dropped.
    """
    module, _, function = BENCHES[name][0].partition(":")
    measure = getattr(importlib.import_module(module), function)
    options["progress"] = progress
    known = inspect.signature(measure).parameters
    return measure(**{key: value for key, value in options.items() if key in known})
