"""`lamina gemm --flow`: a user's arrays through PacQ's tensor core."""

import numpy as np
import pytest

from lamina_gen.cli import main
from lamina_gen.gemm import TensorMachine
from lamina_sim.golden import pacq
from tb.gen.test_gemm import here, save
from tb.pacq.test_tensor_core import model
from tb.problems import random_problem

__all__ = ["here"]


@pytest.fixture
def config(here, monkeypatch):
    """That of the tensor core's own tests, whose model is built once for both."""
    monkeypatch.setattr(TensorMachine, "model", property(lambda self: model()))
    (here / "core.toml").write_text('["pacq.tensor_core"]\nfp16 = true\n')
    return ["--config", "core.toml"]


@pytest.mark.parametrize("flow", pacq.FLOWS)
def test_result_is_golden(config, rng, capsys, flow):
    for m, n, k, options in ((1, 1, 1, {}), (20, 70, 150, {"zeros": True})):
        problem = random_problem(rng, "pacq", m, n, k, scale_group=64, **options)
        assert main([*save(problem), "--flow", flow, *config]) == 0
        result = np.load("C.npy")
        np.testing.assert_array_equal(result.view(np.uint32), problem.expected.view(np.uint32))
        _, counted = pacq.tensor_core(
            problem.activations, problem.codes, problem.scales, scale_group=64, flow=flow
        )
        assert f"{counted.register_file} register-file accesses" in capsys.readouterr().out


def test_mismatch_is_exit_code_1(here, config, rng, capsys, monkeypatch):
    def run(self, problem, **options):
        outcome = right(self, problem, **options)
        outcome.result.view(np.uint32)[1, 2] ^= 1
        return outcome

    right = TensorMachine.run
    monkeypatch.setattr(TensorMachine, "run", run)
    problem = random_problem(rng, "pacq", 2, 8, 8, scale_group=8)
    assert main([*save(problem), "--flow", "packed_n", *config]) == 1
    assert "1 of 16 results differ from golden, first at [1, 2]" in capsys.readouterr().err
    assert not (here / "C.npy").exists()


def test_errors(here, rng, capsys):
    problem = random_problem(rng, "pacq", 2, 8, 8, scale_group=8)
    for more in (["--planes", "3"], ["--engine", "anda"]):
        assert main([*save(problem), "--flow", "packed_n", *more]) == 2
        assert "--flow is PacQ's" in capsys.readouterr().err
    with pytest.raises(ValueError, match="flow must be one of packed_n, packed_k, fp16, not 'n'"):
        TensorMachine("n")
    anda = random_problem(rng, "anda", 2, 8, 8, scale_group=64)
    with pytest.raises(ValueError, match="engine must be pacq for a tensor core, not anda"):
        TensorMachine().run(anda)
    few = random_problem(rng, "pacq", 2, 8, 8, scale_group=8, planes=2)
    with pytest.raises(ValueError, match="planes must be left out"):
        TensorMachine().run(few)
