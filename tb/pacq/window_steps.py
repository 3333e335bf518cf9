"""Matrix products as the streams of `pacq.window_dot`."""

from dataclasses import dataclass

import numpy as np

from lamina_sim.golden import pacq

LANES = 4
KINDS = ("normal", "wide", "subnormal", "extreme", "special")


@dataclass(frozen=True, kw_only=True)
class WindowProduct:
    """x float16 [m, k] times codes int8 [k, n], as `golden.pacq.gemm` takes them.

    m and n are multiples of ``rows`` and ``columns`` of a tile, k of 4.
    """

    x: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray
    bits: int
    scale_group: int
    rows: int
    columns: int

    def golden(self):
        """float32 [m, n]."""
        return pacq.gemm(
            self.x, self.codes, self.scales,
            bits=self.bits, zero_points=self.zero_points, scale_group=self.scale_group,
        )  # fmt: skip

    @property
    def tiles(self):
        """(first row, first column) of each tile of outputs, in order."""
        m, n = self.x.shape[0], self.codes.shape[1]
        return [(r, c) for r in range(0, m, self.rows) for c in range(0, n, self.columns)]

    def streams(self, tags):
        """Payloads of the three input streams; tiles take turns in so many indices."""
        k = self.x.shape[1]
        steps, per_group = k // LANES, min(self.scale_group, k) // LANES
        step = np.arange(steps)
        a, words, index, scales, zeros = [], [], [], [], []
        packed = pacq.pack(self.codes, self.bits)
        per_word = 16 // self.bits
        for number, (row, column) in enumerate(self.tiles):
            own = self.x[row : row + self.rows].view(np.uint16)
            a.append(own.reshape(self.rows, steps, LANES).transpose(1, 0, 2))
            block = packed[:, column // per_word : (column + self.columns) // per_word]
            words.append(block.reshape(steps, LANES, -1).transpose(0, 2, 1))
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


def random_window_product(rng, *, bits, rows, columns, m=None, n=None, k=256, scale_group=128,
                          kind="normal"):  # fmt: skip
    """A product with activations of one ``kind``: normal, wide, subnormal, extreme, special."""
    m, n = m or rows, n or columns
    low, groups = -(1 << (bits - 1)), -(-k // scale_group)
    finite = rng.integers(0, 0x7C00, (m, k)) | rng.integers(0, 2, (m, k)) << 15
    x = finite.astype(np.uint16).view(np.float16)
    if kind in ("normal", "special"):
        x = rng.normal(size=(m, k)).astype(np.float16)
    elif kind == "subnormal":
        x = (finite & 0x83FF).astype(np.uint16).view(np.float16)
    elif kind == "extreme":
        x = np.full((m, k), 65504.0, np.float16) * np.float16(rng.choice([-1, 1]))
    if kind == "special":
        places = rng.random((m, k)) < 1.5 / k  # some rows stay numbers
        odd = rng.choice(np.array([np.inf, -np.inf, np.inf, -np.inf, np.nan], np.float16), (m, k))
        x = np.where(places, odd, x)
    codes = rng.integers(low, -low, (k, n)).astype(np.int8)
    zero_points = rng.integers(low, -low, (groups, n)).astype(np.int8)
    if kind == "extreme":
        codes[:], zero_points[:] = -low - 1, low
    return WindowProduct(
        x=x, codes=codes, scales=rng.normal(size=(groups, n)).astype(np.float16),
        zero_points=zero_points, bits=bits, scale_group=scale_group, rows=rows, columns=columns,
    )  # fmt: skip
