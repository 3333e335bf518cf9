import numpy as np
import pytest

from lamina_gen.demo import layer_operands
from lamina_gen.gemm.tensor import read_counters
from lamina_sim.golden import pacq
from lamina_sim.workload import tinylm
from tb.bench import parameters, run_bench
from tb.pacq.steps import Product
from tb.pacq.test_tensor_core import SETTINGS, random_warps, run
from tb.pacq.warps import Warps


@pytest.mark.slow
def test_bench():
    run_bench("pacq.tensor_stream", "tb.pacq.tensor_stream_tb", {"trees": 1})


def test_random_products(rng):
    """More of them: the tensor core's own tests, which run behind these ports too."""
    for stall in (0, 0.3, 0.5, 0.7, 0.9):
        run(random_warps(rng), stall=stall, seed=int(rng.integers(1000)))


def test_beats_are_as_full_as_the_write_ports_are(rng):
    """A tile's elements leave in no more cycles than the core takes to finish them."""
    warps = random_warps(rng)
    while warps.flow != "packed_n" or len(warps.ends) < 4:
        warps = random_warps(rng)
    result = run(warps)
    there = result["m_axis_c"].values["there"]
    p = parameters("pacq.tensor_stream", **SETTINGS)
    assert there.shape[1] == p.ports
    assert set(np.unique(there)) <= {0, 1}
    assert there.any(axis=1).all()
    counted = read_counters(result.signals["counters"])
    _, want = pacq.tensor_core(
        warps.x, warps.weights, warps.scales,
        bits=warps.bits, flow=warps.flow, scale_group=warps.scale_group,
    )  # fmt: skip
    assert counted["cycles"] - want.issue_cycles < 100


def test_parameters_are_checked():
    with pytest.raises(ValueError, match="trees must be a power of two, not 3\\."):
        parameters("pacq.tensor_stream", trees=3)


@pytest.mark.parametrize("bits", [4, 2])
def test_layers_of_the_bundled_model(bits):
    """16 rows of all products of all layers; INT2 are the planes on top."""
    for layer in range(tinylm.load()[0].config.num_hidden_layers):
        for operands in layer_operands(layer=layer):
            scales = operands["scales"]
            product = Product(
                x=operands["activations"][:16],
                codes=operands["codes"] >> np.int8(4 - bits),
                scales=scales, zero_points=np.zeros(scales.shape, np.int8),
                bits=bits, scale_group=operands["scale_group"], segment=1,
            )  # fmt: skip
            run(Warps(product, "packed_n"))
