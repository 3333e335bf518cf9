import os
from dataclasses import replace

import numpy as np
import pytest

from lamina_gen.gemm.engine import Operands, matrix, model_of
from lamina_sim.golden import anda, ieee
from lamina_sim.perf import anda as perf
from tb.anda.test_compressor import ROUNDINGS
from tb.anda.test_engine import STREAMS
from tb.bench import bulk_model, check_outputs, parameters, run_bench, seeds
from tb.problems import random_problem

#: Behind the engine of its tests.
NAMES = ("rows", "columns", "block_columns", "sharing", "slots")
SMALL = {"stages_per_rank": 3} | {name: STREAMS[name] for name in NAMES}

#: For cocotb: two steps of two rows, of which the second has one; tiles of two groups; four words a
#: beat.
WIDE = {
    "rows": 3, "columns": 128, "block_columns": 8, "sharing": 2, "slots": 3, "planes": 4,
    "format": "bf16", "stages_per_rank": 3,
}  # fmt: skip


def build(settings):
    """Registers start at random values."""
    return parameters("anda.output_stage", **settings), bulk_model(
        "anda.output_stage", random_initial=True, **settings
    )


def engine_of(p):
    """What the performance model knows of both engines, before and behind."""
    settings = {name: getattr(p, name) for name in (*NAMES, "planes")}
    return model_of(parameters("anda.engine", stages_per_rank=9, **settings))


def random_results(rng, m, n):
    """FP32 patterns that go wrong: near each other, ties, subnormal as FP16 and FP32, special."""
    wild = rng.integers(0, 1 << 32, (m, n), np.uint32)
    near = wild & 0x80FFFFFF | 0x3E000000
    ties = (wild & 0xFFFFE000 | 0x1000) & 0xBFFFFFFF | 0x30000000
    small = wild & 0x80FFFFFF | 0x32000000
    kind = rng.integers(0, 9, (m, 1 + n // 64)).repeat(64, axis=1)[:, :n]
    return np.select([kind == 0, kind == 1, kind == 2, kind > 5], [wild, ties, small, near], near)


def draw(rng, p, most_columns=200):
    m, n = int(rng.integers(1, 3 * p.batch_rows)), int(rng.integers(1, most_columns))
    job = {
        "m": m,
        "n": n,
        "row_turns": int(rng.integers(1, p.slots + 1)),
        "mantissa_bits": int(rng.integers(1, 17)),
        "rounding": int(rng.integers(2)),
    }
    return job, random_results(rng, m, n).astype(np.uint32)


def gemm_of(job):
    return perf.Gemm(
        m=job["m"],
        n=job["n"],
        groups=1,
        mantissa_bits=job["mantissa_bits"],
        row_turns=job["row_turns"],
    )


def beats_in(rng, p, job, results):
    """Beats of `result_layout` in the order of the engine's loops."""
    beats = {name: [] for name in ("values", "keep", "row", "column", "tag", "last")}
    block, steps = p.block_columns, -(-p.rows // p.units)
    for part in perf.passes(engine_of(p), gemm_of(job)):
        for tile in ((row, column) for column in part.columns for row in part.rows):
            for place in np.ndindex(steps, p.columns // block):
                row, column = tile[0] + place[0] * p.units, tile[1] + place[1] * block
                values = rng.integers(0, 1 << 32, (p.units, block), np.uint32)
                keep = np.zeros((p.units, block), np.uint8)
                rows = min(p.units, p.rows - place[0] * p.units, job["m"] - row)
                columns = min(block, job["n"] - column)
                if rows <= 0 or columns <= 0:
                    continue
                keep[:rows, :columns] = 1
                values[:rows, :columns] = results[row : row + rows, column : column + columns]
                fields = (values, keep, row, column, 0, 0)
                for name, value in zip(beats, fields, strict=True):
                    beats[name].append(value)
    return {name: np.array(values) for name, values in beats.items()}


def expected(p, job, results):
    """Beats of `plane_words_layout`: what a host would send to the engine for the next product."""
    encoded = anda.encode_results(
        results.view(np.float32), job["mantissa_bits"], ROUNDINGS[job["rounding"]], p.format
    )
    none = np.zeros((64 * encoded.exponent.shape[1], 1), np.int8)
    following = Operands(
        engine=engine_of(p),
        activations=encoded,
        codes=none,
        scales=np.zeros((1, 1), np.float16),
        zero_points=None,
        scale_group=len(none),
        row_turns=job["row_turns"],
    )
    return following.inputs()["i_activations"]


def jobs_in(drawn):
    """Beats of `output_job_layout`."""
    return {name: np.array([job[name] for job, _ in drawn]) for name in drawn[0][0]}


def joined(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check(rng, built, drawn, **options):
    p, model = built
    results = joined([beats_in(rng, p, *one) for one in drawn])
    wanted = joined([expected(p, *one) for one in drawn])
    return check_outputs(model, {"i": results, "i_job": jobs_in(drawn)}, wanted, **options)


@pytest.mark.slow
def test_bench():
    run_bench("anda.output_stage", "tb.anda.output_stage_tb", WIDE)


@pytest.mark.parametrize("stall", [0.0, 0.5, {"o": 0.9}, {"i": 0.9}])
def test_random_results(rng, stall):
    built = build(SMALL)
    drawn = [draw(rng, built[0]) for _ in range(40)]
    check(rng, built, drawn, stall=stall, seed=seeds("stall"))


def test_every_value(rng):
    """All FP16 magnitudes, all ties between them and what is next to those."""
    exact = np.arange(1 << 15).astype(np.uint16).view(np.float16).astype(np.float32).view(np.uint32)
    tie = exact + np.uint32(0x1000)
    results = np.stack([exact, tie - np.uint32(1), tie, tie + np.uint32(1)]).reshape(-1, 4096)
    results |= rng.integers(0, 2, results.shape, np.uint32) << np.uint32(31)
    job = {"m": len(results), "n": 4096, "row_turns": 2, "mantissa_bits": 11, "rounding": 0}
    check(rng, build(SMALL), [(job, results)])


@pytest.mark.parametrize("columns", [1, 15, 16, 63, 64, 65, 127, 128, 129])
def test_ragged_columns(rng, columns):
    """What is left of the last group is +0, whatever came before in its place."""
    built = build(SMALL)
    p, drawn = built[0], []
    for rows in (p.batch_rows, 1, p.rows + 1):
        job = {"n": columns, "row_turns": p.slots, "mantissa_bits": 7, "rounding": 1}
        full = np.full((rows, 256), 0xFFFFFFFF, np.uint32)
        drawn.append((job | {"m": rows, "n": 256}, full))
        drawn.append((job | {"m": rows}, random_results(rng, rows, columns)))
    check(rng, built, drawn)


def test_reset_in_mid_stream(rng):
    built = build(SMALL)
    for cycle in rng.integers(3, 400, 5):
        check(rng, built, [draw(rng, built[0]) for _ in range(5)], stall=0.3, reset_at=int(cycle))


def test_results_do_not_wait(rng):
    """While planes are taken, a span is filled in as many cycles as it has beats, and two more."""
    p, model = build(SMALL)
    job = {"m": p.batch_rows, "n": 640, "row_turns": p.slots, "mantissa_bits": 2, "rounding": 0}
    drawn = [(job, random_results(rng, job["m"], job["n"]))]
    accepted = check(rng, (p, model), drawn).accepted["i"]
    spans = job["n"] // p.span
    assert accepted[-1] - accepted[0] <= len(accepted) + 2 * spans


def check_latency(rng, settings):
    p, model = build(settings)
    job = {"m": p.rows, "n": 64, "row_turns": 1, "mantissa_bits": 9, "rounding": 0}
    result = check(rng, (p, model), [(job, random_results(rng, p.rows, 64))])
    return result["o"].cycles[0] - result.accepted["i"][-1], p.latency


def test_latency(rng):
    """With a lane for all rows it is longer than what parameters say."""
    latency, least = check_latency(rng, SMALL)
    assert least < latency < least + 2 * 9


#: Other stages, the first ones of which are tested, each a build of its own.
STAGES = int(os.environ.get("LAMINA_OUTPUT_STAGES", "1"))
#: One row a beat and two, a lane for each row; columns 1 and more than a group.
OTHERS = [
    {"rows": 3, "columns": 128, "block_columns": 16, "sharing": 3, "slots": 3, "lanes": 3},
    WIDE,
    {"columns": 1, "block_columns": 1, "slots": 12, "planes": 1, "stages_per_rank": 3},
    {"rows": 4, "columns": 16, "sharing": 2, "lanes": 2, "planes": 4, "stages_per_rank": 3},
]


@pytest.mark.parametrize("settings", OTHERS[:STAGES])
def test_other_engines(rng, settings):
    built = build(settings)
    drawn = [draw(rng, built[0], 400) for _ in range(40)]
    for stall in (0.0, 0.5):
        check(rng, built, drawn, stall=stall, seed=seeds("stall"))


def test_exact_latency(rng):
    latency, stated = check_latency(rng, OTHERS[0])
    assert latency == stated


@pytest.mark.parametrize(("m", "row_turns"), [(7, 3), (1, 1), (5, 2)])
def test_two_layers_in_a_row(rng, m, row_turns):
    """Engine, output stage, engine: their beats as they are; the golden model of both layers."""
    engine = parameters("anda.engine", **STREAMS)
    p, model = build(SMALL)
    k, n, bits = 128, 100, 7
    first = random_problem(rng, "anda", m, n, k, bits=2, scale_group=64, mantissa_bits=bits)
    second = random_problem(rng, "anda", m, 9, n, bits=2, scale_group=64, mantissa_bits=bits)
    narrow = ieee.fp16_from_fp32(first.expected)
    second = replace(second, activations=narrow)

    def multiply(problem, **inputs):
        operands = Operands.of(problem, model_of(engine), row_turns=row_turns)
        sent = operands.inputs() | inputs
        beats = perf.cost(operands.engine, operands.gemm).result_beats
        run = bulk_model("anda.engine", random_initial=True, **STREAMS).run(
            sent, outputs={"o": beats, "o_done": 1}
        )
        return run["o"].values

    results = multiply(first)
    job = {"m": m, "n": n, "row_turns": row_turns, "mantissa_bits": bits, "rounding": 0}
    sets = len(perf.activation_order(model_of(engine), gemm_of(job))) * -(-n // 64)
    planes = model.run(
        {"i": results, "i_job": {name: [value] for name, value in job.items()}},
        outputs={"o": sets * p.bank.beats(bits)},
    )
    got = matrix(multiply(second, i_activations=planes["o"].values), m, 9)
    assert np.array_equal(got.view(np.uint32), second.expected.view(np.uint32))


@pytest.mark.parametrize(
    "setting",
    [
        {"columns": 12},
        {"block_columns": 8},
        {"block_columns": 3},
        {"sharing": 1},
        {"slots": 65},
        {"lanes": 3},
        {"planes": 8},
        {"format": "fp32"},
    ],
)
def test_parameters_are_checked(setting):
    with pytest.raises(ValueError, match=rf"^{next(iter(setting))} must be .*, not .*\.$"):
        parameters("anda.output_stage", **setting)
