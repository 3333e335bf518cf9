"""The NumPy forward pass against plain Python lists, and the bundled model against its record."""

import cmath
import json
import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lamina_sim.workload import tinylm
from lamina_sim.workload.config import Config
from lamina_sim.workload.decoder import loss, matmul
from lamina_sim.workload.generation import generate
from lamina_sim.workload.llama import Llama

DOCS = Path(__file__).parents[2] / "docs"
SHAPES = [
    {"num_attention_heads": 4, "num_key_value_heads": 2},
    {"num_attention_heads": 2, "num_key_value_heads": 2, "tie_word_embeddings": True},
    {"num_attention_heads": 4, "num_key_value_heads": 1, "rope_theta": 100.0},
]


def tiny(seed=0, **changes):
    """A random model with weights large enough that every part shows in the logits."""
    config = Config(
        **{
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 11,
            "max_position_embeddings": 9,
            **changes,
        }
    )
    random = np.random.default_rng(seed)
    return Llama(
        config,
        {
            name: random.normal(0.5 if len(shape) == 1 else 0, 0.5, shape).astype(np.float32)
            for name, shape in config.shapes.items()
        },
    )


class PlainLlama:
    """The same model in lists of Python floats: one position at a time, rotations as complex."""

    def __init__(self, model):
        self.config = model.config
        self.tensors = {name: weight.tolist() for name, weight in model.weights.items()}

    def product(self, name, x):
        return [sum(a * b for a, b in zip(row, x, strict=True)) for row in self.tensors[name]]

    def norm(self, name, x):
        size = math.sqrt(sum(v * v for v in x) / len(x) + self.config.rms_norm_eps)
        return [v / size * g for v, g in zip(x, self.tensors[name], strict=True)]

    def heads(self, x, position=None):
        dim, half = self.config.head_dim, self.config.head_dim // 2
        split = [x[i : i + dim] for i in range(0, len(x), dim)]
        if position is None:
            return split
        turned = []
        for head in split:
            pairs = []
            for i in range(half):
                angle = position / self.config.rope_theta ** (2 * i / dim)
                pairs.append(complex(head[i], head[i + half]) * cmath.rect(1, angle))
            turned.append([z.real for z in pairs] + [z.imag for z in pairs])
        return turned

    def attend(self, query, keys, values):
        scores = [
            sum(a * b for a, b in zip(query, key, strict=True)) / math.sqrt(len(query))
            for key in keys
        ]
        weights = [math.exp(s) for s in scores]
        return [
            sum(w * value[i] for w, value in zip(weights, values, strict=True)) / sum(weights)
            for i in range(len(query))
        ]

    def logits(self, tokens):
        config = self.config
        xs = [list(self.tensors["model.embed_tokens.weight"][token]) for token in tokens]
        for index in range(config.num_hidden_layers):
            layer = f"model.layers.{index}"
            keys, values = [], []
            for position, x in enumerate(xs):
                y = self.norm(f"{layer}.input_layernorm.weight", x)
                project = f"{layer}.self_attn.{{}}_proj.weight".format
                queries = self.heads(self.product(project("q"), y), position)
                keys.append(self.heads(self.product(project("k"), y), position))
                values.append(self.heads(self.product(project("v"), y)))
                mixed = []
                for head, query in enumerate(queries):
                    kv = head * config.num_key_value_heads // config.num_attention_heads
                    mixed += self.attend(query, [k[kv] for k in keys], [v[kv] for v in values])
                x = [a + b for a, b in zip(x, self.product(project("o"), mixed), strict=True)]
                y = self.norm(f"{layer}.post_attention_layernorm.weight", x)
                gate = self.product(f"{layer}.mlp.gate_proj.weight", y)
                up = self.product(f"{layer}.mlp.up_proj.weight", y)
                inner = [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up, strict=True)]
                down = self.product(f"{layer}.mlp.down_proj.weight", inner)
                xs[position] = [a + b for a, b in zip(x, down, strict=True)]
        head = "model.embed_tokens" if config.tie_word_embeddings else "lm_head"
        return [self.product(f"{head}.weight", self.norm("model.norm.weight", x)) for x in xs]


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_equals_plain_python(shape):
    model = tiny(**shape)
    tokens = [3, 1, 4, 1, 5, 9, 2, 6, 10]
    expected = np.array(PlainLlama(model).logits(tokens))
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(model.forward(tokens), expected, rtol=2e-5, atol=2e-5)


def test_rows_are_independent_and_positions_causal():
    model = tiny()
    tokens = np.random.default_rng(2).integers(0, 11, (2, 3, 9))
    together = model.forward(tokens)
    assert together.shape == (2, 3, 9, 11)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together[1, 2], model.forward(tokens[1, 2]), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        together[0, 0, :5], model.forward(tokens[0, 0, :5]), rtol=1e-5, atol=1e-5
    )


def test_linear_replaces_every_product():
    model = tiny()
    seen = []

    def linear(name, x, weight):
        assert x.shape == (10, weight.shape[1])
        assert weight is model.weights[f"{name}.weight"]
        seen.append(name)
        return matmul(name, x, weight)

    tokens = np.arange(10).reshape(2, 5)
    np.testing.assert_array_equal(model.forward(tokens, linear=linear), model.forward(tokens))
    products = [name for name, shape in model.config.shapes.items() if len(shape) == 2]
    assert sorted(f"{name}.weight" for name in seen) == sorted(products[1:])  # [0] is the embedding
    for name in seen:  # doubling any one product must show in the logits
        changed = model.forward(
            tokens, linear=lambda n, x, w, name=name: matmul(n, x, w) * (1 + (n == name))
        )
        assert np.abs(changed - model.forward(tokens)).max() > 1e-3, name


def test_loss_is_the_mean_over_windows():
    model = tiny()
    tokens = np.random.default_rng(3).integers(0, 11, 9 * 40 + 5)
    expected = []
    for start in range(0, 9 * 40, 9):
        for row, target in zip(
            PlainLlama(model).logits(tokens[start : start + 9].tolist()),
            tokens[start + 1 : start + 10],
            strict=True,
        ):
            expected.append(math.log(sum(map(math.exp, row))) - row[target])
    assert loss(model, tokens) == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    with pytest.raises(ValueError, match="more than 9 tokens, not 9"):
        loss(model, tokens[:9])


def test_greedy_takes_the_most_likely_and_sampling_follows_the_seed():
    model = tiny()
    tokens, start = [1, 2], 0
    for token in generate(model, [1, 2], 30):
        # A full context of 9 is read anew from its last half on.
        start = len(tokens) - 4 if len(tokens) - start > 9 else start
        assert token == model.forward(tokens[start:])[-1].argmax()
        tokens.append(token)
    assert len(tokens) == 32

    def draw(seed, temperature=5.0):
        return list(generate(model, [1], 30, temperature=temperature, seed=seed))

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert draw(7, 1e-6) == list(generate(model, [1], 30))
    assert max(generate(model, [1], 60, temperature=50.0, vocabulary=4)) == 3


@pytest.mark.parametrize(
    ("tokens", "error", "sentence"),
    [
        ([11], ValueError, "between 0 and 10, not 11 to 11"),
        ([-1], ValueError, "between 0 and 10"),
        ([0] * 10, ValueError, "1 to 9 per sequence"),
        ([], TypeError, "must be integers"),
        (np.zeros(0, dtype=int), ValueError, "1 to 9 per sequence"),
        ([1.0], TypeError, "must be integers, not float64"),
    ],
)
def test_bad_tokens(tokens, error, sentence):
    with pytest.raises(error, match=sentence):
        tiny().forward(tokens)


def test_load_refuses_what_it_would_compute_wrongly(tmp_path):
    model = tiny()
    entries = model.config.to_json()
    assert Config.from_json(json.loads(json.dumps(entries))) == model.config
    for key, value in {
        "rope_scaling": {"type": "linear"},
        "hidden_act": "gelu",
        "attention_bias": True,
        "head_dim": 8,
        "num_attention_heads": 3,
        "num_hidden_layers": 0,
    }.items():
        with pytest.raises(ValueError, match=f"{key}.*, not "):
            Config.from_json({**entries, key: value})
    del entries["hidden_size"]
    with pytest.raises(ValueError, match="hidden_size"):
        Config.from_json(entries)

    (tmp_path / "config.json").write_text(json.dumps(model.config.to_json()))
    weights = {name: weight.astype(np.float16) for name, weight in model.weights.items()}
    save_file(weights, tmp_path / "model.safetensors")
    loaded = Llama.load(tmp_path)
    assert all(np.array_equal(loaded.weights[name], weights[name]) for name in weights)
    for wrong in ({"lm_head.weight": np.zeros((2, 2), np.float16)}, {"extra": np.zeros(1)}):
        save_file({**weights, **wrong}, tmp_path / "model.safetensors")
        with pytest.raises(ValueError, match=f"Tensor {next(iter(wrong))} must have shape"):
            Llama.load(tmp_path)


def test_text_and_vocabulary():
    text = tinylm.text.reflow("One  two\nthree. \n\n\n Four\t\n five\n")
    assert text == "One two three.\nFour five"
    vocabulary = tinylm.Vocabulary.of(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    with pytest.raises(ValueError, match="not 'xß'"):
        vocabulary.encode("xßn")
    with pytest.raises(ValueError, match=f"between 0 and {len(vocabulary) - 1}"):
        vocabulary.decode([len(vocabulary)])


def test_bundled_model_is_small_and_padded():
    path = tinylm.FOLDER / "model.safetensors"
    assert path.stat().st_size < 1_500_000
    for name, tensor in load_file(path).items():
        assert tensor.dtype == np.float16, name
        assert np.isfinite(tensor).all(), name
        assert all(size % 64 == 0 for size in tensor.shape), name
    model, vocabulary = tinylm.load()
    assert len(vocabulary) <= model.config.vocab_size
    assert json.loads((tinylm.FOLDER / "config.json").read_text()) == model.config.to_json()


def test_bundled_model_has_the_documented_loss():
    model, vocabulary = tinylm.load()
    record = json.loads((tinylm.FOLDER / "evaluation.json").read_text())
    nats = loss(model, vocabulary.encode(tinylm.heldout()))
    assert nats == pytest.approx(record["heldout_nats_per_character"], abs=1e-3)
    bits = record["heldout_bits_per_character"]
    assert nats / math.log(2) == pytest.approx(bits, abs=2e-3)


def test_docs_state_what_was_recorded():
    page = (DOCS / "tinylm.md").read_text()
    record = json.loads((tinylm.FOLDER / "evaluation.json").read_text())
    nats, bits = record["heldout_nats_per_character"], record["heldout_bits_per_character"]
    assert f"Held-out loss: {nats} nats ({bits} bits) per character." in page
    for name, groups in record["heldout_nats_with_quantized_weights"].items():
        assert f"| {name.upper()} | {groups['group64']:.4f} | {groups['group128']:.4f} |" in page
    training = json.loads((tinylm.FOLDER / "training.json").read_text())
    assert f"| parameters | {training['parameters']:,} |" in page
    for row in training["log"]:
        assert f"| {row['step']} | {row['train']:.4f} | {row['heldout']:.4f} |" in page
    prose = " ".join(page.split())
    for kind in ("greedy", "sampled"):
        assert " ".join((record[kind]["prompt"] + record[kind]["text"]).split()) in prose


def test_bundled_model_samples_the_recorded_text():
    model, vocabulary = tinylm.load()
    record = json.loads((tinylm.FOLDER / "evaluation.json").read_text())
    for kind in ("greedy", "sampled"):
        sample = record[kind]
        # The first words only: further on, a last bit of another BLAS may tip a near tie.
        text = sample["text"][:24]
        tokens = generate(
            model,
            vocabulary.encode(sample["prompt"]),
            len(text),
            temperature=sample["temperature"],
            seed=sample["seed"],
            vocabulary=len(vocabulary),
        )
        assert vocabulary.decode(list(tokens)) == text
