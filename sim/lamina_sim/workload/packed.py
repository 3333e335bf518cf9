"""Quantized checkpoints: GPTQ and AWQ tensors to the codes that the engines eat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina_sim.workload.quantize import Quantized
from lamina_sim.workload.safetensors_file import Stored

_WORD = 32
#: Column held by each nibble of an AWQ word, the lowest first.
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How a checkpoint packs its weights: quantization_config of config.json, or GPTQ's own file.

    ``group``: elements along k per scale, or None for all of them. ``minus_one``: zero points are
    stored one too small, as GPTQ's first format has them.
    """

    method: str
    bits: int
    group: int | None
    minus_one: bool

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Packing:
        """ValueError on a method or a width that is not read here."""
        method = entries.get("quant_method", "gptq")
        if method not in ("gptq", "awq"):
            raise ValueError(f"quant_method must be gptq or awq, not {method!r}.")
        # AWQ's own file has other names for the same.
        bits = entries.get("bits", entries.get("w_bit"))
        group = entries.get("group_size", entries.get("q_group_size", 128))
        widths = (2, 3, 4, 8) if method == "gptq" else (4,)
        if bits not in widths:
            raise ValueError(
                f"bits of {method} must be one of {', '.join(map(str, widths))}, not {bits}."
            )
        if type(group) is not int or group == 0 or group < -1:
            raise ValueError(f"group_size must be positive, or -1 for all, not {group!r}.")
        if method == "awq" and entries.get("version", "gemm").lower() != "gemm":
            raise ValueError(f"version of awq must be gemm, not {entries['version']!r}.")
        return cls(
            method=method,
            bits=bits,
            group=None if group == -1 else group,
            minus_one=method == "gptq" and entries.get("checkpoint_format", "gptq") == "gptq",
        )

    def unpack(self, name: str, tensors: Mapping[str, Stored]) -> Quantized:
        """Codes of the product `name` out of its qweight, qzeros, scales and g_idx.

        ValueError where one is missing or of another shape.
        """
        parts = {}
        for part, kind in (("qweight", "I32"), ("qzeros", "I32"), ("scales", "F16")):
            if f"{name}.{part}" not in tensors:
                raise ValueError(f"Tensor {name}.{part} must be there, as {name} is quantized.")
            parts[part] = tensors[f"{name}.{part}"].typed(kind)
            if parts[part].ndim != 2:
                raise ValueError(f"Tensor {name}.{part} must have 2 dimensions.")
        scales = np.array(parts["scales"], dtype=np.float16)
        groups, n = scales.shape
        k = self.rows(parts["qweight"].shape)
        length = k if self.group is None else self.group
        self._check(name, parts, k, length, groups, n)
        if self.method == "awq":
            codes, zeros = _nibbles(parts["qweight"]), _nibbles(parts["qzeros"])
        else:
            codes = _stream(parts["qweight"].T, self.bits, k).T
            zeros = _stream(parts["qzeros"], self.bits, n)
        if self.minus_one:
            # The largest stored value is the -1 of a zero point 0.
            zeros = zeros + np.uint8(1) & np.uint8((1 << self.bits) - 1)
        offset = 1 << (self.bits - 1)
        order = self._order(name, tensors, k, length)
        codes = (codes.astype(np.int16) - offset).astype(np.int8)
        return Quantized(
            codes=np.ascontiguousarray(codes if order is None else codes[order]),
            scales=scales,
            zero_points=(zeros.astype(np.int16) - offset).astype(np.int8),
            bits=self.bits,
            group=length,
            order=order,
        )

    def rows(self, shape: tuple[int, ...]) -> int:
        """Elements along k of a qweight of this shape."""
        return shape[0] if self.method == "awq" else shape[0] * _WORD // self.bits

    def _check(
        self,
        name: str,
        parts: Mapping[str, np.ndarray],
        k: int,
        length: int,
        groups: int,
        n: int,
    ) -> None:
        words = -(-n * self.bits // _WORD)
        expected = {
            "qweight": (k, words) if self.method == "awq" else (k * self.bits // _WORD, n),
            "qzeros": (-(-k // length), words),
            "scales": (-(-k // length), n),
        }
        for part, shape in expected.items():
            if parts[part].shape != shape:
                raise ValueError(
                    f"Tensor {name}.{part} must have shape {shape}, not {parts[part].shape}."
                )

    def _order(
        self, name: str, tensors: Mapping[str, Stored], k: int, length: int
    ) -> np.ndarray | None:
        """The order of k in which groups are contiguous, or None where they are already."""
        if f"{name}.g_idx" not in tensors:
            return None
        group = tensors[f"{name}.g_idx"].typed("I32")
        expected = np.arange(k) // length
        if group.shape != (k,) or not np.array_equal(np.sort(group), expected):
            raise ValueError(f"Tensor {name}.g_idx must put {length} elements into each group.")
        return None if np.array_equal(group, expected) else np.argsort(group, kind="stable")


def _stream(words: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Rows of words int32 [rows, w] as bit streams of `count` codes: uint8 [rows, count]."""
    data = np.ascontiguousarray(words, dtype="<i4").view(np.uint8)
    single = np.unpackbits(data, axis=1, count=count * bits, bitorder="little")
    weights = (1 << np.arange(bits)).astype(np.uint8)
    return single.reshape(len(data), count, bits) @ weights


def _nibbles(words: np.ndarray) -> np.ndarray:
    """AWQ words int32 [rows, w] as codes uint8 [rows, 8 w]."""
    fields = np.empty((*words.shape, len(_AWQ_ORDER)), np.uint8)
    for place, column in enumerate(_AWQ_ORDER):
        fields[..., column] = (words.view(np.uint32) >> np.uint32(4 * place)) & np.uint32(15)
    return fields.reshape(len(words), -1)
