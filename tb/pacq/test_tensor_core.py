import os

import pytest

from lamina.formats.tensor import Flow
from lamina_sim.golden import pacq
from tb.bench import bulk_model, parameters, run_bench
from tb.pacq.operands import KINDS
from tb.pacq.steps import random_product
from tb.pacq.test_octet import counters
from tb.pacq.warps import Warps

SETTINGS = {"fp16": True}

#: Random products; all of them in one way or another.
PRODUCTS = int(os.environ.get("LAMINA_TENSOR_PRODUCTS", "20"))


def model():
    """Behind AXI4-Stream, as `lamina gemm` has it, registers at random values; built once."""
    return bulk_model("pacq.tensor_stream", random_initial=True, **SETTINGS)


def run(warps, **options):
    """Run a product; compare it with golden; return the run."""
    result = model().run(warps.stream_inputs(), drain=5000, **options)
    elements = warps.stream_elements(result["m_axis_c"].values)
    assert len(elements["value"]) == warps.elements
    warps.assert_golden([elements])
    return result


def random_warps(rng):
    """A product of any size, packing, width and scale group."""
    bits, flow = int(rng.choice([4, 2])), str(rng.choice(pacq.FLOWS))
    k = int(rng.integers(1, 60)) * 4
    group = min(k, int(rng.integers(1, 40)) * 4)
    product = random_product(
        rng, bits=bits, m=int(rng.integers(1, 40)), k=k, words=int(rng.integers(1, 20)),
        scale_group=group, kind=str(rng.choice(KINDS)),
    )  # fmt: skip
    return Warps(product, flow)


@pytest.mark.slow
def test_bench():
    run_bench("pacq.tensor_core", "tb.pacq.tensor_core_tb", {"trees": 1})


def test_random_products(rng):
    for _ in range(PRODUCTS):
        run(random_warps(rng), stall=float(rng.choice([0, 0, 0.3])), seed=int(rng.integers(1000)))


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("flow", pacq.FLOWS)
def test_counters(bits, flow, rng):
    """As golden counts, of a product whose scale groups end within and between operations."""
    product = random_product(rng, bits=bits, m=20, k=300, words=10, scale_group=140)
    warps = Warps(product, flow)
    counted = counters(run(warps))
    _, want = pacq.tensor_core(
        product.x, product.codes, product.scales, bits=bits, flow=flow, scale_group=140
    )
    issued = parameters("pacq.tensor_core", **SETTINGS).cycles(bits, Flow[flow.upper()])
    assert want.issue_cycles == len(warps.operations) * issued
    cycles = counted.pop("cycles")
    assert counted == vars(want)
    assert cycles - want.issue_cycles < 100


def test_reset_in_mid_stream(rng):
    for reset_at in (5, 150):
        run(random_warps(rng), stall=0.2, seed=int(rng.integers(1 << 20)), reset_at=reset_at)


def test_parameters_are_checked():
    with pytest.raises(ValueError, match="trees must be a power of two, not 3\\."):
        parameters("pacq.tensor_core", trees=3)
