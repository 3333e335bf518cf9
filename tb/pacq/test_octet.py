import functools

import pytest

from lamina.formats.tensor import Flow
from lamina_sim.golden import pacq
from tb.bench import bulk_model, parameters, run_bench
from tb.pacq.steps import random_product
from tb.pacq.warps import Warps

BOTH = pytest.mark.parametrize("bits", [4, 2])
TREES = (1, 2, 4, 8)


@functools.cache
def model(**settings):
    return bulk_model("pacq.octet", **settings)


def run(warps, trees=2, **options):
    """The elements of each port, and the run."""
    ports = [f"o_{n}" for n in range(parameters("pacq.octet", trees=trees).tails)]
    result = model(trees=trees).run(warps.inputs(), drain=3000, **options)
    return [result[port].values for port in ports], result


def counters(result):
    """The counters at the end of a run, by name."""
    value, names = result.signals["counters"], [f"register_file_{operand}" for operand in "abc"]
    names += ["buffer_a", "buffer_b", "issue_cycles", "cycles"]
    return {name: (value >> 32 * at) & 0xFFFFFFFF for at, name in enumerate(names)}


def test_bench():
    run_bench("pacq.octet", "tb.pacq.octet_tb", {"trees": 2})


@BOTH
@pytest.mark.parametrize("flow", pacq.FLOWS)
@pytest.mark.parametrize("trees", TREES)
def test_products(trees, bits, flow, rng):
    for kind in ("normal", "wide", "special", "extreme"):
        product = random_product(rng, bits=bits, m=16, k=200, words=16, scale_group=136, kind=kind)
        warps = Warps(product, flow, octet=tuple(rng.integers(0, 2, 2)))
        ports, _ = run(warps, trees, stall=float(rng.choice([0, 0.3])))
        warps.assert_golden(ports)


def back_to_back(bits, flow, trees, rng, count=16):
    """Cycles of so many operations, each a tile of its own, and what they counted."""
    _, columns, depth = pacq.operation_shape(flow, bits)
    words = count * columns * bits // 16
    product = random_product(rng, bits=bits, m=16, k=depth, words=words, scale_group=depth)
    warps = Warps(product, flow, octet=(1, 0))
    assert len(warps.operations) == count
    ports, result = run(warps, trees)
    warps.assert_golden(ports)
    counted = counters(result)
    want = pacq.count(flow, bits, trees)
    for name in ("register_file_a", "register_file_b", "register_file_c", "buffer_a", "buffer_b"):
        assert counted[name] == count * getattr(want, name) // 4
    assert counted["issue_cycles"] == count * want.issue_cycles
    p = parameters("pacq.octet", trees=trees)
    assert want.issue_cycles == p.cycles(bits, Flow[flow.upper()])
    return counted["cycles"]


@pytest.mark.parametrize(
    ("bits", "trees", "faster"), [(4, 2, 1.98), (2, 2, 1.98), (4, 4, 3.9), (2, 8, 7.5)]
)
def test_speed(bits, trees, faster, rng):
    """16 warp operations back to back, against the flow that packs along k."""
    packed_n, packed_k = (back_to_back(bits, flow, trees, rng) for flow in pacq.FLOWS)
    assert packed_k / packed_n >= faster
