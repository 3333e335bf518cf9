import os
import random

import numpy as np
import pytest

from lamina.formats.engine import Cause
from lamina_gen.bench.engine import SIZES
from lamina_gen.device.ends import ByHand
from lamina_gen.device.ends import run as by_hand
from lamina_gen.gemm.engine import Operands, matrix, model_of, read_counters
from lamina_sim.perf import anda as perf
from tb.anda import engine_host as scenarios
from tb.anda.engine_host import Host
from tb.bench import bulk_model, parameters, run_bench, seeds
from tb.problems import random_problem

#: Small, but with two blocks of two columns, rows in two steps, and a turn more than is a power
#: of two; without registers, so that the bulk driver can say everything.
SMALL = {
    "rows": 2, "columns": 4, "block_columns": 2, "sharing": 2, "slots": 3, "depth": 64,
    "weight_bits": 2, "zero_points": False, "stages_per_rank": 9,
}  # fmt: skip
STREAMS = SMALL | {"registers": False}

#: For cocotb, which builds slowly.
TINY = SMALL | {"rows": 1, "columns": 2, "block_columns": 1}

#: Random GEMMs; and those on an engine of 256 elements, which is slow to build and to run.
GEMMS = int(os.environ.get("LAMINA_ENGINE_GEMMS", "180"))
LARGE_GEMMS = int(os.environ.get("LAMINA_LARGE_ENGINE_GEMMS", "2"))

BITS = 2


def model(settings):
    """Registers start at random values."""
    return bulk_model("anda.engine", random_initial=True, **settings)


@pytest.fixture(scope="module")
def small():
    return model(STREAMS)


@pytest.fixture(scope="module")
def engine():
    return model_of(parameters("anda.engine", **STREAMS))


def random_gemm(rng, engine, tag=0, groups_max=4, edge=20, bits=BITS):
    """A product of any shape and mantissa, and its operands; sometimes with the longest k."""
    mantissa_bits = int(rng.integers(1, 17))
    longest = engine.depth // engine.beats(mantissa_bits)
    most = longest if rng.random() < 0.2 else min(longest, groups_max)
    groups = int(rng.integers(1, most + 1))
    m, n = (int(rng.integers(1, edge)) for _ in range(2))
    problem = random_problem(
        rng, "anda", m, n, 64 * groups - int(rng.integers(64)), bits=bits, scale_group=64,
        mantissa_bits=mantissa_bits, special=[np.inf] if rng.random() < 0.2 else [],
    )  # fmt: skip
    turns = perf.row_turns(engine, m, groups, mantissa_bits)
    turns = int(rng.integers(1, turns + 1)) if rng.random() < 0.5 else turns
    return problem, Operands.of(problem, engine, row_turns=turns, tag=tag)


def run(small, operands, **options):
    """Run a GEMM; return the run, its result and counters."""
    beats = perf.cost(operands.engine, operands.gemm).result_beats
    done = small.run(operands.inputs(), outputs={"o": beats, "o_done": 1}, drain=50, **options)
    result = matrix(done["o"].values, operands.gemm.m, operands.gemm.n)
    assert done["o_done"].values == {"tag": [operands.tag], "cause": [Cause.NONE.value]}
    return done, result, read_counters(done.signals["counters"])


def assert_equal(result, problem):
    assert np.array_equal(result.view(np.uint32), problem.expected.view(np.uint32))


@pytest.mark.slow
def test_bench():
    run_bench("anda.engine", "tb.anda.engine_tb", TINY)


@pytest.fixture
def device():
    """An engine with registers, out of reset, to be stepped by hand."""
    with model(SMALL).stepped() as dut:
        dut.reset()
        yield dut


def play(device, request, scenario, *arguments, **options):
    """Let a scenario happen to an engine."""
    rng = random.Random(seeds(request.node.nodeid))
    host = Host(device, ByHand(device), parameters("anda.engine", **SMALL), rng, **options)
    by_hand(scenario(host, *arguments))


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [
        scenarios.says_what_was_built,
        scenarios.bad_descriptors,
        scenarios.bad_operands,
        scenarios.queue_overflow,
    ],
)
def test_registers(device, request, scenario):
    play(device, request, scenario)


@pytest.mark.slow
@pytest.mark.parametrize("idle", [(0.0, 0.0), (0.7, 0.0), (0.0, 0.95), (0.7, 0.9)])
@pytest.mark.parametrize("stall", [0.0, 0.9])
def test_idle_and_back_pressure(device, request, idle, stall):
    play(device, request, scenarios.counts, idle, stall, idle=idle, stall=stall)


@pytest.mark.slow
@pytest.mark.parametrize("results", [0, 1, 6])
def test_reset_by_hand(device, request, results):
    play(device, request, scenarios.cut_short, results, idle=(0.2, 0.2), stall=0.2)
    device.reset()
    play(device, request, scenarios.as_after_power_up)


def test_random_gemms(rng, small, engine):
    compare(rng, small, engine, GEMMS)


def compare(rng, dut, engine, count, **options):
    """Bit by bit, and in the cycles and beats that the model says; with stalls, in those beats."""
    for number in range(count):
        problem, operands = random_gemm(rng, engine, tag=number % 256, **options)
        stall = {} if number % 4 else {"stall": float(rng.choice([0.3, 0.8])), "seed": number}
        _, result, counted = run(dut, operands, **stall)
        assert_equal(result, problem)
        wanted = vars(perf.cost(engine, operands.gemm))
        names = counted.keys() & wanted.keys() - ({"cycles"} if stall else set())
        assert len(names) >= 5
        assert {n: counted[n] for n in names} == {n: wanted[n] for n in names}, operands.gemm


def joined(parts):
    """Inputs of GEMMs that come one after the other."""
    return {
        port: {name: np.concatenate([part[port][name] for part in parts]) for name in fields}
        for port, fields in parts[0].items()
    }


BAD = {
    "m": (0, Cause.SHAPE),
    "n": (0, Cause.SHAPE),
    "groups": (0, Cause.SHAPE),
    "mantissa_bits": (0, Cause.MANTISSA),
    "row_turns": (0, Cause.ROW_TURNS),
}


def bad_descriptors(engine, tag):
    """Each of the ways to be wrong: descriptors, and the causes that they must give."""
    right = {"m": 3, "n": 5, "groups": 2, "mantissa_bits": 7, "row_turns": 1}
    rows = [(right | {name: value}, cause) for name, (value, cause) in BAD.items()]
    rows += [
        (right | {"mantissa_bits": 17}, Cause.MANTISSA),
        (right | {"row_turns": engine.slots + 1}, Cause.ROW_TURNS),
        (right | {"groups": engine.depth // 4 + 1}, Cause.MEMORY),
        (right | {"groups": engine.depth // 8 + 1, "row_turns": 2}, Cause.MEMORY),
        (right | {"groups": (1 << 16) - 1, "mantissa_bits": 16}, Cause.MEMORY),
    ]
    return [(fields | {"tag": tag + n}, cause) for n, (fields, cause) in enumerate(rows)]


@pytest.mark.parametrize("stall", [0.0, 0.5, {"o_done": 0.95}, {"o": 0.9, "i_gemm": 0.9}])
def test_many_gemms(rng, small, engine, stall):
    """Queued, with bad ones between them: all completed in order, all results right."""
    gemms = [random_gemm(rng, engine, tag=n, groups_max=2, edge=9) for n in range(12)]
    bad = bad_descriptors(engine, tag=100)
    parts = [operands.inputs() for _, operands in gemms]
    # A bad descriptor takes no data.
    none = {port: {k: v[:0] for k, v in f.items()} for port, f in parts[0].items()}
    wrong = [none | {"i_gemm": {k: [v] for k, v in fields.items()}} for fields, _ in bad]
    order = rng.permutation(len(parts) + len(wrong))
    done = small.run(
        joined([(parts + wrong)[place] for place in order]),
        outputs={
            "o": sum(perf.cost(engine, operands.gemm).result_beats for _, operands in gemms),
            "o_done": len(order),
        },
        stall=stall,
        seed=int(rng.integers(1000)),
    )
    causes = [(n, Cause.NONE) for n in range(len(gemms))]
    causes += [(fields["tag"], cause) for fields, cause in bad]
    assert completions(done) == [causes[place] for place in order]
    for problem, operands in gemms:
        assert_equal(own_result(done, operands), problem)


@pytest.mark.parametrize(
    "stall", [0.0, 0.6, {"o_done": 0.95}, {"i_weights": 0.9}, {"i_activations": 0.9}, {"o": 0.9}]
)
def test_errors_of_operands(rng, small, engine, stall):
    """Told of the GEMM that they belong to, and of no other, which are right."""
    gemms = [random_gemm(rng, engine, tag=n, groups_max=2, edge=9) for n in range(24)]
    parts, bad = [operands.inputs() for _, operands in gemms], set()
    for tag, part in enumerate(parts):
        if rng.random() < 0.5:
            errors = part[rng.choice(scenarios.INPUTS)]["error"]
            # A GEMM's first beats and its last ones are the nearest to another's.
            errors[rng.choice([0, -1, rng.integers(len(errors))])] = 1
            bad.add(tag)
    done = small.run(
        joined(parts),
        outputs={
            "o": sum(perf.cost(engine, operands.gemm).result_beats for _, operands in gemms),
            "o_done": len(gemms),
        },
        stall=stall,
        seed=int(rng.integers(1000)),
    )
    causes = [Cause.DATA if tag in bad else Cause.NONE for tag in range(len(gemms))]
    assert completions(done) == [*enumerate(causes)]
    assert 0 < len(bad) < len(gemms)
    for problem, operands in gemms:
        result = own_result(done, operands)  # also a bad one's are all there
        if operands.tag not in bad:
            assert_equal(result, problem)


def own_result(done, operands):
    """The result of one of many GEMMs, by its tag."""
    beats = done["o"].values
    own = np.asarray(beats["tag"]) == operands.tag
    mine = {name: np.asarray(values)[own] for name, values in beats.items()}
    return matrix(mine, operands.gemm.m, operands.gemm.n)


def completions(done):
    """Tags and causes, in the order in which they came."""
    values = done["o_done"].values
    return [(int(t), Cause(int(c))) for t, c in zip(values["tag"], values["cause"], strict=True)]


def test_next_gemm_follows_at_once(rng, small, engine):
    """Its descriptor is checked, and its activations are loaded, while the one before runs."""
    problem = random_problem(rng, "anda", 12, 12, 192, bits=BITS, scale_group=64, mantissa_bits=7)
    operands = Operands.of(problem, engine)
    count, cost = 5, perf.cost(engine, operands.gemm)
    done = small.run(
        joined([operands.inputs()] * count),
        outputs={"o": count * cost.result_beats, "o_done": count},
    )
    counted = read_counters(done.signals["counters"])
    assert counted["cycles"] == cost.cycles + (count - 1) * cost.array_cycles
    assert counted["stall_activations"] <= engine.beats(7) + 1


def test_reset_in_mid_gemm(rng, small, engine):
    for reset_at in (20, 90):
        problem, operands = random_gemm(rng, engine)
        _, result, _ = run(small, operands, stall=0.2, reset_at=reset_at)
        assert_equal(result, problem)


def test_latency(rng, small, engine):
    """Of a group that is as short as its cycles."""
    p = parameters("anda.engine", **STREAMS)
    bits = p.sharing * p.planes - 1
    problem = random_problem(rng, "anda", 1, 1, 64, bits=BITS, scale_group=64, mantissa_bits=bits)
    done, _, _ = run(small, Operands.of(problem, engine))
    assert done["o"].cycles[0] - done.accepted["i_activations"][0] == p.latency


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"planes": 1},
        {"planes": 4, "slots": 2},
        {"rows": 3},
        {"columns": 2},
        {"stages_per_rank": 1, "slots": 5},
    ],
    ids=lambda more: "-".join(more),
)
def test_other_engines(rng, more):
    """Also one of 2 x 2, whose weights come in one beat a turn, and one with all ranks."""
    settings = STREAMS | {"stages_per_rank": 16} | more
    engine, own = model(settings), model_of(parameters("anda.engine", **settings))
    compare(rng, engine, own, GEMMS)
    test_errors_of_operands(rng, engine, own, 0.3)


@pytest.mark.slow
def test_large_engine(rng):
    """Of the paper's size: 16 x 16."""
    settings = SIZES["16x16"] | {"depth": 64, "registers": False}
    own = model_of(parameters("anda.engine", **settings))
    compare(rng, model(settings), own, LARGE_GEMMS, edge=40, bits=4)


@pytest.mark.parametrize(
    "setting", [{"depth": 65}, {"queue": 0}, {"registers": 1}, {"sharing": 1}, {"columns": 3}]
)
def test_parameters_are_checked(setting):
    with pytest.raises(
        (ValueError, TypeError), match=rf"^{next(iter(setting))} must be .*, not .*\.$"
    ):
        parameters("anda.engine", **setting)
