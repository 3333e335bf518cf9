"""A matrix product as warp operations of PacQ's tensor core, and elements of C as a matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lamina_sim.golden import pacq

__all__ = ["Warps"]

_TILE = 4
_EXTENT = 16  # rows, and words of columns, of an operation
_COLUMNS_MAX = 8  # of a word
_FLAGS = ("group_first", "group_last", "begin", "end")


@dataclass(frozen=True, kw_only=True, eq=False)
class Warps:
    """A product in one of `pacq.FLOWS`.

    ``x`` float16 [m, k]; ``weights`` int8 codes [k, n] of ``bits`` bits, for the flow "fp16" also
    float16; ``scales`` float16 [groups, n]; ``zero_points`` int8 of that shape or None.
    ``octet``: (m, n) of one octet, for `pacq.octet`; None for `pacq.tensor_core`.
    """

    x: np.ndarray
    weights: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray | None = None
    bits: int = 4
    scale_group: int = 128
    flow: str = "packed_n"
    octet: tuple[int, int] | None = None

    @cached_property
    def operations(self) -> list[pacq.Operation]:
        """The operations in order, k innermost."""
        (m, k), n = self.x.shape, self.weights.shape[1]
        return list(pacq.operations((m, n, k), self.flow, self.bits, min(self.scale_group, k)))

    @property
    def ends(self) -> list[pacq.Operation]:
        """The operations that finish outputs."""
        return [o for o in self.operations if o.group_last and o.end]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(m, n, k) of an operation."""
        return pacq.operation_shape(self.flow, self.bits)

    @property
    def extent(self) -> int:
        """Rows, and words of columns, that the hardware has of an operation."""
        return _EXTENT if self.octet is None else _EXTENT // 2

    @property
    def per_word(self) -> int:
        """Columns of a word."""
        return self.shape[1] // _EXTENT

    @property
    def elements(self) -> int:
        """Elements that leave."""
        return len(self.ends) * self.extent**2 * self.per_word

    def inputs(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the payloads of the input streams."""
        a, b, scales, zeros = zip(*map(self._operands, self.operations), strict=True)
        count = len(self.operations)
        flags = {
            name: np.array([int(getattr(o, name)) for o in self.operations]) for name in _FLAGS
        }
        return {
            "i": {
                "flow": np.full(count, pacq.FLOWS.index(self.flow)),
                "int2": np.full(count, int(self.bits == 2)),
                **flags,
            },
            "i_a": {"values": np.concatenate(a)},
            "i_b": {"words": np.concatenate(b)},
            "i_scales": {"scales": np.concatenate(scales), "zeros": np.concatenate(zeros)},
        }

    def stream_inputs(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the payloads of the input streams of `pacq.tensor_stream`, one product."""
        inputs = self.inputs()
        last = np.arange(len(self.operations)) == len(self.operations) - 1
        names = {"operation": "i", "a": "i_a", "b": "i_b", "scales": "i_scales"}
        inputs["i"]["last"] = last.astype(np.int64)
        return {f"s_axis_{name}": inputs[port] for name, port in names.items()}

    def tiles(self, ports: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Return what left the write ports, of each of ``ends``: float32 [ends, rows, columns].

        A place is always of the same port; there, tiles leave in the order of their operations.
        Raises ValueError if elements are missing or too many.
        """
        value, row, word, column = (
            np.concatenate([np.asarray(port[name]).astype(np.int64) for port in ports])
            for name in ("value", "row", "word", "column")
        )
        place = (row * self.extent + word) * self.per_word + column
        counts = np.bincount(place, minlength=self.extent**2 * self.per_word)
        if not (counts == len(self.ends)).all() or column.max() >= self.per_word:
            raise ValueError(f"{len(value)} elements must be {len(self.ends)} at each place.")
        values = value[np.argsort(place, kind="stable")].astype(np.uint32).view(np.float32)
        tiles = values.reshape(self.extent, self.extent * self.per_word, len(self.ends))
        return tiles.transpose(2, 0, 1)

    @staticmethod
    def stream_elements(beats: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the elements in what left `pacq.tensor_stream`, for `tiles` and `matrix`."""
        there = np.asarray(beats["there"]) == 1
        return {name: np.asarray(values)[there] for name, values in beats.items()}

    def matrix(self, ports: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Return C, float32 [m, n], of what left the write ports of a tensor core."""
        m, n = len(self.x), self.weights.shape[1]
        rows, columns, _ = self.shape
        result = np.zeros((m + -m % rows, n + -n % columns), np.float32)
        for o, tile in zip(self.ends, self.tiles(ports), strict=True):
            result[o.row : o.row + rows, o.column : o.column + columns] = tile
        return np.ascontiguousarray(result[:m, :n])

    def _operands(self, operation: pacq.Operation) -> tuple[np.ndarray, ...]:
        """Tiles of A and B, scales and zero points of the words."""
        rows, columns, depth = self.shape
        k = slice(operation.start, operation.stop)
        own = slice(operation.column, operation.column + columns)
        a = _padded(self.x[operation.row : operation.row + rows, k], (rows, depth))
        b = self._words(k, own, operation.group, (depth, columns))
        a = self._part(_tiles(a.view(np.uint16)), 0, 0).transpose(1, 0, 2)
        b = self._part(_tiles(b.T).transpose(1, 0, 2), 1, 1)
        zeros = np.zeros(self.scales.shape, np.int8)
        if self.zero_points is not None:
            zeros = self.zero_points
        beside = []
        for values in (self.scales.view(np.uint16), zeros):
            words = _padded(values[operation.group, own][None], (1, columns))
            words = _padded(words.reshape(_EXTENT, -1), (_EXTENT, _COLUMNS_MAX))
            beside.append(self._part(words, 0, 1))
        return a.reshape(-1, _TILE**2), b.reshape(-1, _TILE**2), *beside

    def _words(self, k: slice, columns: slice, group: int, shape: tuple[int, int]) -> np.ndarray:
        """Return the words of an operation, uint16 [16, 16]."""
        weights = self.weights[k, columns]
        if self.flow != "fp16":
            pack = pacq.pack if self.flow == "packed_n" else pacq.pack_k
            return pack(_padded(weights, shape), self.bits)
        if weights.dtype != np.float16 and self.zero_points is not None:
            weights = weights - self.zero_points[group, columns]
        return _padded(weights.astype(np.float16), shape).view(np.uint16)

    def _part(self, values: np.ndarray, axis: int, along: int) -> np.ndarray:
        """Return the octet's half of ``values`` along an axis, or all of them."""
        return values if self.octet is None else np.split(values, 2, axis)[self.octet[along]]


def _tiles(matrix: np.ndarray) -> np.ndarray:
    """Return 4 x 4 tiles, [tile of rows, tile of columns, 16], columns fastest."""
    rows, columns = (extent // _TILE for extent in matrix.shape)
    tiles = matrix.reshape(rows, _TILE, columns, _TILE).transpose(0, 2, 1, 3)
    return tiles.reshape(rows, columns, _TILE**2)


def _padded(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return ``values`` with zeros behind them."""
    missing = np.subtract(shape, values.shape)
    return np.pad(values, [(0, int(number)) for number in missing])
