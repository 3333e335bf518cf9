import functools
import os

import numpy as np
import pytest

from lamina.formats.tensor import Flow
from lamina_gen.gemm.tensor import read_counters
from lamina_sim.golden import pacq
from tb.bench import bulk_model, parameters, run_bench
from tb.pacq.steps import random_product
from tb.pacq.warps import HalfProduct, Warps

BOTH = pytest.mark.parametrize("bits", [4, 2])

#: Each a build of its own: LAMINA_OCTET_TREES="1 2 4 8" for all.
TREES = [int(trees) for trees in os.environ.get("LAMINA_OCTET_TREES", "2 8").split()]

#: The lane for FP16 weights does not depend on trees.
CASES = [(trees, flow) for trees in TREES for flow in pacq.FLOWS if flow != "fp16" or trees == 2]

#: Width, trees, and what packing along n has to be worth: the paper's point is two trees.
FASTER = [(4, 2, 1.98), (2, 2, 1.98), (4, 4, 3.9), (2, 8, 7.5)]


def settings(trees=2):
    return {"trees": trees, "fp16": trees == 2}


@functools.cache
def model(trees):
    return bulk_model("pacq.octet", **settings(trees))


def run(warps, trees=2, **options):
    """The elements of each port, and the run."""
    ports = [f"o_{n}" for n in range(parameters("pacq.octet", **settings(trees)).ports)]
    result = model(trees).run(warps.inputs(), drain=3000, **options)
    return [result[port].values for port in ports], result


def counters(result):
    """The counters at the end of a run, by name."""
    return read_counters(result.signals["counters"])


def test_bench():
    run_bench("pacq.octet", "tb.pacq.octet_tb", settings())


@BOTH
@pytest.mark.parametrize(("trees", "flow"), CASES)
def test_products(trees, bits, flow, rng):
    for kind in ("normal", "wide", "special", "extreme"):
        product = random_product(rng, bits=bits, m=16, k=200, words=16, scale_group=136, kind=kind)
        warps = Warps(product, flow, octet=tuple(rng.integers(0, 2, 2)))
        ports, _ = run(warps, trees, stall=float(rng.choice([0, 0.3])))
        warps.assert_golden(ports)


def test_flows_follow_each_other(rng):
    """Products of all flows and widths, one after another, without a pause between them."""
    cases = [(flow, bits) for flow in pacq.FLOWS for bits in (4, 2)]
    products = []
    for flow, bits in [cases[n] for n in rng.permutation(len(cases))]:
        words = 16 if flow == "packed_n" else bits
        product = random_product(rng, bits=bits, m=16, k=40, words=words, scale_group=24)
        products.append(Warps(product, flow, octet=(0, 1)))
    inputs = [warps.inputs() for warps in products]
    joined = {
        stream: {name: np.concatenate([i[stream][name] for i in inputs]) for name in fields}
        for stream, fields in inputs[0].items()
    }
    result = model(2).run(joined, stall=0.1, drain=3000)
    taken = [0, 0]
    for warps in products:
        port = int(warps.flow == "fp16")
        part = slice(taken[port], taken[port] + warps.elements)
        taken[port] += warps.elements
        warps.assert_golden([{n: v[part] for n, v in result[f"o_{port}"].values.items()}])
    assert taken == [len(result[f"o_{port}"]) for port in (0, 1)]


def back_to_back(bits, flow, trees, rng, count=16):
    """Cycles of so many operations, each a tile of its own, and what they counted."""
    _, columns, depth = pacq.operation_shape(flow, bits)
    words = count * columns * bits // 16  # of columns
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
    p = parameters("pacq.octet", **settings(trees))
    assert want.issue_cycles == p.cycles(bits, Flow[flow.upper()])
    # Multipliers work in all cycles but those before the first operands and behind the last, of
    # which two words of eight columns may leave by one port.
    assert counted["cycles"] - counted["issue_cycles"] <= p.latency + 2 * 8
    return counted["cycles"]


@pytest.mark.parametrize(("bits", "trees", "faster"), [case for case in FASTER if case[1] in TREES])
def test_speed(bits, trees, faster, rng):
    """16 warp operations back to back, against the flow that packs along k."""
    flows = ("packed_n", "packed_k")
    packed_n, packed_k = (back_to_back(bits, flow, trees, rng) for flow in flows)
    assert packed_k / packed_n >= faster


def test_speed_of_dequantized_weights(rng):
    """FP16 weights leave no multiplier waiting either: 4 times the operations of INT4."""
    back_to_back(4, "fp16", 2, rng)


@pytest.mark.parametrize("kind", ["bits", "normal", "extreme"])
def test_fp16_weights(kind, rng):
    """Any weights, in groups that end within operations and go on over several."""
    shape = (2, 16, 40)
    both = rng.integers(0, 1 << 16, shape).astype(np.uint16).view(np.float16)
    if kind == "normal":
        both = rng.normal(size=shape).astype(np.float16)
    elif kind == "extreme":
        both = rng.choice(np.array([65504, -65504, 2**-24, 2**-14], np.float16), shape)
    for scale_group in (8, 40):
        scales = rng.normal(size=(-(-40 // scale_group), 16)).astype(np.float16)
        product = HalfProduct(x=both[0], codes=both[1].T, scales=scales, scale_group=scale_group)
        warps = Warps(product, "fp16", octet=tuple(rng.integers(0, 2, 2)))
        ports, _ = run(warps, stall=0.2)
        warps.assert_golden(ports)
