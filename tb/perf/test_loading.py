"""What real models read: weights that were published, and bytes by hand."""

import pytest

from lamina_sim.perf import dram
from lamina_sim.perf.loading import KINDS, SHAPES, System, cost

#: Parameters in all, norms and biases included, as the checkpoints have them.
PUBLISHED = {
    "LLaMA-2-7B": 6_738_415_616,
    "Llama-3.1-8B": 8_030_261_248,
    "Llama-3.1-70B": 70_553_706_496,
    "Mixtral-8x7B": 46_702_792_704,
    "OPT-30B": 29_974_540_288,
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_weights(shape):
    """Matrices are nearly all of a model, and never more."""
    weights = sum(shape.weights().values())
    assert 0.9997 < weights / PUBLISHED[shape.name] <= 1


def test_a_token_takes_its_experts():
    mixtral = next(shape for shape in SHAPES if shape.experts == 8)
    whole, token = mixtral.weights(), mixtral.weights(per_token=True)
    assert whole["feed_forward"] == 4 * token["feed_forward"]
    assert whole["attention"] == token["attention"] == 32 * 2 * 4096 * (4096 + 1024)
    assert whole["embedding"] == 2 * token["embedding"] == 2 * 32000 * 4096


def test_cost_by_hand():
    weights = {"attention": 512 * 128, "feed_forward": 512 * 384, "embedding": 512 * 128}
    mix = dict(zip(KINDS, (6, 4, 8), strict=True))
    found = cost(weights, mix, 8, System(memory=32e9, link=16e9))
    bursts, rows = 128 * 6 + 384 * 4 + 128 * 8, 6 + 3 * 4 + 8
    assert found.accesses == dram.Accesses(bursts, rows)
    assert found.link_bytes == 64 * bursts
    assert found.seconds == pytest.approx(64 * bursts / 16e9)
    assert found.energy_joules == pytest.approx(
        (bursts * dram.Ddr5().burst_pj + rows * dram.Ddr5().activation_pj) / 1e12
    )
    whole = cost(weights, mix, 8, System(memory=32e9, link=16e9), container=True)
    assert whole.accesses == found.accesses
    assert whole.link_bytes == 64 * 8 * 640
    fast = cost(weights, mix, 8, System(memory=32e9, link=1e12))
    assert fast.seconds == pytest.approx(64 * bursts / 32e9)


@pytest.mark.parametrize("planes", [0, 9])
def test_planes_that_are_not_stored(planes):
    with pytest.raises(ValueError, match=f"planes of attention must be .* 8, not {planes}"):
        cost({"attention": 512}, {"attention": planes}, 8)
