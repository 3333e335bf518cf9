"""Weights packed along n into 16-bit words, as PacQ's units take them, and files of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina_sim.golden import pacq
from lamina_sim.workload.quantize import Quantized
from lamina_sim.workload.safetensors_file import Stored, metadata, open_file, write_file

#: What the metadata of a file of words call it, and where they have widths and groups.
FORMAT, _KIND, _PRODUCTS = "lamina words 1", "format", "products"
_KINDS = {"words": "U16", "scales": "F16", "zero_points": "I8", "order": "I32"}
#: Rows of a step of a dot product unit: a scale group is whole ones, or all of k.
_STEP = 4


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Weights [k, n] as words; weight = (code - zero_point) * scale.

    Members
        words        uint16 [k, n * bits / 16], as `golden.pacq.pack` makes them
        scales       float16 [ceil(k / group), ceil(n / columns)], finite
        zero_points  int8 of the shape of scales, or None for zero
        bits         2 or 4
        group        elements along k that share a scale
        columns      elements along n that share it: with group 32 and columns 4, g[32, 4]
        order        int32 [k], or None: row i of the words belongs to input order[i]
    """

    words: npt.NDArray[np.uint16]
    scales: npt.NDArray[np.float16]
    zero_points: npt.NDArray[np.int8] | None
    bits: int
    group: int
    columns: int = 1
    order: npt.NDArray[np.int32] | None = None

    @classmethod
    def of(cls, q: Quantized, columns: int = 1) -> Packed:
        """Pack codes; ValueError where PacQ cannot take them, or n does not fill its last word."""
        if q.bits not in (2, 4):
            raise ValueError(f"Codes must have 2 or 4 bits to be packed, not {q.bits}.")
        k = len(q.codes)
        if q.group % _STEP and q.group < k:
            raise ValueError(
                f"A scale group must be a multiple of {_STEP} rows or all {k}, not {q.group}."
            )
        if not np.isfinite(q.scales).all():
            raise ValueError("Scales must be finite, not Inf or NaN.")
        return cls(
            words=pacq.pack(q.codes, q.bits),
            scales=_shared("scales", q.scales, columns),
            zero_points=None
            if q.zero_points is None
            else _shared("zero points", q.zero_points, columns),
            bits=q.bits,
            group=q.group,
            columns=columns,
            order=None if q.order is None else q.order.astype(np.int32),
        )

    def quantized(self) -> Quantized:
        """The codes, with a scale for each column: what was packed."""
        codes = pacq.unpack(self.words, self.bits)

        def spread(values: np.ndarray) -> np.ndarray:
            return np.repeat(values, self.columns, axis=1)[:, : codes.shape[1]]

        return Quantized(
            codes=codes,
            scales=spread(self.scales),
            zero_points=None if self.zero_points is None else spread(self.zero_points),
            bits=self.bits,
            group=self.group,
            order=None if self.order is None else self.order.astype(np.int64),
        )


def _shared(name: str, values: np.ndarray, columns: int) -> np.ndarray:
    """One of each ``columns`` neighbours along n, which must be alike."""
    if columns < 1:
        raise ValueError(f"Columns that share a scale must be at least 1, not {columns}.")
    first = values[:, ::columns]
    if not np.array_equal(np.repeat(first, columns, axis=1)[:, : values.shape[1]], values):
        raise ValueError(f"The {name} of each {columns} neighbouring columns must be the same.")
    return np.ascontiguousarray(first)


def save(path: Path, products: Iterable[tuple[str, Packed]]) -> None:
    """Write products as safetensors: NAME.words, .scales, .zero_points, .order; none is kept."""
    about: dict[str, dict[str, int]] = {}

    def tensors() -> Iterator[tuple[str, np.ndarray]]:
        for name, product in products:
            about[name] = {part: getattr(product, part) for part in ("bits", "group", "columns")}
            for part in _KINDS:
                if (array := getattr(product, part)) is not None:
                    yield f"{name}.{part}", array

    write_file(path, tensors(), lambda: {_KIND: FORMAT, _PRODUCTS: json.dumps(about)})


def load(path: Path) -> dict[str, Packed]:
    """The products of a file that `save` wrote, mapped; ValueError in one sentence for others."""
    notes = metadata(path)
    if notes.get(_KIND) != FORMAT:
        raise ValueError(f"{path} must be a file of words, as `lamina pack` writes them.")
    tensors = open_file(path)
    try:
        about = json.loads(notes[_PRODUCTS])
        fits = all(
            type(entry[part]) is int and entry[part] > 0
            for entry in about.values()
            for part in ("bits", "group", "columns")
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        fits = False
    if not fits:
        raise ValueError(f"{path} must say bits, group and columns of each of its products.")
    return {name: _product(name, entry, tensors) for name, entry in about.items()}


def plain(
    name: str, tensors: Mapping[str, Stored], bits: int, group: int | None, columns: int = 1
) -> Quantized:
    """Codes that lie there as they are: NAME.codes int8 [k, n], .scales, and .zero_points or none.

    ``group`` None is all of k; scales are those of `Packed`. ValueError where one does not fit.
    """
    codes = tensors[f"{name}.codes"].typed("I8")
    if codes.ndim != 2 or 0 in codes.shape:
        raise ValueError(f"Tensor {name}.codes must have 2 dimensions, not shape {codes.shape}.")
    if group is not None and group < 1:
        raise ValueError(f"A scale group must be at least 1 row, not {group}.")
    if columns < 1:
        raise ValueError(f"Columns that share a scale must be at least 1, not {columns}.")
    k, n = codes.shape
    length = k if group is None else min(group, k)
    shape = (-(-k // length), -(-n // columns))
    spread: dict[str, Any] = {"scales": None, "zero_points": None}
    for part in spread:
        stored = tensors.get(f"{name}.{part}")
        if stored is None:
            if part == "scales":
                raise ValueError(f"Tensor {name}.scales must be there, beside {name}.codes.")
            continue
        values = stored.typed(_KINDS[part])
        if values.shape != shape:
            raise ValueError(f"Tensor {name}.{part} must have shape {shape}, not {values.shape}.")
        spread[part] = np.repeat(values, columns, axis=1)[:, :n]
    zeros = spread["zero_points"]
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    if zeros is not None and not low <= zeros.min() <= zeros.max() <= high:
        worst = zeros.min() if zeros.min() < low else zeros.max()
        raise ValueError(
            f"Zero points must be between {low} and {high} for {bits} bits, not {worst}."
        )
    return Quantized(codes=codes, **spread, bits=bits, group=length)


def _product(name: str, entry: Mapping[str, int], tensors: Mapping[str, Stored]) -> Packed:
    parts: dict[str, Any] = {}
    for part, kind in (
        ("words", "U16"),
        ("scales", "F16"),
        ("zero_points", "I8"),
        ("order", "I32"),
    ):
        stored = tensors.get(f"{name}.{part}")
        if stored is None and part in ("words", "scales"):
            raise ValueError(f"Tensor {name}.{part} must be there, as {name} is packed.")
        parts[part] = None if stored is None else stored.typed(kind)
    bits, group, columns = entry["bits"], entry["group"], entry["columns"]
    if bits not in (2, 4):
        raise ValueError(f"bits of {name} must be 2 or 4, not {bits}.")
    words, order = parts["words"], parts["order"]
    if words.ndim != 2 or 0 in words.shape:
        raise ValueError(f"Tensor {name}.words must have 2 dimensions, not shape {words.shape}.")
    k, n = len(words), words.shape[1] * 16 // bits
    shape = (-(-k // group), -(-n // columns))
    for part in ("scales", "zero_points"):
        if parts[part] is not None and parts[part].shape != shape:
            raise ValueError(
                f"Tensor {name}.{part} must have shape {shape}, not {parts[part].shape}."
            )
    if order is not None and not np.array_equal(np.sort(order), np.arange(k)):
        raise ValueError(f"Tensor {name}.order must have each of the {k} inputs once.")
    return Packed(bits=bits, group=group, columns=columns, **parts)
