"""The system in Verilator, and the host around it: arrays in, arrays out."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lamina.formats.planes import TILE_COLUMNS, TILE_ROWS
from lamina_gen.build import BUILD, Progress, build_model
from lamina_gen.gemm.outcome import Outcome
from lamina_gen.gemm.prepare import compress, store_planes
from lamina_gen.gemm.problem import Problem
from lamina_gen.gemm.schedule import Pass, group_words, orders, place, row_groups
from lamina_gen.registry import find, make_parameters
from lamina_sim.golden import store
from lamina_sim.verilated import Memory, Result, ports

__all__ = ["Machine", "Stored"]

#: Cycles from an address to its data: what the host memory takes to answer.
MEMORY_LATENCY = 100

#: Tiles of a pass: long enough to hide its start, short enough to show progress.
_PASS_TILES = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """Weights in a plane store: its ``image``, uint8 [bytes], and the block where they begin."""

    image: np.ndarray
    first: int


class Machine:
    """A system of one engine, built once, that runs any number of problems.

    ``settings`` are those of the module ``system`` (its engine is set here, and its operands are
    made wide enough for codes of ``bits`` bits). ``folder`` takes the
    generated Verilog and the built models. ``progress`` hears of builds and of passes done.
    """

    def __init__(
        self,
        engine: str,
        settings: dict[str, Any] | None = None,
        *,
        folder: Path = BUILD,
        progress: Progress | None = None,
        bits: int = 2,
    ) -> None:
        self.engine = engine
        self.settings = {**(settings or {}), "engine": engine}
        self._folder = folder
        self.progress: Progress = progress or (lambda text, fraction: None)
        parameters: Any = make_parameters(find("system"), self.settings)
        if bits > parameters.weight_bits:
            self.settings["weight_bits"] = bits
            parameters = make_parameters(find("system"), self.settings)
        self.parameters = parameters

    def build(self) -> None:
        """Build all that a run needs, so that runs do nothing else."""
        _ = self.model, self.transposer, self.compressor

    @cached_property
    def model(self) -> Any:
        """The built system."""
        return self._build("system", self.settings)

    @cached_property
    def transposer(self) -> Any:
        """The built hardware that turns weights into planes."""
        return self._build("store.transpose", {})

    @cached_property
    def compressor(self) -> Any:
        """The built hardware that encodes activations; PacQ takes them as they are."""
        return self._build("anda.compressor", {}) if self.engine == "anda" else None

    def _build(self, module: str, settings: dict) -> Any:
        return build_model(module, settings, folder=self._folder, progress=self.progress)

    def store(self, matrices: Mapping[str, np.ndarray], bits: int) -> dict[str, Stored]:
        """Write codes int8 [k, n] of ``bits`` bits into one plane store, each under its name.

        Raises ValueError if they do not fit the system's addresses.
        """
        blocks = [store.tile(codes) for codes in matrices.values()]
        planes = store_planes(self.transposer, np.concatenate(blocks), bits)
        image = store.to_image(planes, self.parameters.blocks_per_row)
        if image.size > 1 << self.parameters.address_bits:
            raise ValueError(
                f"The weights take {image.size} bytes, more than address_bits = "
                f"{self.parameters.address_bits} reach."
            )
        firsts = np.cumsum([0, *map(len, blocks)]).tolist()
        return {
            name: Stored(image=image, first=first)
            for name, first in zip(matrices, firsts, strict=False)
        }

    def run(
        self,
        problem: Problem,
        *,
        stored: Stored | None = None,
        trace: Path | None = None,
        errors: Sequence[tuple[int, int]] = (),
        **driver: Any,
    ) -> Outcome:
        """Run ``problem`` on the hardware.

        ``stored``: where its weights are, if `store` wrote them already. ``trace`` takes the waves
        of the first pass (VCD). ``errors``: address ranges of the plane store, stop excluded, that
        answer with an error. ``driver``: further arguments of `lamina_sim.verilated.Model.run`,
        ``stall`` and ``seed`` for instance, for every pass.
        """
        stored = stored or self.store({"": problem.codes}, problem.weight_bits)[""]
        memory = Memory(data=stored.image, latency=MEMORY_LATENCY, errors=errors)
        beats = self._activations(problem)
        model, passes = self.model, list(self._passes(problem))
        m, n, _ = problem.shape
        result = np.zeros((m, -(-n // TILE_COLUMNS) * TILE_COLUMNS), np.float32)
        activations, results = f"i_{self.engine}", f"o_{self.engine}"
        cycles = fetched = 0
        error = False

        def run_pass(number: int) -> tuple[Pass, Result]:
            part = passes[number]
            inputs = orders(problem, part, stored.first)
            # Packed once for all columns of tiles, which meet the same activations.
            words = ports.pack(model.ports[activations].shape, beats(part.rows))
            inputs[activations] = np.tile(words, (part.width, 1))
            waves = {"trace": trace} if trace and number == 0 else {}
            outputs = {results: part.outputs}
            return part, model.run(inputs, outputs=outputs, memory=memory, **waves, **driver)

        # Passes share nothing but the built model, and the driver runs without Python's lock.
        with ThreadPoolExecutor(min(len(passes), os.cpu_count() or 1)) as pool:
            for done, (part, run) in enumerate(pool.map(run_pass, range(len(passes)))):
                output = run.outputs[results].values
                place(result, part, self.engine, output["index"], output["value"])
                cycles += run.cycles
                fetched += run.traffic["m_axi"].bytes
                error |= bool(run.signals["error"])
                self.progress("Running", (done + 1) / len(passes))
        return Outcome(
            problem=problem,
            result=np.ascontiguousarray(result[:, :n]),
            cycles=cycles,
            bytes_fetched=fetched,
            error=error,
        )

    def _passes(self, problem: Problem) -> Iterator[Pass]:
        m, n, k = problem.shape
        tiles_down, tiles_across = -(-k // TILE_ROWS), -(-n // TILE_COLUMNS)
        rows, across = 1 << self.parameters.row_bits, max(1, _PASS_TILES // tiles_down)
        for row in range(0, m, rows):
            for column in range(0, tiles_across, across):
                last = min(column + across, tiles_across)
                yield Pass(slice(row, min(row + rows, m)), slice(column, last))

    def _activations(self, problem: Problem) -> Callable[[slice], dict[str, Any]]:
        """Return what gives the beats of activations of some rows."""
        if self.engine == "pacq":
            return lambda rows: row_groups(problem, problem.activations[rows])
        exponents, planes = compress(self.compressor, problem)
        return lambda rows: group_words(exponents[rows], planes[rows])
