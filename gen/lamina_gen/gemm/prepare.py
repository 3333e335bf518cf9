"""What hardware does before the system runs: weights to planes, activations to groups."""

from typing import Any

import numpy as np

from lamina.formats.planes import BEAT_BYTES, TILE_ROWS
from lamina_gen.gemm.problem import Problem

__all__ = ["compress", "store_planes"]

#: Container lines of a block of 512 one-byte codes.
_LINES = 8


def store_planes(transposer: Any, blocks: np.ndarray, bits: int) -> np.ndarray:
    """Turn blocks of codes int8 [blocks, 512] into planes uint8 [blocks, bits, 64].

    On the hardware ``store.transpose``.
    """
    lines = blocks.view(np.uint32).reshape(-1, BEAT_BYTES // 4)
    planes = len(lines) // _LINES * bits
    beat = {"bits": lines, "error": 0, "last": 0, "end": 0}
    form = {"planes": bits, "keep": bits, "nearest": 0, "bfloat": 0}
    run = transposer.run({"i": {"beat": beat, "format": form}}, outputs={"o": planes})
    words = np.ascontiguousarray(run.outputs["o"].values["beat"]["bits"])
    return words.view(np.uint8).reshape(-1, bits, BEAT_BYTES)


def compress(compressor: Any, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Encode the activations on ``anda.compressor``.

    Returns exponents uint8 [m, groups] and planes uint64 [m, groups, 1 + M], the signs first.
    """
    m, k = problem.activations.shape
    groups, mantissa_bits = -(-k // TILE_ROWS), problem.mantissa_bits
    padded = np.zeros((m, groups * TILE_ROWS), np.float16)
    padded[:, :k] = problem.activations
    beats = {
        "values": padded.view(np.uint16).reshape(-1, TILE_ROWS),
        "mantissa_bits": mantissa_bits,
        "rounding": int(problem.rounding == "nearest"),
    }
    run = compressor.run({"i": beats}, outputs={"o": m * groups * mantissa_bits})
    output = run.outputs["o"].values
    planes = np.empty((m, groups, 1 + mantissa_bits), np.uint64)
    planes[..., 0] = output["signs"].reshape(m, groups, -1)[..., 0]
    planes[..., 1:] = output["plane"].reshape(m, groups, -1)
    exponents = output["exponent"].reshape(m, groups, -1)[..., 0].astype(np.uint8)
    return exponents, planes
