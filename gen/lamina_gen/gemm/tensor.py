"""PacQ's tensor core in Verilator: a product in, C and counters out."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lamina.formats.tensor import Flow, counters_layout
from lamina_gen.build import BUILD, Progress, build_model
from lamina_gen.gemm.outcome import Outcome
from lamina_gen.gemm.problem import Problem
from lamina_gen.gemm.warps import Warps
from lamina_gen.registry import find, make_parameters
from lamina_sim.golden import pacq

__all__ = ["TensorMachine", "TensorOutcome", "read_counters"]

_MODULE = "pacq.tensor_stream"


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorOutcome(Outcome):
    """As `Outcome`, from a tensor core: ``counters`` by the names of `counters_layout`."""

    counters: dict[str, int]

    @property
    def traffic(self) -> str:
        """What was accessed, in words."""
        accesses = sum(self.counters[f"register_file_{operand}"] for operand in "abc")
        return f"{accesses} register-file accesses of 4 x 4 tiles"


class TensorMachine:
    """A tensor core, built once, that runs products in one ``flow``, see `pacq.FLOWS`.

    It is ``pacq.tensor_stream``, and ``settings`` are those of the ``pacq.tensor_core`` in it; the
    flow "fp16" sets its own.
    ``folder`` and ``progress`` as of `Machine`.
    """

    def __init__(
        self,
        flow: str = "packed_n",
        settings: dict[str, Any] | None = None,
        *,
        folder: Path = BUILD,
        progress: Progress | None = None,
    ) -> None:
        if flow not in pacq.FLOWS:
            raise ValueError(f"flow must be one of {', '.join(pacq.FLOWS)}, not {flow!r}.")
        self.flow = flow
        self.settings = {**(settings or {}), **({"fp16": True} if flow == "fp16" else {})}
        self.parameters: Any = make_parameters(find(_MODULE), self.settings)
        self._folder = folder
        self.progress: Progress = progress or (lambda text, fraction: None)

    @cached_property
    def model(self) -> Any:
        """The built tensor core."""
        return build_model(_MODULE, self.settings, folder=self._folder, progress=self.progress)

    def run(self, problem: Problem, *, trace: Path | None = None, **driver: Any) -> TensorOutcome:
        """Run ``problem`` on the hardware; ``trace`` takes the waves.

        ``driver``: further arguments of `lamina_sim.verilated.Model.run`. Raises ValueError for a
        problem of some planes only: there is no plane store here.
        """
        if problem.engine != "pacq":
            raise ValueError(f"engine must be pacq for a tensor core, not {problem.engine}.")
        if problem.keep != problem.weight_bits:
            raise ValueError("planes must be left out: a tensor core takes whole codes.")
        warps = Warps(
            x=problem.activations,
            weights=problem.codes,
            scales=problem.scales,
            zero_points=problem.zero_points,
            bits=problem.weight_bits,
            scale_group=problem.scale_group,
            flow=self.flow,
        )
        self.progress("Running", 0.0)
        waves = {"trace": trace} if trace else {}
        # How many beats leave is not known before; two operations may pass without one.
        operation = self.parameters.cycles(problem.weight_bits, Flow[self.flow.upper()])
        driver = {"drain": 4 * operation + self.parameters.latency} | driver
        run = self.model.run(warps.stream_inputs(), **waves, **driver)
        counters = read_counters(run.signals["counters"])
        return TensorOutcome(
            problem=problem,
            result=warps.matrix([warps.stream_elements(run["m_axis_c"].values)]),
            cycles=counters["cycles"],
            bytes_fetched=0,
            error=False,
            counters=counters,
        )


def read_counters(value: int) -> dict[str, int]:
    """Return the counters of a tensor core, or of an octet, by name."""
    counters = counters_layout().from_bits(value)
    return {name: int(counters[name]) for name in counters_layout().members}
