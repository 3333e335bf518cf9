"""Text that the hardware writes: every product of a decoder with weights runs on an engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lamina_gen.build import BUILD, Progress
from lamina_gen.configurations import settings_of
from lamina_gen.gemm import Machine, Outcome, Problem, Stored
from lamina_gen.gemm.problem import ENGINES
from lamina_sim.workload import checkpoint
from lamina_sim.workload.arithmetic import Arithmetic
from lamina_sim.workload.calibrate import quantize_model
from lamina_sim.workload.decoder import Decoder
from lamina_sim.workload.generation import Spelling, generate
from lamina_sim.workload.nested import read_planes
from lamina_sim.workload.precision import Precision
from lamina_sim.workload.quantize import Quantized, quantize
from lamina_sim.workload.tensors import Float

__all__ = ["HEAD", "MismatchError", "Settings", "Step", "Writer"]

#: The product that gives the logits. It is no product of a layer, but as linear as those.
HEAD = "lm_head"


class MismatchError(Exception):
    """A product of the hardware is not the golden model's."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What writes, and how.

    ``engine``: "anda" or "pacq". ``on``: "rtl" or "golden". ``precision``: mantissa lengths, for
    Anda, and planes by product, each one number for the whole matrix. ``planes`` of all other
    products are fetched, the most significant ones; None is all. ``weight_bits``, ``scale_group``
    (0: one scale per column): of a checkpoint of floats, rounded to nearest. ``config``: of the
    module `system`, a name or a file.
    """

    source: str
    engine: str = "anda"
    on: str = "rtl"
    precision: Precision = field(default_factory=lambda: Precision.of((8,) * 4))
    planes: int | None = None
    weight_bits: int = 4
    scale_group: int = 128
    tokenizer: Path | None = None
    config: str = "tiny"

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {self.engine!r}.")
        if self.on not in ("rtl", "golden"):
            raise ValueError(f"on must be rtl or golden, not {self.on!r}.")
        if self.scale_group and not 32 <= self.scale_group <= 256:
            raise ValueError(
                f"scale_group must be 0 or between 32 and 256, not {self.scale_group}."
            )
        if self.precision.planes and (
            self.precision.rows is not None or self.precision.reading != "truncate"
        ):
            raise ValueError(
                "The precision must have one number of planes for a whole product, and read them "
                "by truncating: the system fetches so."
            )


@dataclass(frozen=True, kw_only=True)
class Step:
    """A token, and what it took on the hardware; all zeros on the golden model.

    ``positions`` that the model read for it: those of the prompt, then one, and half the context
    where that was full. ``macs``: multiplications by mantissa length; 0 stands for those whose
    energy is not measured: PacQ's, and others than by symmetric INT4 weights.
    """

    token: int
    text: str
    positions: int
    seconds: float
    cycles: int
    bytes_fetched: int
    macs: dict[int, int]


class Writer:
    """A checkpoint on an engine; opened, quantized and built once, it writes any number of texts.

    The weights of all products, the head's too, go through ``store.transpose`` into one plane store
    and stay there. Norms, positions, attention between heads and the choice of the token are the
    host's, in float32. ValueError or OSError in one sentence where something of it cannot be;
    nothing is built before `build`.
    """

    def __init__(
        self, settings: Settings, *, folder: Path = BUILD, progress: Progress | None = None
    ) -> None:
        self.settings = settings
        opened = checkpoint.load(settings.source)
        self.model, self.tokenizer = opened.model, opened.tokenizer_of(settings.tokenizer)
        names = [*self.model.products(), HEAD]
        settings.precision.check(names, self.model.layers)
        self._codes = _codes(opened, settings, progress)
        self._kept = _kept(self._codes, settings)
        read = {n: read_planes(q, self._kept[n], "truncate") for n, q in self._codes.items()}
        self._arithmetic = Arithmetic(
            name=settings.engine, model=self.model, codes=read, precision=settings.precision
        )
        for q in self._codes.values():
            _check(q, settings.engine)
        self._machine = Machine(
            settings.engine,
            settings_of(settings.config, "system"),
            folder=folder,
            progress=progress,
            bits=max(q.bits for q in self._codes.values()),
        )
        self._hardware = _Hardware(self._arithmetic, self._machine, self._codes, self._kept)

    def build(self) -> None:
        """Build the hardware, if it is to write."""
        if self.settings.on == "rtl":
            self._machine.build()
            self._machine.progress = lambda text, fraction: None

    def write(
        self, prompt: str, count: int, *, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[Step]:
        """Return `count` tokens that continue a prompt, as they come; `generate` says how.

        ValueError at once for what cannot be; later, MismatchError where one bit of a product
        differs between hardware and golden model.
        """
        prompt_tokens = self.tokenizer.encode(prompt)
        tokens = generate(
            self.model,
            prompt_tokens,
            count,
            temperature=temperature,
            seed=seed,
            vocabulary=len(self.tokenizer),
            linear=self._hardware if self.settings.on == "rtl" else self._arithmetic,
        )
        return _steps(tokens, count, Spelling(self.tokenizer, prompt_tokens), self._hardware)


def _steps(
    tokens: Iterator[int], count: int, spelling: Spelling, hardware: _Hardware
) -> Iterator[Step]:
    began = time.monotonic()
    for number, token in enumerate(tokens, 1):
        text = spelling.add(token)
        if number == count:
            text += spelling.end()
        seconds = time.monotonic() - began
        yield Step(token=token, text=text, seconds=seconds, **vars(hardware.take()))
        began = time.monotonic()


@dataclass
class _Tally:
    """What the products of a step took together."""

    positions: int = 0
    cycles: int = 0
    bytes_fetched: int = 0
    macs: dict[int, int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        problem = outcome.problem
        measured = problem.engine == "anda" and problem.weight_bits == 4
        length = problem.mantissa_bits if measured and problem.zero_points is None else 0
        self.positions = max(self.positions, problem.shape[0])
        self.cycles += outcome.cycles
        self.bytes_fetched += outcome.bytes_fetched
        self.macs[length] = self.macs.get(length, 0) + problem.macs


class _Hardware:
    """A `Linear` that runs on a machine what an arithmetic computes, and compares every bit."""

    def __init__(
        self,
        arithmetic: Arithmetic,
        machine: Machine,
        codes: dict[str, Quantized],
        kept: dict[str, int],
    ) -> None:
        self._arithmetic, self._machine, self._codes, self._kept = arithmetic, machine, codes, kept
        self._tally = _Tally()

    @cached_property
    def stored(self) -> dict[str, Stored]:
        """All weights, in one plane store for each width of codes."""
        stored: dict[str, Stored] = {}
        for bits in {q.bits for q in self._codes.values()}:
            matrices = {name: q.codes for name, q in self._codes.items() if q.bits == bits}
            stored |= self._machine.store(matrices, bits)
        return stored

    def __call__(self, name: str, x: Float, weight: Float) -> Float:
        q = self._codes[name]
        problem = Problem(
            engine=self._machine.engine,
            activations=self._arithmetic.activations(name, x),
            codes=q.codes,
            scales=q.scales,
            zero_points=q.zero_points,
            weight_bits=q.bits,
            scale_group=q.group,
            planes=self._kept[name],
            mantissa_bits=self._arithmetic.mantissa_bits(name),
        )
        outcome = self._machine.run(problem, stored=self.stored[name])
        if not outcome.exact:
            raise MismatchError(f"{name}: {outcome.mismatch}")
        self._tally.add(outcome)
        return outcome.result

    def take(self) -> _Tally:
        """What was done since this was asked last."""
        tally, self._tally = self._tally, _Tally()
        return tally


def _codes(
    opened: checkpoint.Checkpoint, settings: Settings, report: Progress | None
) -> dict[str, Quantized]:
    """Codes of all products and the head; what the checkpoint left in floats gets its width."""
    model: Decoder = opened.model
    bits, group = settings.weight_bits, settings.scale_group or None
    codes = dict(opened.quantized)
    if codes:
        bits, groups = next(iter(codes.values())).bits, {q.group for q in codes.values()}
        own = groups.pop()
        # Groups that differ are whole columns.
        group = own if not groups and own in (32, 64, 128, 256) else None
    else:
        codes = quantize_model(model, bits=bits, group=group, report=report)
    for name in model.products():
        if name not in codes:
            codes[name] = quantize(model.weights[f"{name}.weight"].T, bits, group=group)
    if HEAD not in codes:
        codes[HEAD] = quantize(model.head_weight.T, bits, group=group)
    return codes


def _check(q: Quantized, engine: str) -> None:
    """Raise ValueError for codes that the engine does not take: a product of zeros says it."""
    Problem(
        engine=engine,
        activations=np.zeros((1, len(q.codes)), np.float16),
        codes=q.codes[:, :1],
        scales=q.scales[:, :1],
        zero_points=None if q.zero_points is None else q.zero_points[:, :1],
        weight_bits=q.bits,
        scale_group=q.group,
    )


def _kept(codes: dict[str, Quantized], settings: Settings) -> dict[str, int]:
    """Planes that are fetched, by product."""
    named: dict[str, Any] = settings.precision.planes or {}
    kept = {}
    for name, q in codes.items():
        planes = q.bits if settings.planes is None else settings.planes
        kept[name] = named[name][0] if name in named else planes
        if not 1 <= kept[name] <= q.bits:
            raise ValueError(f"planes must be between 1 and {q.bits}, not {kept[name]}.")
    return kept
