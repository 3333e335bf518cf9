"""`lamina generate-text`: what the hardware writes, what it counts, and how it refuses."""

import json
import os

import numpy as np
import pytest

from lamina_gen.cli import main
from lamina_gen.text import MismatchError, Settings, Writer
from lamina_gen.text_energy import Energy
from lamina_sim.workload import checkpoint
from lamina_sim.workload.precision import Precision
from tb.bench import BUILD
from tb.workload import checkpoints, packing

CHARACTERS = "abcdefghijklmnopqr\n"
PROMPT = "It is a truth universally acknowledged, that "

#: Tokens of tinylm behind a prompt of 68: past its context of 128.
TOKENS = int(os.environ.get("LAMINA_TEXT_TOKENS", "80"))


@pytest.fixture(params=["llama", "opt"])
def folder(request, tmp_path):
    """A model of random weights with a context of 16 characters."""
    config, tensors = {
        "llama": (checkpoints.LLAMA, checkpoints.llama_tensors),
        "opt": (checkpoints.OPT, checkpoints.opt_tensors),
    }[request.param]
    rng = np.random.default_rng(5)
    checkpoints.write_folder(tmp_path / "model", config, tensors(config, rng))
    (tmp_path / "model" / "vocabulary.json").write_text(json.dumps(list(CHARACTERS)))
    return tmp_path / "model"


def steps(prompt, count, *, temperature=0.0, **settings):
    writer = Writer(Settings(**settings), folder=BUILD)
    writer.build()
    return list(writer.write(prompt, count, temperature=temperature, seed=3))


def both(prompt, count, **settings):
    """What the hardware wrote, which is what the golden model writes."""
    golden, rtl = (steps(prompt, count, on=on, **settings) for on in ("golden", "rtl"))
    assert [s.token for s in rtl] == [s.token for s in golden]
    assert len(rtl) == count
    assert all(s.cycles == s.bytes_fetched == 0 for s in golden)
    return rtl


@pytest.mark.parametrize("engine", ["anda", "pacq"])
def test_small_models(folder, engine):
    """Past a full context, at drawn tokens."""
    rtl = both("abcdef", 14, source=str(folder), engine=engine, temperature=1.0)
    assert "".join(s.text for s in rtl) == "".join(CHARACTERS[s.token] for s in rtl)
    # Six characters, then one at a time until there are 16; then the last 8 are read anew.
    assert [s.positions for s in rtl] == [6, *[1] * 10, 8, 1, 1]
    assert len({s.bytes_fetched for s in rtl}) == 1, "the weights come once for up to 64 positions"


@pytest.mark.slow
def test_tokens_of_tinylm():
    precision = Precision.of((7, 6, 6, 5))
    prompt = PROMPT + "a young lady of twenty "
    rtl = both(prompt, TOKENS, source="tinylm", precision=precision, temperature=0.5)
    # Three layers of 196,608 weights and a head of 16,384, INT4; the system takes 64 positions.
    layers, head = 3 * 196608 // 2, 16384 // 2
    assert rtl[0].positions == len(prompt) == 68
    assert rtl[0].bytes_fetched == 2 * layers + head
    assert {s.bytes_fetched for s in rtl[1:]} == {layers + head}


def gptq(folder, rng, leave=(), **options):
    """A Llama of GPTQ codes with groups of 64, or as ``options`` say; ``leave`` stays in floats."""
    per_channel = options.get("group") == -1
    config = checkpoints.LLAMA | {"hidden_size": 64, "intermediate_size": 64 + 32 * per_channel}
    config |= {"vocab_size": 24}
    tensors = checkpoints.llama_tensors(config, rng)
    for name in list(tensors):
        product = name.removesuffix(".weight")
        if "proj" in name or name == "lm_head.weight":
            n, k = tensors[name].shape
            if product in leave:
                continue
            del tensors[name]
            group = k if per_channel else 64
            tensors |= packing.gptq(product, rng, group=group, k=k, n=n, ordered=not per_channel)[0]
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 64, **options}
    checkpoints.write_folder(folder, config, tensors)
    (folder / "vocabulary.json").write_text(json.dumps(list(CHARACTERS)))
    return str(folder)


def test_gptq(tmp_path, rng):
    """Its own codes, the head's too, in the order of g_idx; what is left in floats gets codes."""
    source = gptq(tmp_path / "whole", rng)
    head = Writer(Settings(source=source, on="golden"))._codes["lm_head"]
    assert np.array_equal(head.codes, checkpoint.load(source).quantized["lm_head"].codes)
    assert {0} == {n for s in both("abc", 2, source=source) for n in s.macs}, "it has zero points"
    left = ("model.layers.1.mlp.up_proj", "lm_head")
    both("abc", 2, source=gptq(tmp_path / "left", rng, left))
    both("abc", 2, source=gptq(tmp_path / "channel", rng, ("lm_head",), group_size=-1, group=-1))


def test_planes_of_a_precision_file():
    """Products with fewer planes fetch fewer bytes."""
    precision = Precision.of(
        tuple(range(4, 16)), planes={"model.layers.1.mlp.up_proj": [3], "lm_head": [4]}
    )
    (step,) = both("She ", 1, source="tinylm", precision=precision, planes=2)
    up, head = 128 * 384, 128 * 128
    assert step.bytes_fetched == (2 * (3 * 196608 - up) + 3 * up + 4 * head) // 8
    # The head takes the longest length; each layer has four of its own.
    assert step.macs[15] == 4 * 384 * 128 + head
    assert sorted(step.macs) == list(range(4, 16))


def test_a_wrong_bit_is_noticed(monkeypatch):
    writer = Writer(Settings(source="tinylm"), folder=BUILD)
    store = writer._machine.store

    def damaged(matrices, bits):
        stored = store(matrices, bits)
        stored["lm_head"].image[5000] ^= 1
        return stored

    monkeypatch.setattr(writer._machine, "store", damaged)
    with pytest.raises(MismatchError, match=r"^model\.layers\.0\..*: .* differ from golden"):
        list(writer.write("She ", 1))


def run(capfd, *arguments):
    capfd.readouterr()
    code = main(["generate-text", *(str(argument) for argument in arguments)])
    return code, *capfd.readouterr()


def test_command(capfd, tmp_path, monkeypatch):
    energy = tmp_path / "pe.json"
    rows = [("Anda", 8, 6.0), ("Anda", 4, 3.5), ("FIGNA", 6, 1.0)]
    names = ("name", "mantissa_bits", "energy_pj_per_mac")
    energy.write_text(json.dumps({"rows": [dict(zip(names, row, strict=True)) for row in rows]}))
    asked = ("--prompt", "She ", "--count", 3, "--on", "golden", "--mantissa-bits", 6)
    code, output, _ = run(capfd, *asked, "--energy", energy, "--json")
    assert code == 0
    result = json.loads(output)
    expected = steps("She ", 3, source="tinylm", on="golden", precision=Precision.of((6,) * 4))
    assert result["tokens"] == [s.token for s in expected]
    assert result["text"] == "".join(s.text for s in expected)
    (row,) = result["rows"]
    assert row.keys() == {"kind", "tokens", "tokens_per_second"}
    assert row["tokens"] == 3
    code, output, _ = run(capfd, *asked)
    assert code == 0
    assert output.startswith("She " + result["text"] + "\n")

    def differ(writer, prompt, count, **options):
        raise MismatchError("one bit")
        yield

    monkeypatch.setattr(Writer, "write", differ)
    code, _, error = run(capfd, *asked)
    assert (code, error) == (1, "\nlamina: one bit\n")


def test_energy():
    energy = Energy({4: 3.5, 8: 6.0})
    assert energy.memory(1e6) == pytest.approx(31.2)
    assert energy.compute({4: 1e6, 5: 1e6}) == pytest.approx(9.5)
    assert energy.compute({9: 1}) is None
    assert energy.compute({0: 1}) is None, "PacQ's were not measured"


@pytest.mark.parametrize(
    ("length", "energy"), [(8.9, 1.0), (True, 1.0), (17, 1.0), (8, True), (8, -3), (8, "1")]
)
def test_energy_refuses(tmp_path, length, energy):
    row = {"name": "Anda", "mantissa_bits": length, "energy_pj_per_mac": energy}
    path = tmp_path / "pe.json"
    path.write_text(json.dumps({"rows": [row]}))
    with pytest.raises(ValueError, match="must hold energies of Anda"):
        Energy.load(path)
    for text in ("[" * 100000, '{"rows": [{"name": "Anda", "mantissa_bits": 1e999}]}', "[]"):
        path.write_text(text)
        with pytest.raises(ValueError, match="must hold energies of Anda"):
            Energy.load(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", 0], "--count must be at least 1, not 0"),
        (["--prompt", ""], "The prompt must have at least one token"),
        (["--seed", -1], "seed must not be negative"),
        (["--temperature", "nan"], "temperature must not be negative"),
        (["--prompt", "\t"], "Text must consist of the 81 characters"),
        (["--temperature", -1], "temperature must not be negative"),
        (["--engine", "pacq", "--mantissa-bits", 4], "--mantissa-bits is Anda's"),
        (["--mantissa-bits", 17], "mantissa_bits must be between 1 and 16"),
        (["--planes", 5], "planes must be between 1 and 4, not 5"),
        (["--weight-bits", 9], "bits must be between 2 and 8"),
        (["--engine", "pacq", "--weight-bits", 3], "bits must be"),
        (["--scale-group", 96], "scale_group must be a multiple of 64"),
        (["--scale-group", -5], "scale_group must be 0 or between 32 and 256"),
        (["--checkpoint", "nowhere"], "nowhere"),
        (["--config", "nothing"], "nothing"),
        (["--tokenizer", "nothing.json"], "nothing.json"),
        (["--energy", "nothing.json"], "nothing.json"),
        (["--energy", __file__], "must hold energies of Anda"),
        (["--precision", "nothing.json"], "nothing.json"),
    ],
)
def test_refusals(capfd, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    asked = ("--prompt", "She ", "--count", 1, "--on", "golden")
    code, output, error = run(capfd, *asked, *arguments)
    assert (code, output) == (2, "")
    assert error.count("\n") == 1
    assert message in error


def test_refused_precisions(capfd, tmp_path):
    file = tmp_path / "precision.json"
    for reading, rows in (("midpoint", None), ("truncate", 8)):
        precision = Precision.of((8,) * 4, planes={"lm_head": [3]}, rows=rows, reading=reading)
        file.write_text(json.dumps(precision.to_json()))
        code, _, error = run(capfd, "--prompt", "She ", "--precision", file)
        assert code == 2
        assert "one number of planes for a whole product" in error
    for precision, sentence in (
        (Precision.of((8,) * 8), "of a model of 2 layers, not of 3"),
        (Precision.of((8,) * 4, planes={"model.layers.3.fc1": [2]}), "names model.layers.3.fc1"),
    ):
        file.write_text(json.dumps(precision.to_json()))
        code, _, error = run(capfd, "--prompt", "She ", "--precision", file)
        assert code == 2
        assert sentence in error
    code, _, error = run(capfd, "--prompt", "She ", "--precision", file, "--weight-bits", 4)
    assert (code, error) == (2, "lamina: --weight-bits and --scale-group: --precision has them.\n")
