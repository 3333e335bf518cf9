"""Checkpoints that are damaged, cut short, too large or of another kind: one sentence each."""

import json
import shutil
import struct

import numpy as np
import pytest

from lamina_sim.workload import checkpoint, tokenizers
from tb.workload import checkpoints


@pytest.fixture
def folder(tmp_path, rng):
    tensors = checkpoints.llama_tensors(checkpoints.LLAMA, rng)
    return checkpoints.write_folder(tmp_path / "model", checkpoints.LLAMA, tensors)


def config(**changes):
    def change(folder):
        entries = checkpoints.LLAMA | changes
        (folder / "config.json").write_text(json.dumps(entries))

    return change


def header(edit):
    """A change of the header of model.safetensors; what `edit` returns is written for it."""

    def change(folder):
        path = folder / "model.safetensors"
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        text = edit(json.loads(data[8 : 8 + length]))
        text = text if isinstance(text, bytes) else json.dumps(text).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])

    return change


def entry(**changes):
    return header(lambda h: h | {"model.norm.weight": h["model.norm.weight"] | changes})


def rest(name, edit):
    def change(folder):
        path = folder / name
        path.write_bytes(edit(path.read_bytes()))

    return change


def sharded(edit):
    def change(folder):
        tensors = checkpoints.llama_tensors(checkpoints.LLAMA, np.random.default_rng(1))
        shutil.rmtree(folder)
        checkpoints.write_folder(folder, checkpoints.LLAMA, tensors, shards=2)
        index = folder / "model.safetensors.index.json"
        edit(folder, index, json.loads(index.read_text()))

    return change


FIRST = "model-00001-of-00002.safetensors"
DAMAGE = {
    "no config": (lambda f: (f / "config.json").unlink(), "No such file"),
    "config no JSON": (lambda f: (f / "config.json").write_text("{"), "must be a JSON file"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "hold a JSON object"),
    "config binary": (lambda f: (f / "config.json").write_bytes(b"\xff\0"), "must be a JSON file"),
    "architecture": (config(model_type="gpt2"), "llama or opt, not 'gpt2'"),
    "OPT for Llama": (config(model_type="opt"), "keys of an OPT model"),
    "activation": (config(hidden_act="gelu"), "hidden_act must be silu"),
    "rope": (config(rope_scaling={"type": "yarn", "factor": 2}), "not 'yarn'"),
    "text for size": (config(hidden_size="32"), "positive integer, not '32'"),
    "too many layers": (config(num_hidden_layers=10**9), "at most 1000, not 1000000000"),
    "a layer missing": (config(num_hidden_layers=3), r"model.layers.2\..* not None"),
    "a layer too many": (config(num_hidden_layers=1), "must have shape None"),
    "another width": (config(intermediate_size=64), r"must have shape \(64, 32\), not \(48, 32\)"),
    "huge": (config(vocab_size=10**15), r"\(1000000000000000, 32\), not \(19, 32\)"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "must hold model.safetensors"),
    "empty": (rest("model.safetensors", lambda d: b""), "header is cut short"),
    "cut in the header": (rest("model.safetensors", lambda d: d[:50]), "header is cut short"),
    "cut in the data": (rest("model.safetensors", lambda d: d[:-9]), "it is cut short"),
    "no safetensors": (rest("model.safetensors", lambda d: b"PK\3\4" * 99), "header is cut short"),
    "header no JSON": (header(lambda h: b"\x80{{"), "header is no JSON"),
    "header a list": (header(lambda h: b"[]"), "no JSON object"),
    "unknown type": (entry(dtype="F8_E4M3"), "not F8_E4M3"),
    "integer weights": (entry(dtype="I32"), "must be F32, F16 or BF16, not I32"),
    "no shape": (entry(shape=None), "a dtype, a shape and two data_offsets"),
    "negative shape": (entry(shape=[-32]), "a dtype, a shape and two data_offsets"),
    "wrong shape": (entry(shape=[31]), r"bytes of shape \(31,\)"),
    "beyond the file": (entry(data_offsets=[10**12, 10**12 + 128]), "it is cut short"),
    "shard missing": (sharded(lambda f, i, e: (f / FIRST).unlink()), "which its index names"),
    "tensor not in shard": (
        sharded(
            lambda f, i, e: i.write_text(
                json.dumps({"weight_map": dict.fromkeys(e["weight_map"], FIRST)})
            )
        ),
        "as the index says",
    ),
    "shard outside": (
        sharded(lambda f, i, e: i.write_text('{"weight_map": {"x": "../x.safetensors"}}')),
        "files of its own folder",
    ),
    "index empty": (sharded(lambda f, i, e: i.write_text("{}")), "weight_map of file names"),
    "tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "must be a tokenizer.json"),
    "vocabulary": (lambda f: (f / "vocabulary.json").write_text('"aa"'), "distinct characters"),
}


def open_and_use(path):
    return checkpoint.load(path).model.forward([1, 2, 3])


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_folder(case, folder):
    damage, sentence = DAMAGE[case]
    open_and_use(folder)
    damage(folder)
    with pytest.raises((ValueError, OSError), match=sentence) as caught:
        open_and_use(folder)
    assert "\n" not in str(caught.value)


def numbers(**changes):
    names = ("dim", "hidden", "layers", "heads", "kv", "vocabulary", "length")

    def edit(data):
        values = dict(zip(names, struct.unpack("<7i", data[:28]), strict=True)) | changes
        return struct.pack("<7i", *values.values()) + data[28:]

    return edit


DAMAGED_BIN = {
    "empty": (lambda d: b"", "seven numbers"),
    "cut": (lambda d: d[:-4], "must have .* bytes, as its header says"),
    "longer": (lambda d: d + b"\0", "must have .* bytes, as its header says"),
    "later format": (lambda d: struct.pack("<i", 0x616B3432) + d[4:], "legacy float header"),
    "negative": (numbers(layers=-2), "num_hidden_layers must be a positive integer, not -2"),
    "zero": (numbers(vocabulary=0), "vocab_size must be a positive integer, not 0"),
    "odd heads": (numbers(heads=5), "multiple of num_attention_heads"),
    "huge": (numbers(dim=1 << 30, length=1 << 30), "must have .* bytes, as its header says"),
}


@pytest.mark.parametrize("case", DAMAGED_BIN)
def test_damaged_llama2c(case, tmp_path, rng):
    edit, sentence = DAMAGED_BIN[case]
    tensors = checkpoints.llama_tensors(checkpoints.LLAMA, rng)
    path = checkpoints.write_llama2c(tmp_path / "model.bin", checkpoints.LLAMA, tensors)
    path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(ValueError, match=sentence) as caught:
        open_and_use(path)
    assert "\n" not in str(caught.value)


def test_neither_folder_nor_bin(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "none")
    (tmp_path / "model.pth").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"Hugging Face folder or a llama2\.c \.bin"):
        checkpoint.load(tmp_path / "model.pth")


def test_tokenizer_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="needs the package tokenizers: pip install"):
        tokenizers.load(tmp_path / "tokenizer.json")
