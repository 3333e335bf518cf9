"""Matrix products as the streams of `pacq.window_dot`."""

from dataclasses import dataclass

import numpy as np

from lamina_sim.golden import pacq
from tb.pacq.operands import KINDS, Operands, random_operands

__all__ = ["KINDS", "WindowProduct", "random_window_product"]


@dataclass(frozen=True, kw_only=True)
class WindowProduct(Operands):
    """As `Operands`: m, n are multiples of ``rows``, ``columns`` of a tile, k of ``lanes``."""

    rows: int
    columns: int
    lanes: int = 4

    @property
    def tiles(self):
        """(first row, first column) of each tile of outputs, in order."""
        m, n = self.x.shape[0], self.codes.shape[1]
        return [(r, c) for r in range(0, m, self.rows) for c in range(0, n, self.columns)]

    def streams(self, tags):
        """Payloads of the three input streams; tiles take turns in so many indices."""
        k = self.x.shape[1]
        steps, per_group = k // self.lanes, min(self.scale_group, k) // self.lanes
        step = np.arange(steps)
        a, words, index, scales, zeros = [], [], [], [], []
        packed = pacq.pack(self.codes, self.bits)
        per_word = 16 // self.bits
        for number, (row, column) in enumerate(self.tiles):
            own = self.x[row : row + self.rows].view(np.uint16)
            a.append(own.reshape(self.rows, steps, self.lanes).transpose(1, 0, 2))
            block = packed[:, column // per_word : (column + self.columns) // per_word]
            words.append(block.reshape(steps, self.lanes, -1).transpose(0, 2, 1))
            index.append(np.full(steps, number % tags))
            places = slice(column, column + self.columns)
            scales.append(self.scales[:, places].view(np.uint16).ravel())
            zeros.append(self.zero_points[:, places].ravel())
        last = (step % per_group == per_group - 1) | (step == steps - 1)
        flags = {
            "last": last,
            "begin": step < per_group,
            "end": step // per_group == step[-1] // per_group,
        }
        flags = {name: np.tile(flag, len(index)).astype(np.int64) for name, flag in flags.items()}
        return {
            "i": {"a": np.concatenate(a).astype(np.int64), "index": np.concatenate(index), **flags},
            "i_words": {"words": np.concatenate(words).astype(np.int64)},
            "i_scales": {"scale": np.concatenate(scales).astype(np.int64),
                         "zero": np.concatenate(zeros).astype(np.int64)},
        }  # fmt: skip

    def due(self, tags):
        """Fields of the results, in order."""
        tile = self.rows * self.columns
        golden = self.golden()
        values = [golden[r : r + self.rows, c : c + self.columns].ravel() for r, c in self.tiles]
        index = [np.arange(tile) + tile * (n % tags) for n in range(len(self.tiles))]
        return {"value": np.concatenate(values).view(np.uint32), "index": np.concatenate(index)}


def random_window_product(rng, *, bits, rows, columns, lanes=4, m=None, n=None, k=256,
                          scale_group=128, kind="normal"):  # fmt: skip
    """A product with activations of one ``kind``, as of `random_operands`."""
    m, n = m or rows, n or columns
    drawn = random_operands(rng, bits=bits, m=m, k=k, n=n, scale_group=scale_group, kind=kind)
    return WindowProduct(**drawn, rows=rows, columns=columns, lanes=lanes)
