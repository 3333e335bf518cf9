"""Real operands for power: a product of the bundled model, as the streams of each element.

Weights of integer elements stay while four rows of activations pass, whose sums take turns.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_gen.demo import layer_operands
from lamina_sim.golden import anda, baseline

__all__ = ["ROWS", "Stimulus", "accumulator", "element", "lane"]

#: Rows (characters) of the product that are used, those that take turns, blocks of columns.
ROWS, _TURN, _BLOCKS, _GROUP = 16, 4, 4, 64


@dataclass(frozen=True)
class Stimulus:
    """``inputs`` by port, how many beats ``o`` gives for them, and the MACs that they stand for."""

    inputs: dict[str, dict[str, np.ndarray]]
    outputs: int
    macs: int


@dataclass(frozen=True)
class _Groups:
    """Groups in the order in which they are multiplied: by column block, rows in turn, k, row.

    ``activations`` float16 [groups, 64]; ``codes`` int8 [sets, columns, 64]; ``scales`` float16
    [sets, columns]; one set for each `_TURN` groups. ``fields``: what goes with each group.
    """

    activations: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    fields: dict[str, np.ndarray]


def _groups(columns: int) -> _Groups:
    product = layer_operands()[0]
    x = product["activations"][:ROWS].reshape(ROWS // _TURN, _TURN, -1, _GROUP)
    turns, chunks = x.shape[0], x.shape[2]
    used = _BLOCKS * columns
    codes = product["codes"][:, :used].reshape(chunks, _GROUP, _BLOCKS, columns)
    scales = np.repeat(product["scales"], product["scale_group"] // _GROUP, axis=0)
    scales = scales[:chunks, :used].reshape(chunks, _BLOCKS, columns)
    shape = (_BLOCKS, turns, chunks, _TURN)
    chunk, row = np.indices(shape)[2:].reshape(2, -1)
    fields = {
        "index": row,
        "load": (row == 0).astype(np.int64),
        "begin": (chunk == 0).astype(np.int64),
        "end": (chunk == chunks - 1).astype(np.int64),
    }
    activations = np.broadcast_to(x.transpose(0, 2, 1, 3), (*shape, _GROUP)).reshape(-1, _GROUP)
    sets = (_BLOCKS, turns, chunks, columns)
    per_set = codes.transpose(2, 0, 3, 1)[:, None]
    return _Groups(
        activations,
        np.broadcast_to(per_set, (*sets, _GROUP)).reshape(-1, columns, _GROUP),
        np.broadcast_to(scales.transpose(1, 0, 2)[:, None], sets).reshape(-1, columns),
        fields,
    )


def element(module: str, settings: dict[str, Any], mantissa_bits: int) -> Stimulus:
    """Return the streams of an element that puts out exact integers."""
    columns = settings["columns"]
    groups = _groups(columns)
    encoded = anda.encode(groups.activations, mantissa_bits)
    beats: dict[str, np.ndarray] = {"exponent": encoded.exponent.ravel(), **groups.fields}
    if module == "anda.element":
        _, planes = anda.to_planes(encoded)
        words = planes.reshape(-1, mantissa_bits + 1)
        place = np.tile(np.arange(mantissa_bits + 1), len(words))
        beats = {name: np.repeat(value, mantissa_bits + 1) for name, value in beats.items()}
        beats["word"] = words.ravel()
        beats["first"] = (place == 0).astype(np.int64)
        beats["last"] = (place == mantissa_bits).astype(np.int64)
    else:
        beats["values"] = encoded.integers.reshape(-1, _GROUP)
    weights = {
        "codes": groups.codes.astype(np.int64),
        "zeros": np.zeros(groups.scales.shape, np.int64),
        "scales": groups.scales.view(np.uint16).astype(np.int64),
    }
    count = len(groups.activations)
    return Stimulus({"i": beats, "i_weights": weights}, count, count * _GROUP * columns)


def accumulator(columns: int, mantissa_bits: int) -> Stimulus:
    """Return the sums that an `anda.accumulator` gets from the same product."""
    groups = _groups(columns)
    encoded = anda.encode(groups.activations, mantissa_bits)
    sets = np.arange(len(groups.activations)) // _TURN
    values = encoded.integers.reshape(-1, 1, _GROUP)
    beats = {
        "sums": baseline.figna(values, groups.codes[sets]),
        "scales": groups.scales.view(np.uint16).astype(np.int64)[sets],
        "exponent": encoded.exponent.ravel(),
        "mantissa_bits": np.full(len(sets), mantissa_bits),
        **{name: groups.fields[name] for name in ("index", "begin", "end")},
    }
    ends = int(groups.fields["end"].sum()) * columns
    return Stimulus({"i": beats}, ends, len(sets) * _GROUP * columns)


def lane(lanes: int, slots: int, dequantized: bool) -> Stimulus:
    """Return the steps of floating-point ``lanes``, ``slots`` rows in turn.

    Weights are FP16, code * scale, if ``dequantized``, else the codes.
    """
    product = layer_operands()[0]
    turns = ROWS // slots
    x, codes = product["activations"][: turns * slots], product["codes"][:, :_BLOCKS]
    weights = codes.astype(np.int64)
    if dequantized:
        scales = np.repeat(product["scales"][:, :_BLOCKS], product["scale_group"], axis=0)
        rounded = (codes.astype(np.float32) * scales[: len(codes)]).astype(np.float16)
        weights = rounded.view(np.uint16).astype(np.int64)
    steps = x.shape[1] // lanes
    shape = (_BLOCKS, turns, steps, slots)
    bits = x.view(np.uint16).astype(np.int64).reshape(turns, slots, steps, lanes)
    operands = {
        "a": np.broadcast_to(bits.transpose(0, 2, 1, 3), (*shape, lanes)).reshape(-1, lanes),
        "b": np.broadcast_to(
            weights.T.reshape(_BLOCKS, 1, steps, 1, lanes), (*shape, lanes)
        ).reshape(-1, lanes),
    }
    step, row = np.indices(shape)[2:].reshape(2, -1)
    place = {
        "index": row,
        "begin": (step == 0).astype(np.int64),
        "end": (step == steps - 1).astype(np.int64),
    }
    # One lane has plain operands, not arrays of one.
    flat = {name: value[:, 0] if lanes == 1 else value for name, value in operands.items()}
    return Stimulus({"i": flat | place}, _BLOCKS * turns * slots, len(step) * lanes)
