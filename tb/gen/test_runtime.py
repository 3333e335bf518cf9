"""`lamina runtime` and its bench: what they print and write, and how they refuse."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from lamina_gen import build, context_study
from lamina_gen.bench import runtime as bench
from lamina_gen.cli import main
from lamina_gen.context_study import POLICIES
from lamina_gen.study import Settings, Study
from tb.workload import checkpoints


def run(capfd, *arguments):
    """Run a command line; return exit code, standard output and standard error."""
    capfd.readouterr()  # the seed that a fixture told
    code = main([str(argument) for argument in arguments])
    return code, *capfd.readouterr()


@pytest.fixture(scope="module", params=["llama", "opt"])
def small(tmp_path_factory, request):
    """Arguments that name a small model with a character tokenizer, and its text."""
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("model")
    if request.param == "opt":  # no gate, and biases
        config = checkpoints.OPT
        tensors = checkpoints.opt_tensors(config, rng)
    else:
        config = checkpoints.LLAMA | {"hidden_size": 64, "intermediate_size": 96}
        tensors = checkpoints.llama_tensors(config, rng)
    tensors = {n: 0.4 * t for n, t in tensors.items()}
    checkpoints.write_folder(folder, config, tensors)
    (folder / "vocabulary.json").write_text(json.dumps(list("abcdefghij")))
    (folder / "text.txt").write_text("".join(rng.choice(list("abcdefghij"), 700)))
    return folder, "--text", folder / "text.txt", "--tokens", 160, "--share", 0.6


def test_command(capfd, small, tmp_path):
    path = tmp_path / "loss.svg"
    code, output, _ = run(
        capfd, "runtime", *small, "--tolerance", 0.5, "--plot", path, "--json"
    )  # fmt: skip
    assert code == 0
    found = json.loads(output)
    assert {row["policy"] for row in found["rows"]} == set(POLICIES)
    for row in found["rows"]:
        assert row["share"] == pytest.approx(row["bytes_per_step"] / found["bytes"])
        assert row["over_whole"] == row["loss"] - found["loss"]
        if row["policy"] in ("usual", "context"):
            assert row["share"] == pytest.approx(0.6, abs=0.03)
        if row["policy"] == "uniform":
            assert row["share"] == row["aimed"] / 4
    assert b"<svg" in path.read_bytes()


def test_table(capfd, small):
    code, output, _ = run(capfd, "runtime", *small, "--units", "heads", "--step", 4)
    assert code == 0
    assert "context" in output
    assert "all planes" in output
    assert "160 tokens." in output


def test_a_study_with_other_units(small):
    """It is the study that would be made of them; nothing is searched or evaluated again."""
    folder, _, text, *_ = small
    study = Study(Settings(source=str(folder), text=text, tokens=128, calibration=128))
    first = context_study.ContextStudy(study, lambda *_: None)
    other = first.with_units("matrices")
    found = first.shares([0.6]), other.shares([0.6])
    assert found[0] != found[1]
    new = context_study.ContextStudy(study, lambda *_: None, "matrices")
    assert new.shares([0.6]) == found[1]
    assert [new.bytes, new.whole] == [other.bytes, other.whole]
    assert new.shares([0.6], 4)[0] == new._row("usual", 0.6, new.policy(0.6, None).frozen(), 4)
    row, computed = first.searched(0.5), first.calibration.computed
    assert first.searched(0.5) == row
    assert first.calibration.computed == computed


class GoldenReader:
    """In the place of the device, whose own tests are elsewhere; ``flipped``: with a wrong bit."""

    flipped = 0

    def __init__(self, stepped, region):
        self.region, self.bytes, self.cycles = region, 0, 1
        rows = SimpleNamespace(activations=0)
        self.host = SimpleNamespace(memory=SimpleNamespace(rows=rows))

    def store(self):
        return 1

    def __call__(self, name, keep):
        self.bytes += sum(64 * planes for _, planes in self.region.reads(name, keep))
        return self.region.fetch(name, keep) ^ self.flipped


@pytest.mark.parametrize("flipped", [0, 1])
def test_tokens_on_the_device(capfd, small, monkeypatch, flipped):
    stepped = nullcontext(SimpleNamespace(reset=lambda: None))
    device = SimpleNamespace(stepped=lambda: stepped)
    monkeypatch.setattr(build, "build_model", lambda *_, **__: device)
    monkeypatch.setattr(context_study, "Reader", GoldenReader)
    monkeypatch.setattr(GoldenReader, "flipped", flipped)
    code, output, error = run(capfd, "runtime", *small, "--rtl", 3, "--json")
    assert code == flipped
    if flipped:
        assert output == ""
        assert "not golden's" in error
        return
    rtl = json.loads(output)["rtl"]
    assert rtl["tokens"] == 3
    assert rtl["bytes_per_step"] == rtl["axi_bytes_per_step"] > 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--share", 1), "0<x<1"),
        (("--step", 0), "x>=1"),
        (("--units", "neurons"), "'rows', 'heads', 'matrices'"),
        (("--tokens", 40000), "Calibration needs 129 tokens"),
    ],
)
def test_refused(capfd, options, sentence):
    code, output, error = run(capfd, "runtime", "tinylm", *options)
    assert (code, output) == (2, "")
    assert sentence in error
    assert "Traceback" not in error


def test_traffic_of_real_models():
    rows = bench.traffic()
    assert len({row["model"] for row in rows}) == 5
    by = {(row["model"], row["planes"]): row for row in rows}
    whole, half = (by["LLaMA-2-7B", f"{mix} of 8"] for mix in ("8/8/8", "4/4/8"))
    head = 2 * 32000 * 4096 / 1e9
    assert half["load_gb"] - head == pytest.approx((whole["load_gb"] - head) / 2)
    assert half["load_container_ms"] == pytest.approx(whole["load_container_ms"])
    assert half["load_ms"] < whole["load_ms"]


def test_record(tmp_path):
    (tmp_path / "plots").mkdir()
    rows = [{"policy": name, "share": 0.5, "over_whole": 0.1} for name in POLICIES]
    bench.record({"rows": rows}, tmp_path)
    assert b"uniform" in (tmp_path / "plots" / "runtime.svg").read_bytes()
