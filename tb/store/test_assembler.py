"""Assembler against the golden store: every width, every number of planes, every stall."""

import numpy as np
import pytest

from lamina_sim.golden import store
from tb.bench import bulk_model, parameters, run_bench
from tb.store.blocks import last_of, random_codes, words

CASES = [(4, bits) for bits in (2, 3, 4)] + [(8, bits) for bits in range(2, 9)]


def planes_in(planes, **more):
    fields = {"error": 0, "end": 0, "last": last_of(*planes.shape[:2])} | more
    return {"bits": words(planes)} | fields


def tiles(result, code_bits):
    """Codes of the tiles that came, int8 [tiles, 512], and their errors."""
    values = result["o"].values
    codes = np.asarray(values["codes"]).astype(np.uint8) << (8 - code_bits)
    return codes.astype(np.uint8).view(np.int8) >> (8 - code_bits), values["error"]


@pytest.mark.parametrize(("code_bits", "bits"), CASES)
def test_tiles(code_bits, bits, rng):
    blocks = 24
    model = bulk_model("store.assembler", code_bits=code_bits)
    codes = random_codes(rng, blocks, store.FORMATS[f"int{bits}"])
    planes = store.to_planes(codes, bits)
    for keep in range(1, bits + 1):
        result = model.run({"i": planes_in(planes[:, :keep])}, constants={"planes": bits})
        got, error = tiles(result, code_bits)
        assert np.array_equal(got, store.from_planes(planes, bits, keep))
        assert not error.any()
        # A plane in every cycle, and the tile right behind its last one.
        assert np.array_equal(np.diff(result.accepted["i"]), np.ones(blocks * keep - 1))
        latency = parameters("store.assembler", code_bits=code_bits).latency + keep - 1
        assert result["o"].cycles[0] - result.accepted["i"][0] == latency


@pytest.mark.parametrize("stall", [0.3, {"i": 0.8, "o": 0}, {"i": 0, "o": 0.8}])
def test_ragged_blocks_under_stalls(stall, rng):
    """Blocks of changing k, some with an error, which marks its own tile and no other."""
    blocks, bits = 200, 4
    planes = store.to_planes(random_codes(rng, blocks, store.INT4), bits)
    keep = rng.integers(1, bits + 1, blocks)
    used = np.arange(bits) < keep[:, None]
    wrong = used & (rng.random(used.shape) < 0.1)
    inputs = {
        "bits": words(planes[used]),
        "error": wrong[used],
        "last": (np.arange(bits) == keep[:, None] - 1)[used],
        "end": 0,
    }
    model, seed = bulk_model("store.assembler", code_bits=4), int(rng.integers(1 << 30))
    run = {"constants": {"planes": bits}, "outputs": {"o": blocks}, "stall": stall, "seed": seed}
    result = model.run({"i": inputs}, **run)
    got, error = tiles(result, 4)
    expected = [store.from_planes(planes[b : b + 1], bits, int(keep[b]))[0] for b in range(blocks)]
    assert np.array_equal(got, expected)
    assert np.array_equal(error, wrong.any(axis=1))
    again = model.run({"i": inputs}, **run, reset_at=77)
    assert np.array_equal(again["o"].words, result["o"].words)


def test_surplus_planes_are_dropped(rng):
    planes = store.to_planes(random_codes(rng, 5, store.INT4), 4)
    result = bulk_model("store.assembler", code_bits=4).run(
        {"i": planes_in(planes)}, constants={"planes": 3}
    )
    expected = store.from_planes(planes[:, :3], 3)
    assert np.array_equal(tiles(result, 4)[0], expected)


def test_bench():
    run_bench("store.assembler", "tb.store.assembler_tb")
