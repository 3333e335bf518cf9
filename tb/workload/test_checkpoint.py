"""Readers of float checkpoints against a second implementation, on models made here."""

from itertools import pairwise

import numpy as np
import pytest

from lamina_sim.workload import checkpoint, tinylm
from lamina_sim.workload.attention import KeyValues
from lamina_sim.workload.decoder import matmul
from lamina_sim.workload.tensors import LazyTensors
from tb.workload import checkpoints, plain

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 18, 0, 7]
LONG = [*TOKENS, *TOKENS[::-1]]


def agree(model, expected, tokens=TOKENS):
    """The largest error of a logit is 1e-4 of the largest logit at most."""
    logits = model.forward(tokens)
    assert logits.dtype == np.float32
    assert np.abs(expected).max() > 1
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()
    if len(tokens) <= len(TOKENS):
        np.testing.assert_allclose(in_pieces(model, tokens), logits, rtol=0, atol=1e-4)


def in_pieces(model, tokens):
    """The logits of tokens that are read one by one at last, beside what was read before."""
    past, cuts = KeyValues(), [0, 4, *range(6, len(tokens) + 1)]
    states = [model.states(tokens[start:stop], past=past) for start, stop in pairwise(cuts)]
    assert past.length == len(tokens)
    return model.head(np.concatenate(states), matmul)


LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LLAMAS = {
    "grouped": {},
    "multi head": {"num_key_value_heads": 4},
    "single key head": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "theta": {"rope_theta": 500.0},
    "linear": {"rope_scaling": {"type": "linear", "factor": 2.5}},
    "dynamic": {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
    "llama3": {"rope_scaling": LLAMA3},
    "parameters": {"rope_parameters": {**LLAMA3, "rope_theta": 300.0}, "rope_theta": None},
    "null head_dim": {"head_dim": None, "rope_scaling": None},
}


@pytest.mark.parametrize("name", LLAMAS)
def test_llama_folder(name, tmp_path, rng):
    config = {k: v for k, v in {**checkpoints.LLAMA, **LLAMAS[name]}.items() if v is not None}
    tensors = checkpoints.llama_tensors(config, rng)
    opened = checkpoint.load(checkpoints.write_folder(tmp_path, config, tensors))
    # A dynamic context is longer than the model was trained for.
    tokens = LONG if name == "dynamic" else TOKENS
    agree(opened.model, plain.llama(config, tensors, tokens), tokens)
    assert opened.tokenizer is None
    assert not opened.quantized


def test_rope_variants_differ(tmp_path, rng):
    """Else the test above would not tell them apart."""
    tensors = checkpoints.llama_tensors(checkpoints.LLAMA, rng)
    seen = [
        plain.llama({**checkpoints.LLAMA, **LLAMAS[name]}, tensors, LONG)
        for name in ("grouped", "theta", "linear", "dynamic", "llama3")
    ]
    for i, a in enumerate(seen):
        for b in seen[:i]:
            assert np.abs(a - b).max() > 1e-2 * np.abs(a).max()


OPTS = {
    "125m": {},
    "350m": {"do_layer_norm_before": False, "word_embed_proj_dim": 24},
    "untied": {"tie_word_embeddings": False},
}


@pytest.mark.parametrize("name", OPTS)
def test_opt_folder(name, tmp_path, rng):
    config = checkpoints.OPT | OPTS[name]
    tensors = checkpoints.opt_tensors(config, rng)
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = rng.normal(0, 0.4, (19, 32)).astype(np.float32)
    opened = checkpoint.load(checkpoints.write_folder(tmp_path, config, tensors))
    agree(opened.model, plain.opt(config, tensors, TOKENS))
    several = opened.model.forward([TOKENS, TOKENS[::-1]])
    np.testing.assert_allclose(several[0], opened.model.forward(TOKENS), atol=1e-4)


def test_files_older_than_grouped_queries(tmp_path, rng):
    """They do not say how many heads the keys have: as many as there are queries."""
    config = checkpoints.LLAMA | {"num_key_value_heads": 4}
    tensors = checkpoints.llama_tensors(config, rng)
    for silent in ({**config, "num_key_value_heads": None}, {**config}):
        if silent["num_key_value_heads"]:
            del silent["num_key_value_heads"]
        opened = checkpoint.load(checkpoints.write_folder(tmp_path, silent, tensors))
        agree(opened.model, plain.llama(config, tensors, TOKENS))


def test_opt_without_the_prefix_and_with_a_head_that_is_the_embedding(tmp_path, rng):
    tensors = checkpoints.opt_tensors(checkpoints.OPT, rng)
    bare = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    bare["lm_head.weight"] = tensors["model.decoder.embed_tokens.weight"]
    opened = checkpoint.load(checkpoints.write_folder(tmp_path, checkpoints.OPT, bare))
    agree(opened.model, plain.opt(checkpoints.OPT, tensors, TOKENS))


@pytest.mark.parametrize("shards", [2, 5])
def test_shards(shards, tmp_path, rng):
    tensors = checkpoints.llama_tensors(checkpoints.LLAMA, rng)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(4, np.float32)
    folder = checkpoints.write_folder(tmp_path, checkpoints.LLAMA, tensors, shards)
    assert len(list(folder.glob("*.safetensors"))) == shards
    agree(checkpoint.load(folder).model, plain.llama(checkpoints.LLAMA, tensors, TOKENS))


def test_half_floats(tmp_path, rng):
    tensors = checkpoints.llama_tensors(checkpoints.LLAMA, rng)
    half = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
    folder = checkpoints.write_folder(tmp_path, checkpoints.LLAMA, half)
    agree(checkpoint.load(folder).model, plain.llama(checkpoints.LLAMA, half, TOKENS))
    short = {
        name: (tensor.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        for name, tensor in tensors.items()
    }
    checkpoints.write_bfloat(tmp_path / "model.safetensors", short)
    agree(checkpoint.load(folder).model, plain.llama(checkpoints.LLAMA, short, TOKENS))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_llama2c(tied, kv_heads, tmp_path, rng):
    config = checkpoints.LLAMA | {"tie_word_embeddings": tied, "num_key_value_heads": kv_heads}
    tensors = checkpoints.llama_tensors(config, rng)
    path = checkpoints.write_llama2c(tmp_path / "model.bin", config, tensors)
    opened = checkpoint.load(path)
    agree(opened.model, plain.llama(config, tensors, TOKENS, neighbours=True))
    assert (
        np.abs(
            plain.llama(config, tensors, TOKENS, neighbours=True)
            - plain.llama(config, tensors, TOKENS)
        ).max()
        > 1e-2
    )


def test_nothing_is_read_before_it_is_used(tmp_path, rng):
    """One tensor at a time, so that the largest of them bounds the memory, not the model."""
    tensors = checkpoints.llama_tensors(checkpoints.LLAMA, rng)
    model = checkpoint.load(checkpoints.write_folder(tmp_path, checkpoints.LLAMA, tensors)).model
    assert isinstance(model.weights, LazyTensors)
    name = "model.layers.1.mlp.up_proj.weight"
    assert model.weights[name] is not model.weights[name]
    np.testing.assert_array_equal(model.weights[name], tensors[name])


def test_products_and_their_multiplications(tmp_path, rng):
    for config, make in (
        (checkpoints.LLAMA, checkpoints.llama_tensors),
        (checkpoints.OPT, checkpoints.opt_tensors),
    ):
        folder = tmp_path / config["model_type"]
        model = checkpoint.load(checkpoints.write_folder(folder, config, make(config, rng))).model
        seen = {}

        def linear(name, x, weight, seen=seen):
            seen[name] = weight.size
            return matmul(name, x, weight)

        model.forward(TOKENS, linear=linear)
        assert seen.pop("lm_head")
        assert list(seen) == list(model.products())
        for layer in range(2):
            by_kind = dict.fromkeys(("qkv", "o", "u", "d"), 0)
            for name, kind in model.products().items():
                if model.layer_of(name) == layer:
                    by_kind[kind] += seen[name]
            assert tuple(by_kind.values()) == model.macs


def test_bundled_model():
    opened = checkpoint.load("tinylm")
    model, vocabulary = tinylm.load()
    assert opened.tokenizer == vocabulary
    tokens = vocabulary.encode("It was a fine morning")
    np.testing.assert_array_equal(opened.model.forward(tokens), model.forward(tokens))
