"""Energy of a MAC in Anda's array: slices of it run a product of the bundled model, counted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_gen.bench.contenders import Part
from lamina_gen.bench.energy import count
from lamina_gen.bench.flow import Flow
from lamina_gen.bench.operands import ROWS, Stimulus
from lamina_gen.demo import layer_operands
from lamina_gen.synth.power import measure_power
from lamina_sim.golden import anda

__all__ = ["array_energies", "array_product"]

_GROUP = 64
#: Tiles of columns that one run has, one after the other.
_TILES = 4
#: Blocks of the slices that run: what the second has more is one block.
_SLICES = (1, 2)


@dataclass(frozen=True)
class _ArrayStimulus(Stimulus):
    """``expected`` are FP32 patterns [ends, rows, columns] of the array of ``parameters``."""

    parameters: Any

    @property
    def outputs(self) -> int:
        p = self.parameters
        return len(self.expected["values"]) * p.sharing * p.blocks

    def check(self, found: Mapping[str, np.ndarray]) -> None:
        p = self.parameters
        shape = (-1, p.sharing, p.blocks, p.block.units, p.block_columns)
        values = np.asarray(found["values"]).reshape(shape).transpose(0, 1, 3, 2, 4)
        rows = values.reshape(-1, p.sharing * p.block.units, p.columns)
        super().check({"values": rows[:, : p.rows]})


def array_product(parameters: Any, mantissa_bits: int) -> Stimulus:
    """Return a product of the bundled model as the streams of an array without zero points.

    Each set of weights meets as many groups of rows as there are slots.
    """
    p = parameters
    product = layer_operands()[0]
    rows = ROWS // (p.slots * p.rows) * p.slots
    x = product["activations"][: rows * p.rows].reshape(
        -1, p.slots, p.rows, product["activations"].shape[1]
    )
    chunks = x.shape[-1] // _GROUP
    turns = len(x)
    # Groups in their order: tile of columns, turn, chunk, slot; of each all rows.
    x = x.reshape(turns, p.slots, p.rows, chunks, _GROUP).transpose(0, 3, 1, 2, 4)
    encoded = anda.encode(np.broadcast_to(x, (_TILES, *x.shape)).copy(), mantissa_bits)
    used = _TILES * p.columns
    codes = product["codes"][:, :used].reshape(chunks, _GROUP, _TILES, p.columns)
    scales = np.repeat(product["scales"], product["scale_group"] // _GROUP, axis=0)
    scales = scales[:chunks, :used].reshape(chunks, _TILES, p.columns).swapaxes(0, 1)
    per_set = (_TILES, turns, chunks, p.columns)
    codes = np.broadcast_to(codes.transpose(2, 0, 3, 1)[:, None], (*per_set, _GROUP))
    scales = np.broadcast_to(scales[:, None], per_set)
    sums = np.zeros((_TILES, turns, p.slots, p.rows, p.columns), np.float32)
    for chunk in range(chunks):
        a, w = encoded.integers[:, :, chunk].astype(np.int64), codes[:, :, chunk]
        dots = np.einsum("tnsrk,tnck->tnsrc", a.reshape(*sums.shape[:-1], _GROUP), w)
        sums = anda.accumulate(
            sums,
            dots,
            encoded.exponent[:, :, chunk].reshape(*dots.shape[:-1], 1),
            scales[:, :, chunk][:, :, None, None],
            mantissa_bits=mantissa_bits,
        )
    weights = {
        "codes": codes.reshape(-1, p.block_columns, _GROUP).astype(np.int64),
        "zeros": np.zeros((codes.size // _GROUP // p.block_columns, p.block_columns), np.int64),
        "scales": scales.reshape(-1, p.block_columns).view(np.uint16).astype(np.int64),
    }
    due = {"values": sums.view(np.uint32).reshape(-1, p.rows, p.columns)}
    beats = _beats(p, encoded, chunks)
    macs = encoded.mantissa.size * p.columns
    return _ArrayStimulus({"i": beats, "i_weights": weights}, due, macs, p)


def _beats(p: Any, encoded: anda.Anda, chunks: int) -> dict[str, np.ndarray]:
    """Return groups as beats of `array_words_layout`."""
    bits, cycles = encoded.mantissa_bits, p.cycles(encoded.mantissa_bits)
    exponents, planes = anda.to_planes(encoded)
    planes = planes.reshape(-1, p.rows, bits + 1)
    groups = len(planes)
    # The signs, zeros that fill the beats, and the mantissa from its least significant plane on.
    words = np.zeros((groups, p.rows, cycles * p.planes), np.uint64)
    words[..., 0] = planes[..., 0]
    words[..., -bits:] = planes[..., :0:-1]
    place, number = np.tile(np.arange(cycles), groups), np.repeat(np.arange(groups), cycles)
    slot, chunk = number % p.slots, number // p.slots % chunks
    return {
        "words": words.reshape(groups, p.rows, cycles, p.planes)
        .transpose(0, 2, 1, 3)
        .reshape(-1, p.rows, p.planes),
        "exponents": exponents.reshape(groups, p.rows)[number].astype(np.int64),
        "first": (place == 0).astype(np.int64),
        "last": (place == cycles - 1).astype(np.int64),
        "load": (slot == 0).astype(np.int64),
        "begin": (chunk == 0).astype(np.int64),
        "end": (chunk == chunks - 1).astype(np.int64),
    }


def array_energies(
    flow: Flow, settings: dict[str, Any], clock_ps: float, lengths: Iterable[int]
) -> dict[int, float] | None:
    """Return pJ of a MAC of the array of ``settings`` by mantissa length; None if not measured.

    Two slices are mapped at the clock and run, of one block and of two. What two take more is one
    block's share, and the array takes that for each further block: its head, which is there once,
    is in both slices whole. Each slice's results are checked.

    Raises RuntimeError if results are wrong, ToolError if OpenSTA fails.
    """
    whole = Part("anda.array", settings).parameters
    lengths = list(lengths)
    runs: list[dict[int, tuple[float, int]]] = []
    for blocks in _SLICES:
        part = Part("anda.array", settings | {"columns": blocks * whole.block_columns})
        parts = flow.cells([part], clock_ps).complete
        if parts is None:
            return None
        runs.append({})
        for bits in lengths:
            flow.progress(f"Energy of {part.parameters.columns} columns, M = {bits}")
            given = array_product(part.parameters, bits)
            power = measure_power(count(part, parts[0][1], given, 0.0), clock_ps)
            runs[-1][bits] = (power.energy_pj(1), given.macs)
    energies = {}
    for bits in lengths:
        (one, macs), (two, _) = (run[bits] for run in runs)
        energies[bits] = (one + (whole.blocks - 1) * (two - one)) / (whole.blocks * macs)
    return energies
