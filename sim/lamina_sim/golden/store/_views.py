"""What the host and the engines read and write through a window."""

from typing import Any

import numpy as np

from lamina_sim.golden import _check
from lamina_sim.golden.store._formats import BLOCK, LINE_BYTES, Format, View
from lamina_sim.golden.store._planes import join, narrow, sign_extend, split


def read(planes: Any, view: View) -> np.ndarray:
    """All lines of a window: uint8 [blocks, view.lines, 64].

    ``planes`` are uint8 [blocks, N, 64], N the bits of the view's format. A line of "full" and
    "container" holds codes in little-endian host containers; "packed" has code i of the block in
    bits [k*i, k*(i+1)) of the block's little-endian byte string; line p of "planes" is plane p.
    Lines beyond k read as zero in the last two.

    Raises:
        TypeError: ``planes`` is not uint8.
        ValueError: another shape.
    """
    planes = _checked(planes, view.format)
    codes = narrow(join(planes, view.format), view.format, view.k, view.rounding)
    if view.kind in ("full", "container"):
        octets = codes.astype(codes.dtype.newbyteorder("<")).view(np.uint8)
        return octets.reshape(len(planes), view.lines, LINE_BYTES)
    lines = np.zeros((len(planes), view.lines, LINE_BYTES), np.uint8)
    kept = codes >> (view.format.bits - view.k)
    if view.kind == "planes":
        lines[:, : view.k] = split(kept, view.k)
    else:
        bits = (kept[..., None] >> np.arange(view.k, dtype=kept.dtype)) & kept.dtype.type(1)
        string = np.packbits(bits.reshape(len(planes), -1).astype(bool), axis=1, bitorder="little")
        lines[:, : view.k] = string.reshape(len(planes), view.k, LINE_BYTES)
    return lines


def write(planes: Any, view: View, lines: Any, strobes: Any = None) -> np.ndarray:
    """Writes lines uint8 [blocks, view.lines, 64] through a window; returns the new planes.

    ``strobes`` bool of the shape of ``lines`` say which bytes are written (None: all). An INTn
    container gives its low n bits, whatever its upper bits say. Only the full view is written;
    through any other the planes come back as they were.

    Raises:
        TypeError: an array of another dtype.
        ValueError: an array of another shape.
    """
    planes = _checked(planes, view.format)
    shape = (len(planes), view.lines, LINE_BYTES)
    lines = _check.array("lines", lines, np.uint8, 3)
    _check.shape("lines", lines, shape)
    if strobes is not None:
        strobes = _check.array("strobes", strobes, np.bool_, 3)
        _check.shape("strobes", strobes, shape)
    if view.kind != "full":
        return planes.copy()
    if strobes is not None:
        lines = np.where(strobes, lines, read(planes, view))
    return split(_from_containers(lines, view.format), view.format.bits)


def _checked(planes: Any, form: Format) -> np.ndarray:
    planes = _check.array("planes", planes, np.uint8, 3)
    _check.shape("planes", planes, (len(planes), form.bits, BLOCK // 8))
    return planes


def _from_containers(lines: np.ndarray, form: Format) -> np.ndarray:
    octets = np.ascontiguousarray(lines).reshape(len(lines), -1)
    if form.floating:
        return octets.view("<u2").astype(np.uint16)
    return sign_extend(octets, form.bits)
