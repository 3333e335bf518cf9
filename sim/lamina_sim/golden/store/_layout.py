"""Where the planes of a region lie in memory, and which weight is which bit of a block."""

from typing import Any

import numpy as np

from lamina_sim.golden import _check
from lamina_sim.golden.store._formats import BLOCK, LINE_BYTES

TILE_K, TILE_N = 64, 8
BLOCKS_PER_ROW = 128


def plane_address(
    block: Any, plane: Any, planes: int, *, blocks_per_row: int = BLOCKS_PER_ROW, base: int = 0
) -> np.ndarray:
    """Byte address of a plane: base + ((b div R) * N + p) * R * 64 + (b mod R) * 64, as int64.

    ``block`` b and ``plane`` p are integers or integer arrays that broadcast; ``planes`` is N, the
    number stored; ``blocks_per_row`` is R. Reading the first k planes of many blocks so touches
    k / N of the rows of R * 64 bytes.

    Raises:
        TypeError: an index or parameter of no integer type.
        ValueError: an index out of range, or a base not aligned to R * 64.
    """
    planes = _check.integer("planes", planes, 1, 16)
    blocks_per_row = _check.integer("blocks_per_row", blocks_per_row, 1)
    row_bytes = blocks_per_row * LINE_BYTES
    base = _check.integer("base", base, 0)
    if base % row_bytes:
        raise ValueError(f"base must be a multiple of {row_bytes}, not {base}.")
    b, p = _index("block", block), _index("plane", plane)
    if p.size and int(p.max()) >= planes:
        raise ValueError(f"plane must be below {planes}, not {int(p.max())}.")
    row = (b // blocks_per_row) * planes + p
    return base + row * row_bytes + (b % blocks_per_row) * LINE_BYTES


def _index(name: str, value: Any) -> np.ndarray:
    index = np.asarray(value)
    if index.dtype.kind not in "iu":
        raise TypeError(f"{name} must be of an integer dtype, not {index.dtype}.")
    if index.size and int(index.min()) < 0:
        raise ValueError(f"{name} must be at least 0, not {int(index.min())}.")
    return index.astype(np.int64)


def to_image(planes: Any, blocks_per_row: int = BLOCKS_PER_ROW) -> np.ndarray:
    """Lays planes uint8 [blocks, N, 64] out from base 0: uint8 [ceil(blocks / R) * N * R * 64].

    Bytes that belong to no block are zero.
    """
    planes = _check.array("planes", planes, np.uint8, 3)
    _check.shape("planes", planes, (*planes.shape[:2], LINE_BYTES))
    blocks, stored, _ = planes.shape
    blocks_per_row = _check.integer("blocks_per_row", blocks_per_row, 1)
    rows = -(-blocks // blocks_per_row)
    image = np.zeros((rows * stored * blocks_per_row, LINE_BYTES), np.uint8)
    image[_beats(blocks, stored, blocks_per_row)] = planes
    return image.reshape(-1)


def from_image(
    image: Any, blocks: int, planes: int, blocks_per_row: int = BLOCKS_PER_ROW
) -> np.ndarray:
    """The inverse of ``to_image``: the first ``blocks`` blocks as uint8 [blocks, planes, 64]."""
    image = _check.array("image", image, np.uint8, 1)
    blocks = _check.integer("blocks", blocks, 1)
    beats = _beats(blocks, planes, blocks_per_row)
    size = (int(beats.max()) + 1) * LINE_BYTES
    if image.size < size:
        raise ValueError(f"image must have {size} bytes or more, not {image.size}.")
    return image[: image.size // LINE_BYTES * LINE_BYTES].reshape(-1, LINE_BYTES)[beats]


def _beats(blocks: int, planes: int, blocks_per_row: int) -> np.ndarray:
    block, plane = np.arange(blocks)[:, None], np.arange(planes)
    return plane_address(block, plane, planes, blocks_per_row=blocks_per_row) // LINE_BYTES


def tile(codes: Any) -> np.ndarray:
    """Cuts a weight matrix [k, n] into blocks [tiles, 512] of 64 along k by 8 along n.

    Weight (k0 + i, n0 + j) is code 64 * j + i of its block, so that a plane of a block is one
    word of 64 for each of 8 columns. Tiles follow each other along k first, then along n; short
    ones are padded with code 0. ``codes`` are int8, or uint16 patterns of floats.
    """
    codes = _codes("codes", codes)
    k, n = codes.shape
    padded = np.pad(codes, [(0, -k % TILE_K), (0, -n % TILE_N)])
    grid = padded.reshape(-1, TILE_K, padded.shape[1] // TILE_N, TILE_N)
    return grid.transpose(2, 0, 3, 1).reshape(-1, BLOCK)


def untile(blocks: Any, k: int, n: int) -> np.ndarray:
    """The inverse of ``tile``: blocks [tiles, 512] to the matrix [k, n] without its padding."""
    blocks = _codes("blocks", blocks)
    k, n = _check.integer("k", k, 1), _check.integer("n", n, 1)
    down, across = -(-k // TILE_K), -(-n // TILE_N)
    _check.shape("blocks", blocks, (down * across, BLOCK))
    grid = blocks.reshape(across, down, TILE_N, TILE_K).transpose(1, 3, 0, 2)
    return grid.reshape(down * TILE_K, across * TILE_N)[:k, :n].copy()


def _codes(name: str, value: Any) -> np.ndarray:
    floats = isinstance(value, np.ndarray) and value.dtype == np.uint16
    return _check.array(name, value, np.uint16 if floats else np.int8, 2)
