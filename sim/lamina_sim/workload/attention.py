"""Causal attention, and the keys and values of what was read already."""

from __future__ import annotations

import numpy as np

from lamina_sim.workload.tensors import Float

#: Scores worked on at a time: as many as stay in a cache.
_SCORES = 1 << 20


class KeyValues:
    """Keys and values, by layer, of the positions that a decoder has read.

    Members
        length  positions read: what is read next follows them. Whoever ran all layers over more
                positions says so with `read`.

    Keys are kept as they are before positions turn them: where the angles depend on the length of
    the sequence, all turn by those of the present one.
    """

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, tuple[Float, Float]] = {}

    def extended(self, layer: int, key: Float, value: Float) -> tuple[Float, Float]:
        """Keys and values [rows, heads, t, dim] of all positions, the new ones last."""
        if layer in self._layers:
            before = (kept[:, :, : self.length] for kept in self._layers[layer])
            key, value = (
                np.concatenate((old, new), axis=2)
                for old, new in zip(before, (key, value), strict=True)
            )
        self._layers[layer] = key, value
        return key, value

    def read(self, count: int) -> None:
        """So many more positions went through all layers."""
        self.length += count


def attend(query: Float, key: Float, value: Float) -> Float:
    """Causal attention of heads [rows, heads, t, dim]: softmax(query key^T) value.

    Key and value may have fewer heads, each shared by as many query heads in a row, and more
    positions, of which the queries are the last. The scores are not scaled here. A few heads are
    worked on at a time, which bounds the memory.
    """
    rows, heads, length, dim = query.shape
    shared, total = heads // key.shape[1], key.shape[2]
    future = np.triu(np.ones((length, total), dtype=bool), 1 + total - length)
    flat = query.reshape(-1, length, dim)
    keys, values = (kv.reshape(-1, total, dim) for kv in (key, value))
    result = np.empty_like(flat)
    step = max(1, _SCORES // (length * total))
    for start in range(0, rows * heads, step):
        part = slice(start, min(start + step, rows * heads))
        of = np.arange(part.start, part.stop) // shared
        scores = flat[part] @ keys[of].swapaxes(1, 2)
        scores[:, future] = -np.inf
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(-1, keepdims=True)
        result[part] = scores @ values[of]
    return result.reshape(rows, heads, length, dim)


def split_heads(x: Float, length: int, dim: int) -> Float:
    """x [rows * t, heads * dim] as heads [rows, heads, t, dim]."""
    return x.reshape(-1, length, x.shape[1] // dim, dim).transpose(0, 2, 1, 3)


def join_heads(x: Float) -> Float:
    """The inverse of `split_heads`."""
    rows, heads, length, dim = x.shape
    return x.transpose(0, 2, 1, 3).reshape(rows * length, heads * dim)
