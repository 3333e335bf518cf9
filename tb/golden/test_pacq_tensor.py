"""The tensor core's loops: every product once, the paper's accesses, the result of ``gemm``."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from lamina_sim.golden import pacq
from tb.golden import oracle
from tb.pacq.steps import random_product

BOTH = pytest.mark.parametrize("bits", [4, 2])
FLOWS = pytest.mark.parametrize("flow", pacq.FLOWS)


@BOTH
@FLOWS
def test_loops_meet_each_product_once(bits, flow):
    m, n, k = pacq.operation_shape(flow, bits)
    met = np.zeros((m // 2, n // 2, k), int)
    for step in pacq.tile_steps(flow, bits, 2):
        met[step.rows, step.columns, step.depth] += 1
    assert (met == 1).all()
    assert m * n * k == 16 * 16 * 16 * (1 if flow == "fp16" else 16 // bits)


@pytest.mark.parametrize(
    ("bits", "flow", "accesses"),
    [
        (4, "packed_n", (16, 16, 16)),
        (4, "packed_k", (64, 8, 4)),
        (2, "packed_n", (16, 16, 32)),
        (2, "packed_k", (128, 8, 4)),
        (4, "fp16", (16, 8, 4)),
    ],
)
def test_register_file_accesses(bits, flow, accesses):
    """Per octet, in 4 x 4 tiles, as the bars of the paper's figure 7a."""
    counted = pacq.count(flow, bits, 2)
    names = [f"register_file_{operand}" for operand in "abc"]
    assert tuple(getattr(counted, name) // 4 for name in names) == accesses
    assert pacq.count(flow, bits, 2, end=False).register_file_c == 0


@pytest.mark.parametrize(("bits", "saved"), [(4, 0.368), (2, 0.543)])
def test_saving_of_the_paper(bits, saved):
    packed_n, packed_k, _ = (pacq.count(flow, bits, 2).register_file for flow in pacq.FLOWS)
    assert round(1 - packed_n / packed_k, 3) == saved


@BOTH
def test_issue_cycles(bits):
    per_word = 16 // bits
    for trees in (1, 2, 4, 8):
        packed_k = pacq.count("packed_k", bits, trees).issue_cycles
        assert packed_k == 128 * per_word
        assert pacq.count("fp16", bits, trees).issue_cycles == 128
        packed_n = pacq.count("packed_n", bits, trees).issue_cycles
        assert packed_k // packed_n == min(trees, per_word)


@BOTH
@FLOWS
@pytest.mark.parametrize("kind", ["normal", "wide", "special"])
def test_result_is_that_of_gemm(bits, flow, kind, rng):
    for k, words, scale_group in ((40, 3, 12), (160, 9, 64), (20, 2, 20)):
        product = random_product(
            rng, bits=bits, m=19, k=k, words=words, scale_group=scale_group, kind=kind
        )
        result, counted = pacq.tensor_core(
            product.x, product.codes, product.scales,
            bits=bits, flow=flow, zero_points=product.zero_points, scale_group=scale_group,
        )  # fmt: skip
        np.testing.assert_array_equal(result.view(np.uint32), product.golden().view(np.uint32))
        done = list(
            pacq.operations((19, words * 16 // bits, k), flow, bits, scale_group=scale_group)
        )
        assert counted.issue_cycles == len(done) * pacq.count(flow, bits, 2).issue_cycles
        _, columns, depth = pacq.operation_shape(flow, bits)
        groups = itertools.pairwise([*range(0, k, scale_group), k])
        per_tile = sum(-(-(high - low) // depth) for low, high in groups)
        assert len(done) == 2 * -(-product.codes.shape[1] // columns) * per_tile


def test_gemm_fp16_against_fractions(rng):
    x, w = (rng.integers(0, 1 << 16, (2, 3, 20)).astype(np.uint16)).view(np.float16)
    w, scales = w.T, rng.normal(size=(3, 3)).astype(np.float16)
    got = pacq.gemm_fp16(x, w, scales, scale_group=8).view(np.uint32)
    for row, column in np.ndindex(got.shape):
        acc = 0
        for group, start in enumerate(range(0, 20, 8)):
            finite, special = Fraction(0), 0.0
            for a, b in zip(x[row, start : start + 8], w[start : start + 8, column], strict=True):
                if np.isfinite(a) and np.isfinite(b):
                    finite += Fraction(float(a)) * Fraction(float(b))
                else:
                    special += float(a) * float(b)
            total = finite if special == 0.0 else special
            acc = oracle.scaled_accumulate(acc, total, scales.view(np.uint16)[group, column].item())
        assert got[row, column] == acc


@BOTH
def test_gemm_fp16_of_integers_is_gemm(bits, rng):
    for kind in ("wide", "special"):
        product = random_product(rng, bits=bits, k=48, scale_group=48, kind=kind)
        halves = (product.codes - product.zero_points).astype(np.float16)  # one group
        got = pacq.gemm_fp16(product.x, halves, product.scales, scale_group=48)
        np.testing.assert_array_equal(got.view(np.uint32), product.golden().view(np.uint32))


def test_pack_along_k():
    codes = np.array([[-8], [7], [0], [-1]], np.int8)
    assert pacq.pack_k(codes, 4).tolist() == [[0x78F0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flow": "packed_m"}, "flow must be 'packed_n' or 'packed_k' or 'fp16', not 'packed_m'"),
        ({"trees": 3}, "trees must be 1 or 2 or 4 or 8, not 3"),
    ],
)
def test_errors(options, message, rng):
    product = random_product(rng, bits=4)
    with pytest.raises(ValueError, match=message):
        pacq.tensor_core(product.x, product.codes, product.scales, scale_group=16, **options)
