"""Real operands for power: a product of the bundled model, as the streams of each element.

Weights stay while 16 rows of activations pass, in all elements alike; the rows' sums take turns, so
that no adder waits for itself.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_gen.demo import layer_operands
from lamina_sim.golden import anda, baseline

__all__ = ["Stimulus", "accumulator", "element"]

#: Of the product: its first rows (characters) and column blocks, and all its groups along k.
_ROWS, _BLOCKS, _GROUP = 16, 4, 64


@dataclass(frozen=True)
class Stimulus:
    """``inputs`` by port, how many beats ``o`` gives for them, and the MACs that they stand for."""

    inputs: dict[str, dict[str, np.ndarray]]
    outputs: int
    macs: int


@dataclass(frozen=True)
class _Groups:
    """Groups in the order in which they are multiplied, and sets of weights as they are loaded.

    ``activations`` float16 [groups, 64]; ``codes`` int8 [sets, columns, 64]; ``scales`` float16
    [sets, columns]; one set for each `_ROWS` groups. ``fields``: what goes with each group.
    """

    activations: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    fields: dict[str, np.ndarray]


def _groups(columns: int) -> _Groups:
    product = layer_operands()[0]
    x = product["activations"][:_ROWS].reshape(_ROWS, -1, _GROUP)
    chunks = x.shape[1]
    codes = product["codes"].reshape(chunks, _GROUP, -1)[:, :, : _BLOCKS * columns]
    codes = codes.reshape(chunks, _GROUP, _BLOCKS, columns).transpose(2, 0, 3, 1)
    per_scale = product["scale_group"] // _GROUP
    scales = np.repeat(product["scales"], per_scale, axis=0)[:chunks, : _BLOCKS * columns]
    scales = scales.reshape(chunks, _BLOCKS, columns).transpose(1, 0, 2)
    shape = (_BLOCKS, chunks, _ROWS)
    chunk, row = (
        np.broadcast_to(np.arange(chunks)[:, None], shape),
        np.broadcast_to(np.arange(_ROWS), shape),
    )
    fields = {
        "index": row.ravel(),
        "load": (row == 0).astype(np.int64).ravel(),
        "begin": (chunk == 0).astype(np.int64).ravel(),
        "end": (chunk == chunks - 1).astype(np.int64).ravel(),
    }
    activations = np.broadcast_to(x.transpose(1, 0, 2), (*shape, _GROUP)).reshape(-1, _GROUP)
    return _Groups(
        activations,
        codes.reshape(-1, columns, _GROUP),
        scales.reshape(-1, columns),
        fields,
    )


def element(module: str, settings: dict[str, Any], mantissa_bits: int) -> Stimulus:
    """Return the streams of an element that puts out exact integers."""
    columns = settings["columns"]
    groups = _groups(columns)
    encoded = anda.encode(groups.activations, mantissa_bits)
    if module == "anda.element":
        exponent, planes = anda.to_planes(encoded)
        first = {"exponent": exponent.ravel(), **groups.fields}
        words = planes.reshape(-1, mantissa_bits + 1)
        beats = {name: np.repeat(value, mantissa_bits + 1) for name, value in first.items()}
        place = np.tile(np.arange(mantissa_bits + 1), len(words))
        beats |= {"word": words.ravel()}
        beats |= {"first": (place == 0).astype(np.int64)}
        beats |= {"last": (place == mantissa_bits).astype(np.int64)}
    else:
        values = encoded.integers.reshape(-1, _GROUP)
        beats = {"values": values, "exponent": encoded.exponent.ravel(), **groups.fields}
    count = len(groups.activations)
    return Stimulus({"i": beats, "i_weights": _weights(groups)}, count, count * _GROUP * columns)


def _weights(groups: _Groups) -> dict[str, np.ndarray]:
    return {
        "codes": groups.codes.astype(np.int64),
        "zeros": np.zeros(groups.scales.shape, np.int64),
        "scales": groups.scales.view(np.uint16).astype(np.int64),
    }


def accumulator(columns: int, mantissa_bits: int) -> Stimulus:
    """Return the sums that an `anda.accumulator` gets from the same product."""
    groups = _groups(columns)
    encoded = anda.encode(groups.activations, mantissa_bits)
    sets = np.arange(len(groups.activations)) // _ROWS
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


def lane(lanes: int, dequantized: bool) -> Stimulus:
    """Return the steps of floating-point ``lanes``: FP16 weights if ``dequantized``, else codes."""
    product = layer_operands()[0]
    x, codes = product["activations"][:_ROWS], product["codes"][:, :_BLOCKS]
    steps = x.shape[1] // lanes
    a = x.reshape(_ROWS, steps, lanes).transpose(1, 0, 2).view(np.uint16)
    weights = codes.astype(np.int64)
    if dequantized:
        scales = np.repeat(product["scales"][:, :_BLOCKS], product["scale_group"], axis=0)
        rounded = (codes.astype(np.float32) * scales[: len(codes)]).astype(np.float16)
        weights = rounded.view(np.uint16).astype(np.int64)
    shape = (_BLOCKS, steps, _ROWS)
    b = weights.T.reshape(_BLOCKS, steps, 1, lanes)
    operands = {
        "a": np.broadcast_to(a.astype(np.int64), (*shape, lanes)).reshape(-1, lanes),
        "b": np.broadcast_to(b, (*shape, lanes)).reshape(-1, lanes),
    }
    if lanes == 1:
        operands = {name: value.ravel() for name, value in operands.items()}
    step = np.broadcast_to(np.arange(steps)[:, None], shape).ravel()
    beats = {
        **operands,
        "index": np.broadcast_to(np.arange(_ROWS), shape).ravel(),
        "begin": (step == 0).astype(np.int64),
        "end": (step == steps - 1).astype(np.int64),
    }
    return Stimulus({"i": beats}, _BLOCKS * _ROWS, len(step) * lanes)
