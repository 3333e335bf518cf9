"""PacQ's dense unit against the FP16 DP-4: area and energy of a MAC, and what replays cost."""

import numpy as np

from lamina_gen.bench.contenders import Part
from lamina_gen.bench.operands import ROWS, Stimulus
from lamina_gen.demo import layer_operands
from lamina_sim.golden import pacq

__all__ = ["window_part", "window_stimulus"]

_LANES, _INDEX_BITS, _RANKS = 4, 2, 4
#: Rows that share the weights, as the two DP-4 of an octet do, and columns that share the aligned
#: activations, as those of two octets with eight trees do.
_ROWS, _COLUMNS = 1, 32
_WINDOW_BITS = 30
#: Columns of the product that are multiplied.
_USED = 64


def window_part(bits: int, window_bits: int = _WINDOW_BITS) -> Part:
    """Return the unit for weights of ``bits`` bits that is measured."""
    settings = {
        "rows": _ROWS,
        "words": _COLUMNS * bits // 16,
        "weight_bits": bits,
        "window_bits": window_bits,
        "index_bits": _INDEX_BITS,
        "stages_per_rank": _RANKS,
    }
    return Part("pacq.window_dot", settings)


def window_stimulus(bits: int) -> Stimulus:
    """A product of the bundled model, tile by tile; INT2 are the top planes of INT4."""
    product = layer_operands()[0]
    x = product["activations"][:ROWS]
    if x.shape[1] != product["scale_group"]:
        raise RuntimeError("A product must have one scale group here.")
    codes = product["codes"][:, :_USED] >> np.int8(4 - bits)
    scales = product["scales"][:, :_USED]
    steps, tiles = x.shape[1] // _LANES, (ROWS // _ROWS, _USED // _COLUMNS)
    a = x.view(np.uint16).reshape(tiles[0], 1, _ROWS, steps, _LANES).swapaxes(2, 3)
    words = pacq.pack(codes, bits).reshape(1, steps, _LANES, tiles[1], -1).transpose(0, 3, 1, 4, 2)
    shape = (*tiles, steps)
    step = np.indices(shape)[2].ravel()
    tile = np.arange(step.size) // steps % (1 << _INDEX_BITS)
    ones = np.ones(step.size, np.int64)
    own = scales.view(np.uint16).reshape(1, tiles[1], _COLUMNS)
    inputs: dict[str, dict[str, np.ndarray]] = {
        "i": {
            "a": np.broadcast_to(a, (*shape, _ROWS, _LANES)).reshape(-1, _ROWS, _LANES),
            "last": (step == steps - 1).astype(np.int64),
            "index": tile,
            "begin": ones,
            "end": ones,
        },
        "i_words": {
            "words": np.broadcast_to(words, (*shape, words.shape[3], _LANES)).reshape(
                -1, words.shape[3], _LANES
            )
        },
        "i_scales": {"scale": np.broadcast_to(own, (*tiles, _COLUMNS)).ravel()},
    }
    inputs["i_scales"]["zero"] = np.zeros(inputs["i_scales"]["scale"].shape, np.int64)
    inputs = {
        port: {name: value.astype(np.int64) for name, value in fields.items()}
        for port, fields in inputs.items()
    }
    sums = pacq.gemm(x, codes, scales, bits=bits, scale_group=x.shape[1])
    sums = sums.reshape(tiles[0], _ROWS, tiles[1], _COLUMNS).swapaxes(1, 2)
    outputs = _ROWS * _COLUMNS
    place = np.arange(sums.size)
    due: dict[str, np.ndarray] = {
        "value": sums.ravel().view(np.uint32).astype(np.int64),
        "index": place // outputs % (1 << _INDEX_BITS) * outputs + place % outputs,
    }
    return Stimulus(inputs, due, x.size * _USED)
