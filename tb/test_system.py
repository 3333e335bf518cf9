"""The system: arrays through plane store, fetch, compute and output, against golden."""

import numpy as np
import pytest

from lamina_gen.configurations import settings_of
from lamina_gen.gemm import Machine
from tb.bench import BUILD, run_bench
from tb.problems import random_problem, scale_group

ENGINES = ("anda", "pacq")


@pytest.fixture(scope="module", params=ENGINES)
def machine(request):
    """The system of one engine that the command line builds too."""
    return Machine(request.param, settings_of("tiny", "system"), folder=BUILD)


def check(outcome):
    assert outcome.exact, outcome.mismatch


@pytest.mark.parametrize(
    ("m", "n", "k"), [(1, 1, 1), (1, 9, 64), (64, 8, 65), (65, 7, 63), (2, 17, 130), (129, 16, 128)]
)
def test_edges_of_tiles(machine, rng, m, n, k):
    check(machine.run(random_problem(rng, machine.engine, m, n, k, scale_group=k, zeros=True)))


def test_random_products(machine, rng):
    for number in range(25):
        m, n, k = (int(rng.integers(1, high)) for high in (20, 30, 300))
        group = scale_group(rng, machine.engine, k)
        bits = int(rng.choice([2, 4]))
        problem = random_problem(
            rng,
            machine.engine,
            m,
            n,
            k,
            bits=bits,
            scale_group=group,
            zeros=bool(rng.integers(2)),
            planes=int(rng.integers(1, bits + 1)),
            mantissa_bits=int(rng.integers(1, 17)),
            rounding=str(rng.choice(["truncate", "nearest"])),
            special=(np.inf, -np.inf, np.nan, 65504, 2**-24) if number % 5 == 0 else (),
        )
        check(machine.run(problem))


def test_stalls_change_nothing(machine, rng):
    problem = random_problem(rng, machine.engine, 5, 17, 200, zeros=True)
    free = machine.run(problem)
    for stall in (0.1, 0.6, {"i_scales": 0.95}, {"m_axi": 0.8}, {f"o_{machine.engine}": 0.9}):
        stalled = machine.run(problem, stall=stall, seed=int(rng.integers(1 << 30)))
        check(stalled)
        # A slow memory may be hidden behind the products; it never makes anything faster.
        assert stalled.cycles >= free.cycles
    assert machine.run(problem, stall=0.6).cycles > free.cycles


def test_reset_in_mid_stream(machine, rng):
    problem = random_problem(rng, machine.engine, 4, 8, 200)
    for cycle in rng.integers(1, machine.run(problem).cycles, 4):
        check(machine.run(problem, reset_at=int(cycle)))


def test_fetches_the_planes_kept(machine, rng):
    for planes in (1, 2, 3, 4):
        outcome = machine.run(random_problem(rng, machine.engine, 3, 24, 256, planes=planes))
        check(outcome)
        assert outcome.bytes_fetched == 3 * 4 * 64 * planes


def test_memory_error_is_flagged(machine, rng):
    problem = random_problem(rng, machine.engine, 3, 16, 128)
    assert not machine.run(problem).error
    outcome = machine.run(problem, errors=[(64, 128)])
    assert outcome.error
    assert not outcome.exact


def test_anda_takes_a_group_in_its_cycles(rng):
    """With many rows the elements are never idle: max(M + 1, 8) cycles for each row and tile."""
    machine = Machine("anda", settings_of("tiny", "system"), folder=BUILD)
    parameters = machine.parameters
    for mantissa_bits in (4, 7, 11):
        problem = random_problem(rng, "anda", 64, 16, 512, mantissa_bits=mantissa_bits)
        outcome = machine.run(problem)
        check(outcome)
        groups = 64 * 2 * 8
        cycles = max(parameters.element.cycles(mantissa_bits), 8) * groups
        assert cycles <= outcome.cycles <= 1.05 * cycles


def test_wide_weights_on_anda(rng):
    machine = Machine("anda", {"weight_bits": 8}, folder=BUILD)
    for bits in (5, 8):
        problem = random_problem(rng, "anda", 5, 9, 130, bits=bits, zeros=True, planes=bits - 1)
        check(machine.run(problem))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "gpu"}, "engine must be one of anda, pacq, both, not 'gpu'"),
        ({"engine": "pacq", "weight_bits": 8}, "weight_bits must be 4 for PacQ, not 8"),
        ({"row_bits": 11}, "row_bits must be between 1 and 10, not 11"),
        ({"engine": "anda", "weight_bits": 9}, "weight_bits must be between"),
    ],
)
def test_bad_parameters(settings, message):
    from lamina_gen.registry import find, make_parameters

    with pytest.raises(ValueError, match=message):
        make_parameters(find("system"), settings)


def test_both_engines_in_cocotb():
    settings = {"engine": "both", "row_bits": 2, "buffer_beats": 64, "address_bits": 32}
    run_bench("system", "tb.system_tb", settings)
