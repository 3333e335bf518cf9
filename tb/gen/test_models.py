"""`lamina eval` and `lamina search`: what they print and write, and how they refuse."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lamina_gen import configurations
from lamina_gen.cli import main
from lamina_gen.precision_search import SearchSettings, mantissa_search
from lamina_gen.study import Settings, Study, read_precision
from lamina_sim.workload import checkpoint
from lamina_sim.workload.arithmetic import ARITHMETICS
from lamina_sim.workload.evaluation import Evaluator
from lamina_sim.workload.precision import Precision
from tb.workload import checkpoints, packing

CHARACTERS = "abcdefghijklmnopqr\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model with a character tokenizer, and a text."""
    rng = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("model")
    config = checkpoints.LLAMA | {"hidden_size": 64, "intermediate_size": 96}
    tensors = {n: 0.4 * t for n, t in checkpoints.llama_tensors(config, rng).items()}
    checkpoints.write_folder(folder, config, tensors)
    (folder / "vocabulary.json").write_text(json.dumps(list(CHARACTERS)))
    (folder / "text.txt").write_text("".join(rng.choice(list(CHARACTERS), 700)))
    return folder


def run(capfd, *arguments):
    """Run a command line; return exit code, standard output and standard error."""
    capfd.readouterr()  # the seed that a fixture told
    code = main([str(argument) for argument in arguments])
    return code, *capfd.readouterr()


def study(folder):
    return [folder, "--text", folder / "text.txt", "--tokens", 160]


def test_eval(capfd, folder):
    names = [f"--arithmetic={name}" for name in ARITHMETICS]
    code, output, _ = run(capfd, "eval", *study(folder), *names, "--json")
    assert code == 0
    result = json.loads(output)
    rows = result["arithmetics"]
    assert list(rows) == list(ARITHMETICS)
    assert rows["w4a16"]["over_reference"] == 0
    opened = checkpoint.load(folder)
    text = opened.tokenizer.encode((folder / "text.txt").read_text())
    score = Evaluator(opened.model, text, budget=160).score()
    assert rows["float"]["loss"] == score.loss
    assert rows["float"]["perplexity"] == pytest.approx(math.exp(score.loss))
    assert rows["float"]["tokens"] == 160
    code, table, _ = run(capfd, "eval", *study(folder))
    assert code == 0
    assert all(name in table for name in ("float", "w4a16", "anda", "figna", "pacq"))
    assert f"{score.loss:.4f}" in table
    code, table, _ = run(capfd, "eval", *study(folder), "--weight-bits=8")
    assert code == 0
    assert "pacq" not in table


def test_eval_with_planes_and_lengths(capfd, folder):
    def anda(*extra):
        arguments = ["eval", *study(folder), "--arithmetic=anda", "--json", *extra]
        code, output, error = run(capfd, *arguments)
        assert code == 0, error
        return json.loads(output)["arithmetics"]["anda"]["loss"]

    assert anda("--mantissa-bits=8") == anda("--mantissa-bits=8,8,8,8") == anda()
    assert anda("--mantissa-bits=3") != anda() != anda("--mantissa-bits=8,8,8,5")
    eight = ["--weight-bits=8", "--scale-group=64"]
    cut, middle = (
        anda(*eight, "--planes=3", f"--reading={reading}") for reading in ("truncate", "midpoint")
    )
    assert anda(*eight) != cut != middle
    nested = ["--quantize=nested", "--planes=3", "--reading=midpoint"]
    assert anda(*eight, *nested) != middle
    assert anda("--quantize=gptq", "--asymmetric") != anda()
    assert anda("--scale-group=0") != anda("--scale-group=64")


@pytest.mark.parametrize("method", ["paper", "guided", "layers"])
def test_search(capfd, folder, tmp_path, method):
    arguments = ["search", *study(folder), "--tolerance=5%", f"--method={method}"]
    code, output, error = run(capfd, *arguments, "-o", tmp_path / "found.json")
    assert code == 0, error
    trace = [line for line in output.splitlines() if line.endswith(("accepted", "rejected"))]
    entries = json.loads((tmp_path / "found.json").read_text())
    assert entries["evaluations"] == len(trace) - (method == "layers")
    assert entries["loss"] <= 0.05
    assert entries["bops_saving"] > 1
    precision = read_precision(tmp_path / "found.json")
    assert len(precision.mantissas) == (2 if method == "layers" else 1)
    # What was written gives the loss that was found.
    arguments = ["eval", *study(folder), "--arithmetic=w4a16", "--arithmetic=anda", "--json"]
    code, output, _ = run(capfd, *arguments, "--precision", tmp_path / "found.json")
    anda = json.loads(output)["arithmetics"]["anda"]
    assert anda["over_reference"] == pytest.approx(entries["loss"], rel=1e-9)


@pytest.mark.parametrize("planes", ["tensors", "rows"])
def test_search_for_planes(capfd, folder, tmp_path, planes):
    arguments = ["search", *study(folder), "--tolerance=5%", "--weight-bits=8", "--json"]
    extra = ["--planes", planes, "-o", tmp_path / "found.json"]
    code, output, error = run(capfd, *arguments, *extra)
    assert code == 0, error
    entries = json.loads(output)
    assert entries == json.loads((tmp_path / "found.json").read_text())
    assert entries["plane_loss"] <= 0.05
    assert entries["plane_fraction"] < 0.7
    units = entries["planes"]["model.layers.0.mlp.gate_proj"]
    assert len(units) == (12 if planes == "rows" else 1)
    arguments = ["eval", *study(folder), "--arithmetic=figna", "--weight-bits=8", "--json"]
    losses = [
        json.loads(run(capfd, *arguments, *extra)[1])["arithmetics"]["figna"]["loss"]
        for extra in ([], ["--precision", tmp_path / "found.json"])
    ]
    assert math.expm1(losses[1] - losses[0]) == pytest.approx(entries["plane_loss"], rel=1e-9)


def test_what_was_found_configures_hardware(tmp_path):
    lengths = {"qkv": 7, "o": 6, "u": 6, "d": 5}
    path = tmp_path / "found.json"
    path.write_text(json.dumps({"mantissa_bits": lengths, "weight_bits": 3}))
    assert configurations.settings_of(str(path), "anda.element") == {"weight_bits": 3}
    assert configurations.settings_of(str(path), "system")["engine"] == "anda"
    assert main(["describe", "system", "--config", str(path)]) == 0
    path.write_text("{}")
    assert main(["describe", "system", "--config", str(path)]) == 2


def test_quantized_checkpoint(capfd, folder, tmp_path, rng):
    """Codes, width and group are the checkpoint's own."""
    config = checkpoints.LLAMA | {"hidden_size": 64, "intermediate_size": 128}
    stored = {n: 0.4 * t for n, t in checkpoints.llama_tensors(config, rng).items()}
    for name in [f"model.layers.{i}.{part}" for i in range(2) for part in packing.PRODUCTS]:
        n, k = stored.pop(f"{name}.weight").shape
        stored |= packing.gptq(name, rng, bits=8, group=64, ordered=True, k=k, n=n)[0]
    entries = {"quant_method": "gptq", "bits": 8, "group_size": 64, "desc_act": True}
    path = checkpoints.write_folder(tmp_path, config | {"quantization_config": entries}, stored)
    (path / "vocabulary.json").write_text(json.dumps(list(CHARACTERS)))
    arguments = [path, "--text", folder / "text.txt", "--tokens", 160]
    code, output, error = run(capfd, "eval", *arguments, "--json")
    assert code == 0, error
    rows = json.loads(output)["arithmetics"]
    assert "pacq" not in rows
    # The floats of this checkpoint are its codes' values.
    assert rows["figna"]["loss"] == pytest.approx(rows["float"]["loss"], rel=1e-2)
    arguments += ["--tolerance=5%", "-o", tmp_path / "found.json"]
    assert run(capfd, "search", *arguments)[0] == 0
    precision = read_precision(tmp_path / "found.json")
    assert (precision.weight_bits, precision.scale_group) == (8, 64)


def test_gemm_takes_what_was_found(capfd, tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    lengths = {"qkv": 7, "o": 6, "u": 6, "d": 5}
    Path("found.json").write_text(
        json.dumps({"mantissa_bits": lengths, "weight_bits": 3, "scale_group": None})
    )
    np.save("A", rng.normal(size=(2, 96)).astype(np.float16))
    np.save("W", rng.integers(-4, 4, (96, 5)).astype(np.int8))
    np.save("S", np.ones((1, 5), np.float16))
    arguments = ["gemm", "--engine=anda", "--activations=A.npy", "--weights=W.npy"]
    arguments += ["--scales=S.npy", "-o", "C.npy", "--precision=found.json"]
    seen = []

    class Machine:
        def __init__(self, engine, settings, bits):
            assert bits == 3

        def run(self, problem, trace=None):
            seen.append((problem.mantissa_bits, problem.weight_bits, problem.scale_group))
            raise ValueError("That is all.")

    monkeypatch.setattr("lamina_gen.gemm.Machine", Machine)
    assert run(capfd, *arguments, "--kind=d")[0] == 2
    assert seen == [(5, 3, 96)]
    assert "must go together" in run(capfd, *arguments)[2]
    assert "--precision has them" in run(capfd, *arguments, "--kind=d", "--mantissa-bits=8")[2]
    assert "layer must be below" not in run(capfd, *arguments, "--kind=d", "--layer=3")[2]
    assert not list(tmp_path.glob("*C*"))


BAD = {
    "no tokenizer": (["--tokenizer", "none.json"], "none.json"),
    "no text": (["--text", "none.txt"], "none.txt: No such file"),
    "few tokens": (["--tokens", "3"], "at least 16, not 3"),
    "long context": (["--context", "17"], "between 1 and 16, not 17"),
    "weight bits": (["--weight-bits", "9"], "between 2 and 8, not 9"),
    "scale group": (["--scale-group", "16"], "between 32 and 256"),
    "group of no engine": (["--scale-group", "33"], "must be a multiple of 64"),
    "nothing to calibrate on": (
        ["--tokens", "690", "--quantize", "gptq"],
        "a smaller --tokens leaves more",
    ),
    "nested with zero points": (["--quantize", "nested", "--asymmetric"], "symmetric"),
}
BAD_EVAL = {
    "arithmetic": (["--arithmetic", "fp8"], "not 'fp8'"),
    "lengths": (["--mantissa-bits", "8,8"], "one or four numbers, not '8,8'"),
    "length": (["--mantissa-bits", "17"], "between 1 and 16, not 17"),
    "planes": (["--planes", "5"], "between 1 and 4, not 5"),
    "reading": (["--reading", "nearest"], "needs --planes"),
    "precision": (["--precision", "none.json"], "none.json: No such file"),
}
BAD_SEARCH = {
    "tolerance": (["--tolerance", "much"], "share such as 1% or 0.01, not 'much'"),
    "negative": (["--tolerance=-1%"], "not '-1%'"),
    "iterations": (["--tolerance", "1%", "--iterations", "0"], "at least 1, not 0"),
    "nothing found": (
        ["--tolerance", "0.0000001%", "--iterations", "2"],
        "No tuple of mantissa lengths",
    ),
    "no folder": (["--tolerance", "1%", "-o", "none/found.json"], "none: No such file"),
}
CASES = [("eval", [], *case) for case in (BAD | BAD_EVAL).values()]
CASES += [("search", ["--tolerance", "1%"], *case) for case in BAD.values()]
CASES += [("search", [], *case) for case in BAD_SEARCH.values()]


@pytest.mark.parametrize(("command", "base", "extra", "sentence"), CASES)
def test_refusals(capfd, folder, tmp_path, monkeypatch, command, base, extra, sentence):
    monkeypatch.chdir(tmp_path)
    output = ["-o", "found.json"] if command == "search" else []
    code, shown, error = run(capfd, command, *study(folder), *base, *output, *extra)
    assert code == 2
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert "accepted" not in shown
    assert not list(tmp_path.iterdir())


def test_checkpoint_refusals(capfd, folder, tmp_path):
    output = tmp_path / "found.json"
    for source in (tmp_path / "none", folder / "text.txt", tmp_path):
        arguments = ["search", source, "--text", folder / "text.txt", "--tolerance", "1%"]
        code, _, error = run(capfd, *arguments, "-o", output)
        assert code == 2
        assert len(error.splitlines()) == 1
        assert not list(tmp_path.iterdir())


def test_guided_search_halves_the_evaluations_on_the_bundled_model():
    study = Study(Settings(source="tinylm", tokens=4096))
    paper, ours = (
        mantissa_search(study, SearchSettings(tolerance=0.005, method=method))
        for method in ("paper", "guided")
    )
    assert ours.cost(ours.best) <= paper.cost(paper.best)
    assert 2 * ours.evaluations <= paper.evaluations


def test_bundled_model_under_every_arithmetic():
    """Wide mantissas lose nothing to FP16; the printed arithmetic of PacQ loses it all."""
    study = Study(Settings(source="tinylm", tokens=256))
    reference = study.score("w4a16")
    for name in ("figna", "pacq"):
        assert abs(study.score(name).over(reference)) < 1e-3
    short, long = (study.score("anda", Precision.of((m,) * 4)).over(reference) for m in (4, 11))
    assert abs(long) < 1e-3 < 0.02 < short
    assert not study.score("pacq-printed").loss < 1.1 * reference.loss


def test_bench(monkeypatch):
    """Every figure is there; on so little text they mean nothing."""
    from lamina_gen.bench import models, run

    for name, value in {
        "TOKENS": 256,
        "_PRINTED_TOKENS": 128,
        "_MANTISSA_BITS": (4, 11),
        "_WEIGHT_BITS": (3, 8),
        "_PLANES": (3, 8),
    }.items():
        monkeypatch.setattr(models, name, value)
    result = json.loads(json.dumps(run("models"), allow_nan=False))
    assert result["tokens"] == 256
    loss = result["loss"]
    assert loss["anda"]["4"] > loss["anda"]["11"] == pytest.approx(loss["w4a16"], rel=1e-3)
    for name in ("truncate", "nearest", "midpoint", "nested"):
        planes = loss[f"planes_{name}"]
        assert planes["3"] > planes["8"]
    assert loss["planes_truncate"]["3"] > loss["planes_midpoint"]["3"]
    assert loss["weights_nearest"]["3"] > loss["weights_nearest"]["8"]
    for table in ("search_evaluations", "bops_saving", "tuple"):
        assert list(result[table]) == ["paper", "ours", "ours_by_layer"]
    assert len(result["tuple"]["ours"]) == 4
