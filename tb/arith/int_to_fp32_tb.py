"""Integer to FP32 in cocotb: corners and random values against golden, on stalling streams."""

import cocotb
import numpy as np

from lamina_sim.golden import ieee
from tb.arith import vectors
from tb.arith.pipeline_bench import PipelineBench


def operands(parameters, rng, count):
    value, exponent = vectors.integers(rng, parameters.width, parameters.exponent_bits, 4 * count)
    return {"value": value, "exponent": exponent, "nan": rng.integers(0, 8, len(value)) == 0}


def golden(x, parameters):
    value = ieee.fp32_from_int(x["value"], x["exponent"]).view(np.uint32)
    return {"value": np.where(x["nan"], ieee.FP32_NAN, value)}


bench = PipelineBench(operands, golden)

grid = cocotb.test()(bench.grid)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
