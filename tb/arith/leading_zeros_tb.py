"""Leading-zero count in cocotb, on stalling streams."""

import cocotb
import numpy as np

from tb.arith.pipeline_bench import PipelineBench


def operands(parameters, rng, count):
    drawn = rng.integers(0, 1 << parameters.width, 4 * count)
    drawn >>= rng.integers(0, parameters.width, len(drawn))
    return {"value": np.concatenate([[0], 1 << np.arange(parameters.width), drawn])}


def golden(x, parameters):
    return {"count": np.array([parameters.width - int(value).bit_length() for value in x["value"]])}


bench = PipelineBench(operands, golden)

grid = cocotb.test()(bench.grid)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
