import os

import numpy as np
import pytest

from lamina_gen.gemm.engine import Operands, model_of
from lamina_sim.golden import anda
from lamina_sim.perf import anda as perf
from tb.anda.test_compressor import ROUNDINGS, random_patterns
from tb.bench import bulk_model, check_outputs, parameters, run_bench, seeds
from tb.problems import random_problem

#: Small, and with two sets under way, beats of two groups.
SMALL = {"lanes": 8, "rows": 4, "groups": 2, "stages_per_rank": 3}

#: A lane for two rows, and a word a beat.
SHARED = {"lanes": 1, "rows": 2, "planes": 1, "format": "bf16", "stages_per_rank": 3}

#: Other banks, the first ones of which are tested, each a build of its own. Those of sixteen
#: lanes are what docs/modules/anda_output_stage.md tells cycles of.
BANKS = int(os.environ.get("LAMINA_BANKS", "1"))
SIXTEEN = {"lanes": 16, "rows": 8, "stages_per_rank": 3}
OTHERS = [
    SHARED,
    SIXTEEN,
    SIXTEEN | {"groups": 4},
    SIXTEEN | {"rows": 16, "planes": 1, "groups": 16},
    SIXTEEN | {"planes": 4, "groups": 8},
    {"lanes": 3, "rows": 3, "planes": 4, "stages_per_rank": 3},
    {"lanes": 2, "rows": 1, "stages_per_rank": 1},
]

#: Sets of groups of the random runs; LAMINA_BANK_SETS=12500 for 50,000 groups.
SETS = int(os.environ.get("LAMINA_BANK_SETS", "500"))


def build(settings):
    """Registers start at random values."""
    module = "anda.compressor_bank"
    return parameters(module, **settings), bulk_model(module, random_initial=True, **settings)


def draw(rng, p, count, mantissa_bits=None):
    """Sets of groups, each of a length and rounding of its own."""
    if mantissa_bits is None:
        mantissa_bits = rng.integers(1, 17, count)
    return {
        "values": random_patterns(rng, count * p.rows, p.format).reshape(count, p.rows, 64),
        "mantissa_bits": np.broadcast_to(mantissa_bits, count).astype(np.int64),
        "rounding": rng.integers(0, 2, count),
    }


def beats_in(rng, p, sets):
    """Beats of `bank_values_layout`; M and rounding are anything where they do not count."""
    per_set = p.rows // p.groups
    beats = {"values": sets["values"].reshape(-1, p.groups, 64)}
    for name, most in (("mantissa_bits", 17), ("rounding", 2)):
        beats[name] = rng.integers(0, most, len(beats["values"]))
        beats[name][::per_set] = sets[name]
    return beats


def expected(p, sets):
    """Beats of `plane_words_layout`, from the golden model."""
    exponents, words = [], []
    fields = (sets[name] for name in ("values", "mantissa_bits", "rounding"))
    for values, bits, rounding in zip(*fields, strict=True):
        x = values.reshape(1, -1).view(np.float16 if p.format == "fp16" else np.uint16)
        encoded = anda.encode(
            x, int(np.clip(bits, 1, 16)), rounding=ROUNDINGS[rounding], fmt=p.format
        )
        shared, beats = anda.to_beats(encoded, p.planes)
        exponents.append(shared)
        words.append(beats)
    return {"exponents": np.concatenate(exponents), "words": np.concatenate(words)}


def check(rng, built, sets, **options):
    p, model = built
    return check_outputs(model, {"i": beats_in(rng, p, sets)}, expected(p, sets), **options)


@pytest.mark.slow
def test_bench():
    run_bench("anda.compressor_bank", "tb.anda.compressor_bank_tb", SHARED)


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_random_groups(rng, stall):
    p, model = build(SMALL)
    check(rng, (p, model), draw(rng, p, SETS), stall=stall, seed=seeds("stall"))


def test_lengths_out_of_range(rng):
    """Nothing hangs: they count as the nearest that there is."""
    p, model = build(SMALL)
    sets = draw(rng, p, 200, rng.integers(0, 32, 200))
    check(rng, (p, model), sets)


def check_cycles(rng, settings):
    """In steady state a round of groups takes what its parameters say, at every length."""
    p, model = build(settings)
    for mantissa_bits in range(1, 17):
        beats = p.round // p.rows * p.beats(mantissa_bits)  # of a round
        sets = draw(rng, p, 30 * p.round // p.rows, mantissa_bits)
        cycles = check(rng, (p, model), sets)["o"].cycles
        assert cycles[25 * beats] - cycles[10 * beats] == 15 * p.cycles(mantissa_bits)


def test_cycles_of_every_length(rng):
    check_cycles(rng, SMALL)


@pytest.mark.parametrize("settings", OTHERS[:BANKS])
def test_other_banks(rng, settings):
    p, model = build(settings)
    for stall in (0.0, 0.3, 0.8):
        check(rng, (p, model), draw(rng, p, 300), stall=stall, seed=seeds("stall"))
    check_cycles(rng, settings)


def test_latency(rng):
    p, model = build(SMALL)
    result = check(rng, (p, model), draw(rng, p, 1, 9))
    assert result["o"].cycles[0] - result.accepted["i"][-1] == p.latency


def test_reset_in_mid_stream(rng):
    p, model = build(SMALL)
    for cycle in rng.integers(3, 200, 5):
        check(rng, (p, model), draw(rng, p, 20), stall=0.3, reset_at=int(cycle))


def test_bank_to_engine(rng):
    """Its beats are what a host sends to an engine, row for row; M from 1 to 16."""
    p, model = build(SMALL)
    engine = model_of(parameters("anda.engine", rows=p.rows, columns=2))
    for mantissa_bits in (1, 6, 16):
        m, groups = 7, 3
        problem = random_problem(rng, "anda", m, 1, 64 * groups, mantissa_bits=mantissa_bits)
        operands = Operands.of(problem, engine)
        row, group = perf.activation_order(engine, operands.gemm).T
        rows = row[:, None] + np.arange(p.rows)
        x = problem.activations.view(np.uint16).reshape(m, groups, 64)
        values = np.where((rows < m)[..., None], x[np.minimum(rows, m - 1), group[:, None]], 0)
        sets = {
            "values": values,
            "mantissa_bits": np.full(len(row), mantissa_bits),
            "rounding": np.full(len(row), ROUNDINGS.index(problem.rounding)),
        }
        got = check(rng, (p, model), sets)["o"].values
        for name, wanted in operands.inputs()["i_activations"].items():
            assert np.array_equal(got[name], wanted), name


@pytest.mark.parametrize(
    "setting",
    [
        {"lanes": 3},
        {"lanes": 0},
        {"rows": 65},
        {"planes": 3},
        {"groups": 4},
        {"format": "fp8"},
        {"stages_per_rank": 0},
    ],
)
def test_parameters_are_checked(setting):
    with pytest.raises(ValueError, match=rf"^{next(iter(setting))} must be .*, not .*\.$"):
        parameters("anda.compressor_bank", **setting)
