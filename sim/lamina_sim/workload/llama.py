"""Llama-style transformer in NumPy float32, with every matrix product open to replacement."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from lamina_sim.workload.config import Config

Float = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]
# linear(name, x [m, in], weight [out, in]) -> y [m, out], all float32; `name` is the Hugging Face
# module name, such as "model.layers.0.mlp.up_proj" or "lm_head".
Linear = Callable[[str, Float, Float], Float]


def matmul(name: str, x: Float, weight: Float) -> Float:
    """The default `Linear`: float32 in the order that the BLAS at hand sums in."""
    return x @ weight.T


@dataclass(frozen=True)
class Llama:
    """Decoder of RMSNorm, rotary positions, grouped-query attention and SwiGLU.

    Members
        config   shape of the model
        weights  float32 tensors under their Hugging Face names, matrices [out, in]

    Every matrix product with weights goes through the `linear` argument of the methods, so that
    a caller can run it on a golden model or on hardware; the rest is float32.
    """

    config: Config
    weights: Mapping[str, Float]

    def __post_init__(self) -> None:
        shapes = {name: weight.shape for name, weight in self.weights.items()}
        expected = self.config.shapes
        for name in expected | shapes:
            if shapes.get(name) != expected.get(name):
                raise ValueError(
                    f"Tensor {name} must have shape {expected.get(name)}, not {shapes.get(name)}."
                )
            if self.weights[name].dtype != np.float32:
                raise TypeError(f"Tensor {name} must be float32, not {self.weights[name].dtype}.")

    @classmethod
    def load(cls, folder: Path) -> Llama:
        """Read config.json and model.safetensors (float16 or float32) of a folder."""
        config = Config.from_json(json.loads((folder / "config.json").read_text("utf-8")))
        tensors = load_file(folder / "model.safetensors")
        return cls(config, {name: tensor.astype(np.float32) for name, tensor in tensors.items()})

    def forward(self, tokens: npt.ArrayLike, *, linear: Linear = matmul) -> Float:
        """Logits float32 [..., t, vocab_size] of token ids [..., t], one sequence per row.

        The matrix products see all rows at once: x [rows * t, in], rows and positions in order.
        """
        ids = self._checked(tokens)
        # Positions stay flat, [rows * t, hidden], which is the shape that `linear` takes.
        x = self.weights["model.embed_tokens.weight"][ids.reshape(-1)]
        for i in range(self.config.num_hidden_layers):
            layer = f"model.layers.{i}"
            normed = self._norm(f"{layer}.input_layernorm", x)
            x = x + self._attention(f"{layer}.self_attn", normed, linear, ids.shape[-1])
            normed = self._norm(f"{layer}.post_attention_layernorm", x)
            x = x + self._mlp(f"{layer}.mlp", normed, linear)
        head = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        x = self._norm("model.norm", x)
        return linear("lm_head", x, self.weights[f"{head}.weight"]).reshape(*ids.shape, -1)

    def _checked(self, tokens: npt.ArrayLike) -> Tokens:
        ids = np.asarray(tokens)
        if not np.issubdtype(ids.dtype, np.integer):
            raise TypeError(f"tokens must be integers, not {ids.dtype}.")
        limit = self.config.max_position_embeddings
        if ids.ndim < 1 or not 1 <= ids.shape[-1] <= limit:
            raise ValueError(f"tokens must be 1 to {limit} per sequence, not shape {ids.shape}.")
        if ids.size and not (ids.min() >= 0 and ids.max() < self.config.vocab_size):
            raise ValueError(
                f"tokens must be between 0 and {self.config.vocab_size - 1}, "
                f"not {ids.min()} to {ids.max()}."
            )
        return ids

    def _norm(self, name: str, x: Float) -> Float:
        power = np.mean(x * x, axis=-1, keepdims=True)
        epsilon = np.float32(self.config.rms_norm_eps)
        return x / np.sqrt(power + epsilon) * self.weights[f"{name}.weight"]

    def _attention(self, name: str, x: Float, linear: Linear, length: int) -> Float:
        config = self.config

        def heads(kind: str) -> Float:
            y = linear(f"{name}.{kind}_proj", x, self.weights[f"{name}.{kind}_proj.weight"])
            return y.reshape(-1, length, y.shape[1] // config.head_dim, config.head_dim).transpose(
                0, 2, 1, 3
            )

        shared = config.num_attention_heads // config.num_key_value_heads
        query = _rotate(heads("q"), config.rope_theta)
        key = np.repeat(_rotate(heads("k"), config.rope_theta), shared, axis=1)
        value = np.repeat(heads("v"), shared, axis=1)
        scores = query @ key.swapaxes(2, 3) / np.float32(np.sqrt(config.head_dim))
        future = np.triu(np.ones((length, length), dtype=bool), 1)
        scores = np.where(future, np.float32(-np.inf), scores)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = scores / scores.sum(-1, keepdims=True) @ value
        mixed = mixed.transpose(0, 2, 1, 3).reshape(x.shape)
        return linear(f"{name}.o_proj", mixed, self.weights[f"{name}.o_proj.weight"])

    def _mlp(self, name: str, x: Float, linear: Linear) -> Float:
        gate = linear(f"{name}.gate_proj", x, self.weights[f"{name}.gate_proj.weight"])
        up = linear(f"{name}.up_proj", x, self.weights[f"{name}.up_proj.weight"])
        # exp overflows to infinity for a very negative gate; the quotient is then -0, as it should.
        with np.errstate(over="ignore"):
            inner = gate / (1 + np.exp(-gate)) * up
        return linear(f"{name}.down_proj", inner, self.weights[f"{name}.down_proj.weight"])


def _rotate(x: Float, theta: float) -> Float:
    """Rotary positions for x [..., t, dim]; element i of a head turns with element i + dim / 2."""
    length, dim = x.shape[-2:]
    angles = np.outer(np.arange(length), theta ** (-np.arange(0, dim, 2) / dim))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    low, high = x[..., : dim // 2], x[..., dim // 2 :]
    return np.concatenate((low * cos - high * sin, high * cos + low * sin), axis=-1)


def loss(model: Llama, tokens: npt.ArrayLike, *, linear: Linear = matmul) -> float:
    """Mean cross entropy, in nats per token, of a text int64 [n].

    The text is cut into windows of max_position_embeddings tokens, without overlap; each token
    of a window is predicted from those before it, and a short last window is dropped.
    """
    ids, context = np.asarray(tokens), model.config.max_position_embeddings
    count = (len(ids) - 1) // context
    if count < 1:
        raise ValueError(f"A text must have more than {context} tokens, not {len(ids)}.")
    inputs = ids[: count * context].reshape(count, context)
    targets = ids[1 : count * context + 1].reshape(count, context)
    total = 0.0
    for start in range(0, count, 32):  # so many windows at a time bound the memory
        rows = slice(start, start + 32)
        logits = model.forward(inputs[rows], linear=linear).astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        picked = np.take_along_axis(logits, targets[rows, :, None], -1)[..., 0]
        total += float((np.log(np.exp(logits).sum(-1)) - picked).sum())
    return total / (count * context)


def generate(
    model: Llama,
    prompt: npt.ArrayLike,
    count: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    vocabulary: int | None = None,
    linear: Linear = matmul,
) -> Tokens:
    """`count` token ids int64 that continue a prompt of token ids [t], t >= 1.

    Temperature 0 takes the most likely token, anything above draws with `seed`. Only ids
    below `vocabulary` are taken: pass the size of the tokenizer where vocab_size is padded.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must not be negative, not {temperature}.")
    random = np.random.default_rng(seed)
    tokens = [int(token) for token in np.asarray(prompt)]
    start = len(tokens)
    for _ in range(count):
        recent = np.array(tokens[-model.config.max_position_embeddings :], dtype=np.int64)
        logits = model.forward(recent, linear=linear)[-1, :vocabulary].astype(np.float64)
        if temperature == 0:
            tokens.append(int(logits.argmax()))
            continue
        weights = np.exp((logits - logits.max()) / temperature)
        tokens.append(int(random.choice(len(weights), p=weights / weights.sum())))
    return np.array(tokens[start:], dtype=np.int64)
