import functools
import os

import pytest

from lamina.formats.tensor import Flow
from lamina_sim import verilated
from lamina_sim.golden import pacq
from tb.bench import BUILD, bulk_model, generate, parameters, run_bench
from tb.pacq.steps import random_product
from tb.pacq.test_octet import counters
from tb.pacq.warps import Warps

KINDS = ("normal", "wide", "subnormal", "extreme", "special")

#: Random products; all of them in one way or another.
PRODUCTS = int(os.environ.get("LAMINA_TENSOR_PRODUCTS", "40"))


@functools.cache
def model():
    return bulk_model("pacq.tensor_core")


def run(warps, build=None, **options):
    """Run a product; compare it with golden; return the run."""
    ports = [f"o_{n}" for n in range(parameters("pacq.tensor_core").ports)]
    result = (build or model()).run(warps.inputs(), drain=3000, **options)
    warps.assert_golden([result[port].values for port in ports])
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


def test_bench():
    run_bench("pacq.tensor_core", "tb.pacq.tensor_core_tb")


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
    issued = parameters("pacq.tensor_core").cycles(bits, Flow[flow.upper()])
    assert want.issue_cycles == len(warps.operations) * issued
    cycles = counted.pop("cycles")
    assert counted == vars(want)
    assert cycles - want.issue_cycles < 100


def test_reset_from_a_random_state(rng):
    """Registers start at random values, and reset comes again in mid-stream."""
    _, paths = generate("pacq.tensor_core", {})
    undefined = verilated.build(paths["json"], cache=BUILD / "verilated", random_initial=True)
    run(random_warps(rng), undefined, stall=0.2, seed=int(rng.integers(1 << 20)), reset_at=150)


def test_parameters_are_checked():
    with pytest.raises(ValueError, match="trees must be a power of two, not 3\\."):
        parameters("pacq.tensor_core", trees=3)
