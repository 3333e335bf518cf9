"""Llama-style transformer in NumPy float32, with every matrix product open to replacement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from lamina_sim.workload.attention import KeyValues, attend, join_heads, split_heads
from lamina_sim.workload.config import Config
from lamina_sim.workload.decoder import (
    Decoder,
    Linear,
    Tokens,
)
from lamina_sim.workload.rope import rotate
from lamina_sim.workload.safetensors_file import open_folder
from lamina_sim.workload.tensors import Float


@dataclass(frozen=True)
class Llama(Decoder):
    """Decoder of RMSNorm, rotary positions, grouped-query attention and SwiGLU.

    Members
        config   shape of the model
        weights  float32 tensors under their Hugging Face names, matrices [out, in]

    The rest is as `Decoder` says.
    """

    PREFIX = "model.layers"
    PRODUCTS: ClassVar[Mapping[str, str]] = {
        "self_attn.q_proj": "qkv",
        "self_attn.k_proj": "qkv",
        "self_attn.v_proj": "qkv",
        "self_attn.o_proj": "o",
        "mlp.gate_proj": "u",
        "mlp.up_proj": "u",
        "mlp.down_proj": "d",
    }

    config: Config
    weights: Mapping[str, Float]

    @property
    def context(self) -> int:
        """Tokens that a sequence may have; dynamic rotary positions stretch the config's."""
        stretch = self.config.rope.factor if self.config.rope.kind == "dynamic" else 1
        return int(self.config.max_position_embeddings * stretch)

    @classmethod
    def load(cls, folder: Path) -> Llama:
        """Read config.json and the safetensors of a folder into memory."""
        config = Config.from_json(json.loads((folder / "config.json").read_text("utf-8")))
        return cls(config, {name: tensor.float32() for name, tensor in open_folder(folder).items()})

    def embed(self, ids: Tokens, start: int = 0) -> Float:
        """x [rows * t, hidden] of token ids [rows, t]; positions turn the heads instead."""
        return self.weights["model.embed_tokens.weight"][ids.reshape(-1)]

    def layer(
        self, index: int, x: Float, length: int, linear: Linear, past: KeyValues | None = None
    ) -> Float:
        """Attention and feed-forward part, each after a norm and beside the state."""
        layer = f"{self.PREFIX}.{index}"
        normed = self._norm(f"{layer}.input_layernorm", x)
        x = x + self._attention(index, normed, linear, length, past)
        normed = self._norm(f"{layer}.post_attention_layernorm", x)
        return x + self._mlp(f"{layer}.mlp", normed, linear)

    @property
    def head_weight(self) -> Float:
        """Weight [vocab_size, hidden] of the product "lm_head"."""
        name = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        return self.weights[f"{name}.weight"]

    def head(self, x: Float, linear: Linear) -> Float:
        """Logits [m, vocab_size] of x [m, hidden]."""
        return linear("lm_head", self._norm("model.norm", x), self.head_weight)

    def _product(self, name: str, x: Float, linear: Linear) -> Float:
        return linear(name, x, self.weights[f"{name}.weight"])

    def _norm(self, name: str, x: Float) -> Float:
        power = np.mean(x * x, axis=-1, keepdims=True)
        epsilon = np.float32(self.config.rms_norm_eps)
        return x / np.sqrt(power + epsilon) * self.weights[f"{name}.weight"]

    def _attention(
        self, index: int, x: Float, linear: Linear, length: int, past: KeyValues | None
    ) -> Float:
        config, name = self.config, f"{self.PREFIX}.{index}.self_attn"
        query, key, value = (
            split_heads(self._product(f"{name}.{kind}_proj", x, linear), length, config.head_dim)
            for kind in "qkv"
        )
        if past:
            key, value = past.extended(index, key, value)
        cos, sin = config.rope.turns(
            key.shape[2], config.head_dim, config.rope_theta, config.max_position_embeddings
        )
        query = rotate(query, (cos[-length:], sin[-length:])) / np.float32(np.sqrt(config.head_dim))
        mixed = attend(query, rotate(key, (cos, sin)), value)
        return self._product(f"{name}.o_proj", join_heads(mixed), linear)

    def _mlp(self, name: str, x: Float, linear: Linear) -> Float:
        gate = self._product(f"{name}.gate_proj", x, linear)
        up = self._product(f"{name}.up_proj", x, linear)
        # exp overflows to infinity for a very negative gate; the quotient is then -0, as it should.
        with np.errstate(over="ignore"):
            inner = gate / (1 + np.exp(-gate)) * up
        return self._product(f"{name}.down_proj", inner, linear)
