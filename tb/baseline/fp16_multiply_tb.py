"""FP16 multiplier in cocotb: corners and random pairs against golden, on stalling streams."""

import cocotb
import numpy as np

from lamina_sim.golden import baseline
from tb.arith.pipeline_bench import PipelineBench

CORNERS = np.array(
    [0, 1, 2, 0x1FF, 0x3FF, 0x400, 0x401, 0x1400, 0x3BFF, 0x3C00, 0x3C01, 0x5BFF, 0x7800, 0x7BFF,
     0x7C00, 0x7C01, 0x7E00, 0x7FFF],
    np.uint16,
)  # fmt: skip
CORNERS = np.concatenate([CORNERS, CORNERS | 0x8000])


def operands(parameters, rng, count):
    a, b = (side.ravel() for side in np.meshgrid(CORNERS, CORNERS))
    more = rng.integers(0, 1 << 16, (2, count)).astype(np.uint16)
    return {"a": np.concatenate([a, more[0]]), "b": np.concatenate([b, more[1]])}


def golden(x, parameters):
    a, b = (x[name].view(np.float16) for name in "ab")
    return {"value": baseline.multiply(a, b).view(np.uint16)}


bench = PipelineBench(operands, golden)

grid = cocotb.test()(bench.grid)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
