"""Anda's engine in Verilator: a product in, results and counters out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from lamina.formats.engine import counters_layout
from lamina_gen.build import BUILD, Progress, build_model
from lamina_gen.gemm.outcome import Outcome
from lamina_gen.gemm.problem import Problem
from lamina_gen.registry import find, make_parameters
from lamina_sim.golden import anda
from lamina_sim.perf import anda as perf

__all__ = ["EngineMachine", "EngineOutcome", "Operands", "matrix", "model_of", "read_counters"]

_MODULE = "anda.engine"
_DATA = "The engine took operands that came with an error of their memory: no result can be used."
_GROUP = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineOutcome(Outcome):
    """As `Outcome`, from an engine: ``counters`` by the names of `counters_layout`."""

    counters: dict[str, int]

    @property
    def mismatch(self) -> str:
        """One sentence: that operands came with an error, or how the results differ."""
        return _DATA if self.error else super().mismatch

    @property
    def traffic(self) -> str:
        """What was taken, in words."""
        beats = self.counters
        return (
            f"{beats['activation_beats']} beats of activations, {beats['weight_beats']} of weights"
        )


def model_of(parameters: Any) -> perf.Engine:
    """Return what the performance model wants to know of `EngineParameters`."""
    own = {field.name for field in fields(perf.Engine)} - {"latency"}
    return perf.Engine(
        latency=parameters.array.latency, **{name: getattr(parameters, name) for name in own}
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Operands:
    """A product on the ports of an engine.

    ``activations`` [m, groups, 64] as `anda.Anda`; ``codes`` int8 [k, n], ``scales`` float16 and
    ``zero_points`` int8 [scale groups, n]; ``scale_group`` rows of codes share a scale.
    """

    engine: perf.Engine
    activations: anda.Anda
    codes: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray | None
    scale_group: int
    row_turns: int | None = None
    tag: int = 0

    @classmethod
    def of(cls, problem: Problem, engine: perf.Engine, **more: Any) -> "Operands":
        """Return those of ``problem``, encoded; ``more``: ``row_turns`` and ``tag``.

        Raises ValueError for a problem of PacQ, or of some planes only: here is no plane store.
        """
        if problem.engine != "anda":
            raise ValueError(f"engine must be anda for an engine of it, not {problem.engine}.")
        if problem.keep != problem.weight_bits:
            raise ValueError("planes must be left out: the engine takes whole codes.")
        return cls(
            engine=engine,
            activations=anda.encode(
                problem.activations, problem.mantissa_bits, rounding=problem.rounding
            ),
            codes=problem.codes,
            scales=problem.scales,
            zero_points=problem.zero_points,
            scale_group=problem.group,
            **more,
        )

    @cached_property
    def gemm(self) -> perf.Gemm:
        """The descriptor."""
        m, groups, _ = self.activations.mantissa.shape
        bits = self.activations.mantissa_bits
        turns = self.row_turns or perf.row_turns(self.engine, m, groups, bits)
        n = self.codes.shape[1]
        return perf.Gemm(m=m, n=n, groups=groups, mantissa_bits=bits, row_turns=turns)

    def inputs(self) -> dict[str, dict[str, Any]]:
        """Return the payloads of the input streams."""
        descriptor = {**vars(self.gemm), "tag": self.tag}
        return {
            "i_gemm": {name: np.array([value]) for name, value in descriptor.items()},
            "i_activations": self._activations(),
            "i_weights": self._weights(),
        }

    def _activations(self) -> dict[str, np.ndarray]:
        engine, gemm = self.engine, self.gemm
        row, group = perf.activation_order(engine, gemm).T
        rows = row[:, None] + np.arange(engine.rows)
        beyond, rows = rows >= gemm.m, np.minimum(rows, gemm.m - 1)
        a, group = self.activations, group[:, None]
        ordered = replace(
            a,
            sign=np.where(beyond[..., None], np.uint8(0), a.sign[rows, group]),
            exponent=np.where(beyond, np.uint8(1), a.exponent[rows, group]),
            mantissa=np.where(beyond[..., None], np.uint16(0), a.mantissa[rows, group]),
        )
        exponents, words = anda.to_beats(ordered, engine.planes)
        error = np.zeros(len(words), np.uint8)
        return {"words": words, "exponents": exponents, "error": error}

    def _weights(self) -> dict[str, np.ndarray]:
        engine, gemm = self.engine, self.gemm
        column, group = perf.weight_order(engine, gemm).T
        # Columns beyond n and rows beyond k are weights 0 with scale 0.
        width = -(-gemm.n // engine.columns) * engine.columns
        codes = _padded(self.codes, (gemm.groups * _GROUP, width))
        codes = codes.reshape(gemm.groups, _GROUP, width).swapaxes(1, 2)
        zeros = self.zero_points
        if zeros is None:
            zeros = np.zeros(self.scales.shape, np.int8)
        columns = column[:, None] + np.arange(engine.columns)
        scaled = np.minimum(group * _GROUP // self.scale_group, len(self.scales) - 1)[:, None]
        per_beat = engine.block_columns
        return {
            "error": np.zeros(columns.size // per_beat, np.uint8),
            "codes": codes[group[:, None], columns].reshape(-1, per_beat, _GROUP),
            "zeros": _padded(zeros, (len(zeros), width))[scaled, columns].reshape(-1, per_beat),
            "scales": _padded(self.scales.view(np.uint16), (len(self.scales), width))[
                scaled, columns
            ].reshape(-1, per_beat),
        }


def matrix(beats: Any, m: int, n: int) -> np.ndarray:
    """Put beats of `result_layout` together: float32 [m, n].

    Raises ValueError unless each result comes once, and ``last`` with the last beat alone.
    """
    values = np.asarray(beats["values"])
    where = np.argwhere(np.asarray(beats["keep"]) != 0)
    beat, unit, place = where.T
    row = np.asarray(beats["row"]).astype(np.int64)[beat] + unit
    column = np.asarray(beats["column"]).astype(np.int64)[beat] + place
    counts = np.bincount(row * n + column, minlength=m * n)
    last = np.flatnonzero(beats["last"])
    if len(counts) != m * n or (counts != 1).any() or last.tolist() != [len(values) - 1]:
        raise ValueError("Each result must come once, and last with the last beat.")
    result = np.zeros((m, n), np.uint32)
    result[row, column] = values[beat, unit, place]
    return result.view(np.float32)


class EngineMachine:
    """An engine of Anda, built once, that runs products.

    ``settings`` are those of the module ``anda.engine``. ``bits``, ``folder`` and ``progress`` as
    of `Machine`.
    """

    def __init__(
        self,
        settings: dict[str, Any] | None = None,
        *,
        bits: int = 2,
        folder: Path = BUILD,
        progress: Progress | None = None,
    ) -> None:
        self.settings = {**(settings or {}), "registers": False}
        parameters: Any = make_parameters(find(_MODULE), self.settings)
        if bits > parameters.weight_bits:
            self.settings["weight_bits"] = bits
            parameters = make_parameters(find(_MODULE), self.settings)
        self.parameters = parameters
        self._folder = folder
        self.progress: Progress = progress or (lambda text, fraction: None)

    @cached_property
    def model(self) -> Any:
        """The built engine."""
        return build_model(_MODULE, self.settings, folder=self._folder, progress=self.progress)

    def run(
        self,
        problem: Problem,
        *,
        trace: Path | None = None,
        errors: Mapping[str, Sequence[int]] = MappingProxyType({}),
        **driver: Any,
    ) -> EngineOutcome:
        """Run ``problem`` on the hardware; ``trace`` takes the waves.

        ``errors``: by input stream the numbers of those beats that come with an error, as from a
        memory that could not read them. ``driver``: further arguments of
        `lamina_sim.verilated.Model.run`. Raises ValueError as `Operands.of` does, and for a k of
        which no tile fits into the engine.
        """
        operands = Operands.of(problem, model_of(self.parameters))
        self.progress("Running", 0.0)
        waves = {"trace": trace} if trace else {}
        inputs, (m, n, _) = operands.inputs(), problem.shape
        for port, numbers in errors.items():
            inputs[port]["error"][list(numbers)] = 1
        beats = perf.cost(operands.engine, operands.gemm).result_beats
        run = self.model.run(inputs, outputs={"o": beats, "o_done": 1}, **waves, **driver)
        counters = read_counters(run.signals["counters"])
        return EngineOutcome(
            problem=problem,
            result=matrix(run["o"].values, m, n),
            cycles=counters["cycles"],
            bytes_fetched=0,
            error=bool(run["o_done"].values["cause"][0]),
            counters=counters,
        )


def read_counters(value: int) -> dict[str, int]:
    """Return the counters of an engine by name."""
    counters = counters_layout().from_bits(value)
    return {name: int(counters[name]) for name in counters_layout().members}


def _padded(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return ``values`` with zeros behind them."""
    missing = np.subtract(shape, values.shape)
    return np.pad(values, [(0, int(number)) for number in missing])
