"""Mantissa bits of each product of a decoder, what they cost, and the file that says so.

A decoder layer has four kinds of products, by the activations that they share (Anda, HPCA 2025,
section IV): ``qkv``, ``o`` (attention output), ``u`` (feed-forward up; with it the gate where there
is one) and ``d`` (down). All else stays in floating point.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = ("qkv", "o", "u", "d")
#: A mantissa length for each kind, or for each kind of each layer: layer 0 first, KINDS in order.
Mantissas = tuple[int, ...]

#: Bit operations of one multiply-accumulate are the product of the widths: FP16 counts 16.
FLOAT_BITS = 16
WEIGHT_BITS = 4


def opt_macs(hidden: int, inner: int) -> Mantissas:
    """Multiplications per token and layer of each kind, in an OPT decoder."""
    return (3 * hidden * hidden, hidden * hidden, hidden * inner, hidden * inner)


def llama_macs(hidden: int, inner: int, kv: int | None = None) -> Mantissas:
    """The same for Llama, whose gate shares the activations of `up`; ``kv``: rows of k and of v."""
    kv = hidden if kv is None else kv
    return (hidden * (hidden + 2 * kv), hidden * hidden, 2 * hidden * inner, hidden * inner)


def bops(macs: Sequence[int], mantissas: Sequence[int], weight_bits: int = WEIGHT_BITS) -> int:
    """Bit operations per token: sum of multiplications times mantissa bits times weight bits."""
    return weight_bits * sum(n * m for n, m in zip(macs, mantissas, strict=True))


def bops_saving(macs: Sequence[int], mantissas: Sequence[int]) -> float:
    """How many times fewer bit operations than with FP16 activations and the same weights."""
    return FLOAT_BITS * sum(macs) / bops(macs, mantissas, 1)


@dataclass(frozen=True, kw_only=True)
class Precision:
    """What a search found, as ``search`` writes it and ``eval``, ``gemm`` and ``generate`` take it.

    Members
        mantissas      by kind: one row (all layers alike) or one row per layer, 1 to 16 each
        weight_bits    of the weight codes, 2 to 8
        scale_group    elements along k that share a scale, or None for one scale per column
        planes         planes of the weights to fetch, by product: one number, or one for each
                       `rows` rows; a product not named: all
        rows           rows of a matrix [out, in] that share a number of planes, or None for all
        reading        how planes are read, as `nested.read_planes` has it
    """

    mantissas: tuple[Mantissas, ...]
    weight_bits: int = WEIGHT_BITS
    scale_group: int | None = 128
    planes: dict[str, list[int]] | None = None
    rows: int | None = None
    reading: str = "truncate"

    def __post_init__(self) -> None:
        if not self.mantissas or any(len(row) != len(KINDS) for row in self.mantissas):
            raise ValueError(
                f"mantissa_bits must give one length for each of {', '.join(KINDS)}, "
                f"not {self.mantissas}."
            )
        for row in self.mantissas:
            for m in row:
                _integer("mantissa_bits", m, 1, 16)
        _integer("weight_bits", self.weight_bits, 2, 8)
        if self.scale_group is not None:
            _integer("scale_group", self.scale_group, 1)
        if self.rows is not None:
            _integer("rows", self.rows, 1)
        for name, units in (self.planes or {}).items():
            if not isinstance(units, list) or not units or (self.rows is None and len(units) > 1):
                raise ValueError(f"planes of {name} must be a list of one number per unit of rows.")
            for keep in units:
                _integer(f"planes of {name}", keep, 1, self.weight_bits)

    @classmethod
    def of(cls, mantissas: Sequence[int], **others: Any) -> Precision:
        """Of a flat tuple: 4 lengths, or 4 for each layer."""
        if len(mantissas) % len(KINDS):
            raise ValueError(f"A tuple must have 4 lengths per layer, not {len(mantissas)}.")
        rows = tuple(tuple(mantissas[i : i + 4]) for i in range(0, len(mantissas), 4))
        return cls(mantissas=rows, **others)

    def check(self, products: Collection[str], layers: int) -> None:
        """Raise ValueError unless this is of a model of these products and so many layers."""
        if len(self.mantissas) not in (1, layers):
            raise ValueError(
                f"The precision is of a model of {len(self.mantissas)} layers, not of {layers}."
            )
        unknown = sorted(set(self.planes or ()) - set(products))
        if unknown:
            raise ValueError(f"The precision names {unknown[0]}, which the model does not have.")

    def mantissa_bits(self, kind: str, layer: int = 0) -> int:
        """M of a kind of product in a layer."""
        row = 0 if len(self.mantissas) == 1 else layer
        if not 0 <= row < len(self.mantissas):
            raise ValueError(f"layer must be below {len(self.mantissas)}, not {layer}.")
        return self.mantissas[row][KINDS.index(kind)]

    def to_json(self) -> dict[str, Any]:
        """As written to a file: one object of lengths, or a list with one per layer."""
        rows = [dict(zip(KINDS, row, strict=True)) for row in self.mantissas]
        entries: dict[str, Any] = {
            "mantissa_bits": rows[0] if len(rows) == 1 else rows,
            "weight_bits": self.weight_bits,
            "scale_group": self.scale_group,
        }
        if self.planes:
            entries |= {"planes": self.planes, "rows": self.rows, "reading": self.reading}
        return entries

    @classmethod
    def from_json(cls, entries: Any) -> Precision:
        """The inverse; other keys are left alone. ValueError where the file is no such object."""
        rows = entries.get("mantissa_bits") if isinstance(entries, dict) else None
        rows = [rows] if isinstance(rows, dict) else rows
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and row.keys() == set(KINDS) for row in rows
        ):
            raise ValueError(
                f"A precision file must give mantissa_bits an object of {', '.join(KINDS)}, "
                "or a list of them."
            )
        planes = entries.get("planes")
        if planes is not None and not isinstance(planes, dict):
            raise ValueError("planes of a precision file must be an object of numbers by tensor.")
        return cls(
            mantissas=tuple(tuple(row[kind] for kind in KINDS) for row in rows),
            weight_bits=entries.get("weight_bits", WEIGHT_BITS),
            scale_group=entries.get("scale_group", 128),
            planes=planes,
            rows=entries.get("rows"),
            reading=entries.get("reading", "truncate"),
        )

    @classmethod
    def loads(cls, text: str) -> Precision:
        """Of the text of a file; ValueError where it is no JSON."""
        try:
            entries = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"A precision file must be JSON: {error}.") from None
        return cls.from_json(entries)


def _integer(name: str, value: Any, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be an integer, not {value!r}.")
    if value < low or (high is not None and value > high):
        rule = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} must be {rule}, not {value}.")
