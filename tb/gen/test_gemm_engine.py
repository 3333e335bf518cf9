"""`lamina gemm --on engine`: a user's arrays through Anda's engine."""

import numpy as np
import pytest

from lamina_gen.cli import main
from lamina_gen.demo import layer_operands
from lamina_gen.gemm import EngineMachine, Problem
from lamina_sim.workload import tinylm
from tb.anda.test_engine import BITS, STREAMS, model
from tb.bench import BUILD
from tb.gen.test_gemm import here, save
from tb.problems import random_problem

__all__ = ["here"]


@pytest.fixture
def options(here, monkeypatch):
    """The engine of its own tests, whose model is built once for both."""
    monkeypatch.setattr(EngineMachine, "model", property(lambda self: model(STREAMS)))
    lines = [f"{name} = {str(value).lower()}" for name, value in STREAMS.items()]
    (here / "engine.toml").write_text("\n".join(['["anda.engine"]', *lines]))
    return ["--on", "engine", "--config", "engine.toml"]


def test_result_is_golden(options, rng, capsys):
    for m, n, k, bits in ((1, 1, 1, 8), (9, 11, 150, 5)):
        problem = random_problem(
            rng, "anda", m, n, k, bits=BITS, scale_group=64, mantissa_bits=bits
        )
        assert main([*save(problem), *options]) == 0
        result = np.load("C.npy")
        np.testing.assert_array_equal(result.view(np.uint32), problem.expected.view(np.uint32))
        assert "beats of activations" in capsys.readouterr().out


@pytest.mark.slow
def test_layers_of_the_bundled_model():
    """16 rows of all products of all layers, on an engine of 2 x 2 as FPGAs have it."""
    machine = EngineMachine({"columns": 2}, bits=4, folder=BUILD)
    for layer in range(tinylm.load()[0].config.num_hidden_layers):
        for operands in layer_operands(layer=layer):
            operands["activations"] = operands["activations"][:16]
            assert machine.run(Problem(engine="anda", mantissa_bits=5 + layer, **operands)).exact


def test_errors(options, rng, capsys):
    long = random_problem(rng, "anda", 1, 1, 64 * 17, bits=BITS, scale_group=64, mantissa_bits=8)
    assert main([*save(long), *options]) == 2
    assert "groups must be at most 12 with a mantissa of 8 bits" in capsys.readouterr().err
    for more in (["--planes", "1"], ["--engine", "pacq"]):
        assert main([*save(long), *options, *more]) == 2
        assert "--on engine is Anda's" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["i_activations", "i_weights"])
def test_operands_that_could_not_be_read(options, rng, port):
    """One sentence; the next product is right."""
    machine = EngineMachine(STREAMS, bits=BITS)
    problem = random_problem(rng, "anda", 9, 5, 150, bits=BITS, scale_group=64, mantissa_bits=5)
    outcome = machine.run(problem, errors={port: [2]})
    assert outcome.error
    assert not outcome.exact
    assert outcome.mismatch.startswith("The engine took operands that came with an error")
    assert machine.run(problem).exact
