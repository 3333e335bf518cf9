"""Matrix products as what `pacq.operand_buffer` takes, and the steps that it must give."""

import numpy as np

from lamina.formats.packed import dot_step_layout, row_group_layout
from lamina.formats.planes import tile_layout, tile_scales_layout
from lamina_gen.describe import describe_shape
from lamina_gen.gemm.schedule import Pass, orders, row_groups
from lamina_sim.golden import pacq
from lamina_sim.verilated import ports
from tb.problems import random_problem

CODE_BITS = 4


def random_case(rng, row_bits):
    """Return a product that one pass takes, with scale groups of any legal size."""
    bits, k = int(rng.choice([2, 4])), int(rng.integers(1, 200))
    groups = [4, 8, 20, 64, 76, 128, k]
    shape = (int(rng.integers(1, 1 + (1 << row_bits))), int(rng.integers(1, 20)), k)
    options = {"bits": bits, "zeros": True, "scale_group": int(rng.choice(groups))}
    return random_problem(rng, "pacq", *shape, **options)


def inputs(problem, row_bits):
    """Return the packed payloads of ``i``, ``i_tile`` and ``i_scales``."""
    part = _whole(problem)
    shapes = {
        "i": row_group_layout(row_bits),
        "i_tile": tile_layout(CODE_BITS),
        "i_scales": tile_scales_layout(CODE_BITS),
    }
    fields = {
        "i": row_groups(problem, problem.activations),
        "i_tile": {"codes": problem.blocks.astype(np.int64) & 15, "error": 0},
        "i_scales": orders(problem, part)["i_scales"],
    }
    packed = {name: ports.pack(describe_shape(shapes[name]), fields[name]) for name in shapes}
    return packed | {"i": np.tile(packed["i"], (part.width, 1))}


def steps(problem, row_bits):
    """Return the steps, packed: for each column of tiles, tile, row and word those along k."""
    m, n, k = problem.shape
    depth, width = -(-k // 64) * 64, -(-n // 8) * 8
    x = np.zeros((m, depth), np.float16)
    x[:, :k] = problem.activations
    codes = np.zeros((depth, width), np.int8)
    codes[:k, :n] = problem.codes
    per_word = 16 // problem.weight_bits
    words = pacq.pack(codes, problem.weight_bits)
    group = np.minimum(np.arange(depth) // problem.scale_group, len(problem.scales) - 1)
    ends = np.append(group[4::4] != group[:-4:4], True)

    rows = []
    for column in range(0, width, 8):
        for tile in range(0, depth, 64):
            for row in range(m):
                for first in range(column, column + 8, per_word):
                    for at in range(tile, tile + 64, 4):
                        edges = (at == tile or ends[at // 4 - 1], at == tile + 60 or ends[at // 4])
                        rows.append((row, first, at, *edges))
    row, first, at, begins, finishes = (np.array(values) for values in zip(*rows, strict=True))
    step, own = at // 4, group[at]
    # The segment's end: the first step from here on that ends one; a group ends with it or not.
    stop = np.array([next(j for j in range(i, len(rows)) if finishes[j]) for i in range(len(rows))])
    start = np.array([next(j for j in range(i, -1, -1) if begins[j]) for i in range(len(rows))])
    group_last = ends[step[stop]]
    fields = {
        "a": x.view(np.uint16)[row[:, None], at[:, None] + np.arange(4)],
        "words": words[at[:, None] + np.arange(4), (first // per_word)[:, None]],
        "int2": np.full(len(rows), problem.weight_bits == 2),
        "zeros": _columns(problem.zero_points, width, own, first, per_word),
        "scales": _columns(problem.scales.view(np.uint16), width, own, first, per_word),
        "index": row * 2 + (first % 8) // per_word,
        "first": begins,
        "last": finishes,
        "group_first": (step[start] == 0) | ends[step[start] - 1],
        "group_last": group_last,
        "begin": own == 0,
        "end": group_last & (own == len(problem.scales) - 1),
    }
    return ports.pack(describe_shape(dot_step_layout(row_bits + 1)), fields)


def meaningful(words, row_bits):
    """Unpack steps; zero points and scales of columns that a word does not have are dropped."""
    fields = ports.unpack(describe_shape(dot_step_layout(row_bits + 1)), words)
    unused = (fields["int2"] == 0)[:, None] & (np.arange(8) >= 4)
    for name in ("zeros", "scales"):
        fields[name] = np.where(unused, 0, fields[name])
    return fields


def _whole(problem):
    m, n, _ = problem.shape
    return Pass(slice(0, m), slice(0, -(-n // 8)))


def _columns(values, width, group, first, per_word):
    padded = np.zeros((len(values), width), values.dtype)
    padded[:, : values.shape[1]] = values
    taken = np.zeros((len(group), 8), values.dtype)
    taken[:, :per_word] = padded[group[:, None], first[:, None] + np.arange(per_word)]
    return taken
