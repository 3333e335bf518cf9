"""A built model: run arrays through it."""

import ctypes
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina_sim.verilated import arguments, ports
from lamina_sim.verilated import library as lib
from lamina_sim.verilated.arguments import at_least
from lamina_sim.verilated.build import (
    Design,
    Progress,
    build_design,
    cache_folder,
    read_design,
)
from lamina_sim.verilated.description import BY_HAND, ports_of
from lamina_sim.verilated.memory import Memory
from lamina_sim.verilated.result import Result
from lamina_sim.verilated.session import Session
from lamina_sim.verilated.stepped import Stepped

__all__ = ["Model", "build"]

Source = Path | str | tuple[Path | str, Path | str]


def build(
    source: Source,
    *,
    cache: Path | str | None = None,
    trace: bool = False,
    random_initial: bool = False,
    optimize: str = "-O2",
    progress: Progress | None = None,
    jobs: int | None = None,
) -> "Model":
    """Build the model of a generated module, or take it from the cache.

    Parameters
    ----------
    source
        Path of MODULE.json, with MODULE.v beside it, or the pair (MODULE.v, MODULE.json). A
        MODULE.vlt beside MODULE.v is given to Verilator; if it marks blocks with ``hier_block``
        they are verilated once each.
    cache
        Folder of built models; by default $LAMINA_CACHE or ``build/verilated`` below the current
        folder. Keyed by content: safe to share and to delete.
    trace
        Build the variant that ``run(trace=...)`` needs at once, and not when it is first used.
    random_initial
        Registers and memories without contents start at random values, drawn from ``run``'s seed.
    optimize
        Option of g++ for the model.
    progress
        Called with a line of text and the finished fraction of the build.
    jobs
        Compilers at a time; by default one per core.

    Raises
    ------
    ToolError
        A program is missing, or the Verilog does not build.
    ValueError
        A file is missing or the description cannot be understood.
    """
    design = read_design(source, trace=trace, random_initial=random_initial, optimize=optimize)
    folder = cache_folder(cache)
    return Model(design, folder, build_design(design, folder, progress, jobs))


class Model:
    """A built module. :func:`build` makes it; every :meth:`run` starts from power-up.

    Members: ``description`` (MODULE.json, parsed), ``ports`` (by name), ``library`` (path of the
    shared object).
    """

    def __init__(self, design: Design, cache: Path, library: Path) -> None:
        self.description = design.description
        self.ports = {port.name: port for port in ports_of(design.description)}
        self.library = library
        self._design = design
        self._cache = cache
        self._loaded: dict[Path, ctypes.CDLL] = {}

    def run(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        constants: Mapping[str, Any] | None = None,
        outputs: Mapping[str, int | None] | None = None,
        stall: Mapping[str, float] | float = 0.0,
        seed: int = 0,
        reset_at: int | None = None,
        reset_cycles: int = 2,
        timeout: int = 10_000,
        drain: int = 1_000,
        max_cycles: int = 1 << 40,
        memory: Mapping[str, Memory | NDArray[np.uint8]] | NDArray[np.uint8] | Memory | None = None,
        memory_latency: int = 1,
        trace: PathLike[str] | str | None = None,
    ) -> Result:
        """Run arrays through the module.

        Parameters
        ----------
        inputs
            For each input stream its payloads: a uint32 array [n, words] is taken as packed words,
            anything else as values for :func:`ports.pack`. For a payload without bits also the
            number of beats. A stream that is not named is never valid.
        constants
            Values of plain inputs, packed likewise; 0 where not named.
        outputs
            For each output stream how many transfers the run lasts, or None (also where not named)
            to take all. If every output has a number the run ends with the last of them; otherwise
            when all inputs are sent, all numbers reached, and nothing has moved for ``drain``
            cycles.
        stall
            Probability, for each stream by name, with which a cycle without a pending beat stays
            idle (inputs) or ready is low (outputs). A memory port has "NAME.ar" and "NAME.r" for
            its channels, NAME for both. One number holds for all ports.
        seed
            Of all random numbers of the run; the same seed gives the same run.
        reset_at
            In this cycle reset comes once more. All is sent, taken and counted anew from then on,
            with the same random numbers: the result must equal that of a run without it. It comes
            even if everything was transferred before.
        reset_cycles
            Cycles for which reset is held. Inputs are not valid and outputs not ready meanwhile.
        timeout
            Cycles without any transfer after which the run counts as stuck.
        max_cycles
            Cycles after which it does so in any case.
        memory
            What AXI4 read ports read: for each port a :class:`Memory` or its bytes; without names
            for the only one.
        memory_latency
            Latency where only bytes are given.
        trace
            Path of a VCD file to write. The traced model is built when first asked for.

        Raises
        ------
        ValueError, TypeError
            An argument does not fit the module.
        StuckError
            The run cannot finish; the text names the ports that wait.
        ProtocolError
            The design broke the stream contract (valid or payload changed while stalled) or AXI4
            rules (a burst across 4 KiB, for one).
        """
        inputs, outputs, constants = inputs or {}, outputs or {}, constants or {}
        for port in self.ports.values():
            if port.kind in BY_HAND:
                raise ValueError(f"Port {port.name} must be stepped by hand: it is {port.kind}.")
        arguments.check_names(inputs, self._names("stream", "in"), "An input stream")
        arguments.check_names(outputs, self._names("stream", "out"), "An output stream")
        arguments.check_names(constants, self._names("signal", "in"), "A plain input")
        stalls = arguments.stalls(stall, self.ports.values())
        memories = arguments.memories(memory, memory_latency, self.ports.values())
        schedule = lib.Schedule(
            reset_cycles=at_least(1, reset_cycles, "reset_cycles"),
            reset_at=-1 if reset_at is None else at_least(0, reset_at, "reset_at"),
            timeout=at_least(1, timeout, "timeout"),
            drain=at_least(0, drain, "drain"),
            limit=at_least(1, max_cycles, "max_cycles"),
        )
        with self._open(schedule, at_least(0, seed, "seed"), trace) as session:
            for port in self.ports.values():
                name = port.name
                if port.kind == "axi4-read":
                    session.memory(port, memories[name], *stalls[name])
                elif port.kind == "stream" and port.direction == "in":
                    nothing = np.zeros((0, ports.word_count(port.width)), np.uint32)
                    given = arguments.payloads(port, inputs[name]) if name in inputs else nothing
                    session.input(port, given, stalls[name][0])
                elif port.kind == "stream":
                    session.output(port, outputs.get(name), stalls[name][0])
                elif port.direction == "in":
                    zero = np.zeros(ports.word_count(port.width), np.uint32)
                    given = arguments.constant(port, constants[name]) if name in constants else zero
                    session.constant(port, given)
                else:
                    session.plain_output(port)
            return session.run()

    def stepped(self, *, seed: int = 0, trace: PathLike[str] | str | None = None) -> Stepped:
        """Open the module to be stepped by the caller, cycle by cycle, out of reset.

        For benches that react to what they see, which no array of inputs can. ``seed``: of random
        initial values; ``trace``: path of a VCD file.
        """
        schedule = lib.Schedule(reset_cycles=1, reset_at=-1, timeout=1, drain=0, limit=1)
        session = self._open(schedule, at_least(0, seed, "seed"), trace)
        return Stepped(session, self.description.get("reset"))

    def _names(self, kind: str, direction: str) -> list[str]:
        return [p.name for p in self.ports.values() if (p.kind, p.direction) == (kind, direction)]

    def _open(
        self, schedule: lib.Schedule, seed: int, trace: PathLike[str] | str | None
    ) -> Session:
        """Start a simulation of the plain or of the traced build."""
        path = self.library
        if trace is not None:
            path = build_design(replace(self._design, trace=True), self._cache)
        if path not in self._loaded:
            self._loaded[path] = lib.load(path)
        return Session(
            self._loaded[path],
            {name: number for number, name in enumerate(self._design.signals)},
            self.description.get("clock"),
            self.description.get("reset"),
            schedule,
            seed,
            self._design.random_initial,
            None if trace is None else fspath(trace),
        )
