"""Real operands for power: a product of the bundled model, as the streams of each element.

Weights of integer elements stay while four rows of activations pass, whose sums take turns: as many
as `contenders` has on cells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_gen.demo import layer_operands
from lamina_sim.golden import anda, baseline

__all__ = [
    "LANES",
    "ROWS",
    "ROWS_IN_TURN",
    "Stimulus",
    "accumulator",
    "element",
    "lane",
    "packed_product",
]

#: Rows (characters) of the product that are used, those that take turns, blocks of columns.
ROWS, ROWS_IN_TURN, _BLOCKS, _GROUP = 32, 4, 4, 64

#: Sums over the last axis of two arrays, by module.
LANES: dict[str, Callable[..., np.ndarray]] = {
    "baseline.fp_lane": lambda a, b, lanes: baseline.fp_fp(a, b),
    "baseline.fp_dot": baseline.fp_dot,
    "baseline.fp_int": lambda a, b, lanes: baseline.fp_int(a, b),
    "baseline.tree_dot": baseline.tree_dot,
}


@dataclass(frozen=True)
class Stimulus:
    """``inputs`` by port, fields of the beats that ``o`` must give for them, and their MACs."""

    inputs: dict[str, dict[str, np.ndarray]]
    expected: dict[str, np.ndarray]
    macs: int

    @property
    def outputs(self) -> int:
        """Beats that ``o`` gives."""
        return len(next(iter(self.expected.values())))

    def check(self, found: Mapping[str, np.ndarray]) -> None:
        """Raise RuntimeError unless a run gave what the golden models say."""
        for name, due in self.expected.items():
            wrong = np.flatnonzero((np.asarray(found[name]) != due).reshape(len(due), -1).any(1))
            if len(wrong):
                raise RuntimeError(
                    f"A counted run is wrong: beat {wrong[0]} of {len(due)} has {name} "
                    f"{found[name][wrong[0]]}, not {due[wrong[0]]}."
                )


@dataclass(frozen=True)
class _Groups:
    """Groups in the order in which they are multiplied: by column block, rows in turn, k, row.

    ``activations`` float16 [groups, 64]; ``codes`` int8 [sets, columns, 64]; ``scales`` float16
    [sets, columns]; one set for each `ROWS_IN_TURN` groups. ``fields``: what goes with each group.
    """

    activations: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    fields: dict[str, np.ndarray]

    @property
    def sets(self) -> np.ndarray:
        """Number of the weights that each group meets."""
        return np.arange(len(self.activations)) // ROWS_IN_TURN

    @property
    def macs(self) -> int:
        """MACs of all groups."""
        return self.activations.size * self.codes.shape[1]

    def dots(self, encoded: anda.Anda) -> np.ndarray:
        """P_g of each group, encoded, and column: int64 [groups, columns]."""
        values = encoded.integers.reshape(-1, 1, _GROUP)
        return baseline.figna(values, self.codes[self.sets])


def _groups(columns: int) -> _Groups:
    product = layer_operands()[0]
    x = product["activations"][:ROWS].reshape(ROWS // ROWS_IN_TURN, ROWS_IN_TURN, -1, _GROUP)
    turns, chunks = x.shape[0], x.shape[2]
    used = _BLOCKS * columns
    codes = product["codes"][:, :used].reshape(chunks, _GROUP, _BLOCKS, columns)
    scales = np.repeat(product["scales"], product["scale_group"] // _GROUP, axis=0)
    scales = scales[:chunks, :used].reshape(chunks, _BLOCKS, columns)
    shape = (_BLOCKS, turns, chunks, ROWS_IN_TURN)
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
    due: dict[str, np.ndarray] = {
        "sums": groups.dots(encoded) << 16 - mantissa_bits,
        "scales": weights["scales"][groups.sets],
        "exponent": encoded.exponent.ravel(),
        **{name: groups.fields[name] for name in ("index", "begin", "end")},
    }
    return Stimulus({"i": beats, "i_weights": weights}, due, groups.macs)


def accumulator(columns: int, mantissa_bits: int) -> Stimulus:
    """Return the sums that an `anda.accumulator` gets from the same product."""
    groups = _groups(columns)
    encoded = anda.encode(groups.activations, mantissa_bits)
    dots, scales = groups.dots(encoded), groups.scales[groups.sets]
    beats = {
        "sums": dots << 16 - mantissa_bits,
        "scales": scales.view(np.uint16).astype(np.int64),
        "exponent": encoded.exponent.ravel(),
        **{name: groups.fields[name] for name in ("index", "begin", "end")},
    }
    # By turn of rows, step along k, row and column.
    shape = (
        -1,
        int(np.flatnonzero(groups.fields["end"])[0]) // ROWS_IN_TURN + 1,
        ROWS_IN_TURN,
        columns,
    )
    steps = (dots, np.broadcast_to(encoded.exponent, dots.shape), scales)
    sums = np.zeros(
        (dots.size // shape[1] // ROWS_IN_TURN // columns, ROWS_IN_TURN, columns), np.float32
    )
    for at in zip(*(x.reshape(shape).swapaxes(0, 1) for x in steps), strict=True):
        sums = anda.accumulate(sums, *at, mantissa_bits=mantissa_bits)
    due: dict[str, np.ndarray] = {
        "value": sums.view(np.uint32).ravel(),
        "index": np.tile(np.arange(ROWS_IN_TURN * columns), len(sums)),
    }
    return Stimulus({"i": beats}, due, groups.macs)


def lane(module: str, parameters: Any) -> Stimulus:
    """Return the steps of the floating-point lanes of ``module``, its slots of rows in turn.

    Weights are FP16, code * scale, but the codes themselves for `baseline.fp_int`.
    """
    lanes, slots = getattr(parameters, "lanes", 1), parameters.slots
    numerics = {"sums": parameters.sums} if module == "baseline.tree_dot" else {}
    product = layer_operands()[0]
    turns = ROWS // slots
    x, codes = product["activations"][: turns * slots], product["codes"][:, :_BLOCKS]
    scales = np.repeat(product["scales"][:, :_BLOCKS], product["scale_group"], axis=0)
    weights = (codes.astype(np.float32) * scales[: len(codes)]).astype(np.float16)
    steps = x.shape[1] // lanes
    shape = (_BLOCKS, turns, steps, slots, lanes)
    a = np.broadcast_to(x.reshape(turns, slots, steps, lanes).transpose(0, 2, 1, 3), shape)
    if module == "baseline.fp_int":
        weights = codes
    b = np.broadcast_to(weights.T.reshape(_BLOCKS, 1, steps, 1, lanes), shape)
    step, row = np.indices(shape[:-1])[2:].reshape(2, -1)
    operands = {"a": _bits(a), "b": _bits(b)}
    beats = {
        # One lane has plain operands, not arrays of one.
        **{
            name: value.reshape(-1, lanes).squeeze(1) if lanes == 1 else value.reshape(-1, lanes)
            for name, value in operands.items()
        },
        "index": row,
        "begin": (step == 0).astype(np.int64),
        "end": (step == steps - 1).astype(np.int64),
    }
    rows = (v.swapaxes(2, 3).reshape(*shape[:2], slots, -1) for v in (a, b))
    sums = LANES[module](*rows, lanes, **numerics)
    due: dict[str, np.ndarray] = {
        "value": sums.view(f"u{sums.itemsize}").ravel(),
        "index": np.tile(np.arange(slots), _BLOCKS * turns),
    }
    return Stimulus({"i": beats}, due, a.size)


def packed_product(bits: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations float16 [rows, k], codes int8 [k, columns] and scales float16 [1, columns].

    They are of one scale group. ``bits``: 4, or 2, the top planes of INT4.
    """
    product = layer_operands()[0]
    x = product["activations"][:ROWS]
    if x.shape[1] != product["scale_group"]:
        raise RuntimeError("A product must have one scale group here.")
    codes = product["codes"][:, :columns] >> np.int8(4 - bits)
    return x, codes, product["scales"][:, :columns]


def _bits(values: np.ndarray) -> np.ndarray:
    """Return float16 as patterns, integers as they are."""
    return (values.view(np.uint16) if values.dtype == np.float16 else values).astype(np.int64)
