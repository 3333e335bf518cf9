"""`pacq.operand_buffer`: steps against those that the matrices themselves say."""

import numpy as np
import pytest

from tb.bench import bulk_model, parameters, run_bench
from tb.pacq.operand_steps import inputs, meaningful, random_case, steps

ROW_BITS = 2


def check(run, problem):
    got = meaningful(run["o"].words, ROW_BITS)
    want = meaningful(steps(problem, ROW_BITS), ROW_BITS)
    assert len(run["o"]) == len(want["index"])
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8])
def test_random_products(rng, stall):
    model = bulk_model("pacq.operand_buffer", row_bits=ROW_BITS)
    for _ in range(30):
        problem = random_case(rng, ROW_BITS)
        check(
            model.run(inputs(problem, ROW_BITS), stall=stall, seed=int(rng.integers(99))), problem
        )


def test_a_step_a_cycle(rng):
    """No gap between the rows of a tile; a tile costs its two cycles and one per scale group."""
    model = bulk_model("pacq.operand_buffer", row_bits=ROW_BITS)
    for _ in range(10):
        problem = random_case(rng, ROW_BITS)
        streams = inputs(problem, ROW_BITS)
        run = model.run(streams)
        tiles, scales = len(streams["i_tile"]), len(streams["i_scales"])
        latency = parameters("pacq.operand_buffer", row_bits=ROW_BITS).latency
        assert run.cycles == len(run["o"]) + 2 * tiles + scales + latency


def test_reset_in_mid_stream(rng):
    model = bulk_model("pacq.operand_buffer", row_bits=ROW_BITS)
    problem = random_case(rng, ROW_BITS)
    streams = inputs(problem, ROW_BITS)
    for cycle in rng.integers(1, model.run(streams).cycles, 10):
        check(model.run(streams, reset_at=int(cycle)), problem)


def test_bench():
    run_bench("pacq.operand_buffer", "tb.pacq.operand_buffer_tb", {"row_bits": ROW_BITS})


def test_storage_is_tile_scales_and_step():
    assert parameters("pacq.operand_buffer").storage_bits > 512 * 4 + 16 * 161


@pytest.mark.parametrize("row_bits", [0, 17])
def test_bad_parameters(row_bits):
    with pytest.raises(ValueError, match=r"row_bits must be between 1 and 16, not \d+\."):
        parameters("pacq.operand_buffer", row_bits=row_bits)
