"""Adder tree in cocotb, on stalling streams."""

import cocotb
import numpy as np

from tb.arith.pipeline_bench import PipelineBench


def operands(parameters, rng, count):
    bound = 1 << (parameters.width - 1)
    shape = (4 * count, parameters.inputs)
    ends = np.full((2, parameters.inputs), [[-bound], [bound - 1]])
    return {"values": np.concatenate([ends, rng.integers(-bound, bound, shape)])}


def golden(x, parameters):
    return {"sum": x["values"].sum(axis=1)}


bench = PipelineBench(operands, golden)

grid = cocotb.test()(bench.grid)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
