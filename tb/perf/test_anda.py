"""The loops and costs of Anda's engine; tb/anda/test_engine.py compares them with hardware."""

import numpy as np
import pytest

from lamina_sim.perf import anda as perf

ENGINE = perf.Engine(
    rows=8, columns=32, block_columns=4, planes=2, sharing=3, slots=4, weight_bits=4, depth=4096,
    latency=26,
)  # fmt: skip


def gemm(m, n, k, mantissa_bits):
    groups = k // 64
    turns = perf.row_turns(ENGINE, m, groups, mantissa_bits)
    return perf.Gemm(m=m, n=n, groups=groups, mantissa_bits=mantissa_bits, row_turns=turns)


@pytest.mark.parametrize("shape", [(1, 1, 64), (8, 32, 128), (70, 200, 192), (9, 500, 64)])
def test_orders_cover_everything(shape):
    """Each tile is in one pass; operands come for each pass, k outside the tiles."""
    own = gemm(*shape, 6)
    seen = np.zeros((-(-own.m // 8), -(-own.n // 32)), int)
    for part in perf.passes(ENGINE, own):
        assert len(part.rows) * len(part.columns) <= ENGINE.slots
        seen[np.ix_(np.array(part.rows) // 8, np.array(part.columns) // 32)] += 1
    assert (seen == 1).all()
    rows, group = perf.activation_order(ENGINE, own).T
    assert sorted(zip(rows, group, strict=True)) == [
        (row, g) for row in range(0, own.m, 8) for g in range(own.groups)
    ]
    cost = perf.cost(ENGINE, own)
    assert cost.group_turns == seen.size * own.groups
    assert cost.activation_beats == len(rows) * ENGINE.beats(6)
    assert cost.weight_beats == len(perf.weight_order(ENGINE, own)) * ENGINE.blocks


def test_layer_of_an_llm():
    """As many turns as there is work, and nothing beside them; weights once for four tiles."""
    own = gemm(2048, 4096, 4096, 6)
    cost = perf.cost(ENGINE, own)
    assert cost.group_turns == 256 * 128 * 64
    assert cost.idle_turns == 0
    assert cost.weight_beats == 64 * 128 * 64 * ENGINE.blocks
    turns = cost.group_turns * ENGINE.cycles(6)
    assert turns == cost.array_cycles < cost.cycles < turns + 200
    assert cost.utilization(ENGINE, 6) == 1


def test_small_gemms_in_a_queue():
    """The least that must keep 97 % of the array busy."""
    cost = perf.cost(ENGINE, gemm(64, 64, 1024, 4))
    assert cost.utilization(ENGINE, 4) == 1
    assert cost.cycles < 1.2 * cost.array_cycles


def test_outputs_faster_than_they_leave():
    """With one group of k, beats of outputs are what takes the time."""
    cost = perf.cost(ENGINE, gemm(64, 64, 64, 4))
    assert cost.result_beats == 16 * ENGINE.blocks * ENGINE.steps
    turns = cost.group_turns * ENGINE.cycles(4)
    assert turns < cost.array_cycles < cost.result_beats < cost.cycles < cost.result_beats + 60


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("mantissa_bits", [4, 8])
def test_decode_is_bound_by_the_weight_port(m, mantissa_bits):
    own = gemm(m, 4096, 4096, mantissa_bits)
    cost = perf.cost(ENGINE, own)
    assert own.row_turns == 1
    assert 0.995 < cost.weight_beats / cost.cycles <= 1
    assert cost.weight_bytes == 64 * 4096 * 34.5
    assert cost.result_bytes == 4 * m * 4096


def test_errors():
    with pytest.raises(ValueError, match=r"^m must be at least 1, not 0\.$"):
        perf.Gemm(m=0, n=1, groups=1, mantissa_bits=1)
    with pytest.raises(ValueError, match=r"^mantissa_bits must be between 1 and 16, not 17\.$"):
        perf.Gemm(m=1, n=1, groups=1, mantissa_bits=17)
    with pytest.raises(ValueError, match=r"^groups must be at most 1024 .* not 1025\.$"):
        perf.row_turns(ENGINE, 1, 1025, 7)
