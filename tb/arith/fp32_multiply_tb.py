"""FP32 multiplier in cocotb: corners and random pairs against golden, on stalling streams."""

import cocotb
import numpy as np

from lamina_sim.golden import ieee
from tb.arith import vectors
from tb.arith.pipeline_bench import PipelineBench


def operands(parameters, rng, count):
    a, b = vectors.joined(
        vectors.all_pairs(vectors.corners()[::7]), vectors.range_edge_pairs(rng, 4 * count)
    )
    return {"a": a, "b": (b >> 16).astype(np.uint16) if parameters.b_format == "fp16" else b}


def golden(x, parameters):
    b = x["b"]
    if b.dtype == np.uint16:
        b = b.view(np.float16).astype(np.float32).view(np.uint32)
    return {"value": ieee.fp32_multiply(x["a"], b)}


bench = PipelineBench(operands, golden)

grid = cocotb.test()(bench.grid)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
