"""FP32 adder in cocotb: corners and random pairs against golden, under every stream condition."""

import cocotb

from lamina_sim.golden import ieee
from tb.arith import vectors
from tb.arith.pipeline_bench import PipelineBench


def operands(parameters, rng, count):
    a, b = vectors.joined(
        vectors.all_pairs(vectors.corners()[::7]), vectors.near_pairs(rng, 4 * count)
    )
    return {"a": a, "b": b}


bench = PipelineBench(operands, lambda x, parameters: {"value": ieee.fp32_add(x["a"], x["b"])})

grid = cocotb.test()(bench.grid)
reset_in_mid_stream = cocotb.test()(bench.reset_in_mid_stream)
