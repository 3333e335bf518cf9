"""OPT in NumPy float32: learned positions, layer norms, ReLU, and a bias on every product."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from lamina_sim.workload.attention import KeyValues, attend, join_heads, split_heads
from lamina_sim.workload.config import check_sizes, check_supported
from lamina_sim.workload.decoder import Decoder, Linear, Tokens
from lamina_sim.workload.tensors import Float

#: The table of positions starts with so many rows that no token uses.
_OFFSET = 2
_EPSILON = np.float32(1e-5)


@dataclass(frozen=True, kw_only=True)
class OptConfig:
    """Shape of the model, under the keys of a Hugging Face OPT config.json.

    ``word_embed_proj_dim``: width of the embedding, with projections to and from the hidden size
    where it differs; ``do_layer_norm_before``: norms before attention and feed-forward part (and
    one at the end) or after them. OPT-350m alone has both the other way.
    """

    hidden_size: int
    ffn_dim: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int
    max_position_embeddings: int
    word_embed_proj_dim: int
    do_layer_norm_before: bool = True
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, tuple(f.name for f in fields(self))[:7])
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_attention_heads "
                f"({self.num_attention_heads}), not {self.hidden_size}."
            )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of the checkpoint."""
        hidden, inner, width = self.hidden_size, self.ffn_dim, self.word_embed_proj_dim
        layer: dict[str, tuple[int, ...]] = {
            **{f"self_attn.{name}_proj": (hidden, hidden) for name in ("q", "k", "v", "out")},
            "self_attn_layer_norm": (hidden,),
            "fc1": (inner, hidden),
            "fc2": (hidden, inner),
            "final_layer_norm": (hidden,),
        }
        shapes: dict[str, tuple[int, ...]] = {
            "model.decoder.embed_tokens.weight": (self.vocab_size, width),
            "model.decoder.embed_positions.weight": (
                self.max_position_embeddings + _OFFSET,
                hidden,
            ),
        }
        if width != hidden:
            shapes["model.decoder.project_in.weight"] = (hidden, width)
            shapes["model.decoder.project_out.weight"] = (width, hidden)
        for i in range(self.num_hidden_layers):
            for name, shape in layer.items():
                shapes[f"model.decoder.layers.{i}.{name}.weight"] = shape
                shapes[f"model.decoder.layers.{i}.{name}.bias"] = shape[:1]
        if self.do_layer_norm_before:
            shapes["model.decoder.final_layer_norm.weight"] = (hidden,)
            shapes["model.decoder.final_layer_norm.bias"] = (hidden,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, width)
        return shapes

    def to_json(self) -> dict[str, Any]:
        """Contents of config.json, with the keys that other readers of the format expect."""
        return {
            "architectures": ["OPTForCausalLM"],
            "model_type": "opt",
            "activation_function": "relu",
            "enable_bias": True,
            "layer_norm_elementwise_affine": True,
            **asdict(self),
        }

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> OptConfig:
        """Config of a config.json; ValueError on what this forward pass does not compute."""
        supported = {
            "model_type": "opt",
            "activation_function": "relu",
            "enable_bias": True,
            "layer_norm_elementwise_affine": True,
            "_remove_final_layer_norm": False,
        }
        check_supported(entries, supported)
        values = {f.name: entries[f.name] for f in fields(cls) if f.name in entries}
        values.setdefault("word_embed_proj_dim", values.get("hidden_size"))
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"config.json must have the keys of an OPT model: {error}.") from None


@dataclass(frozen=True)
class Opt(Decoder):
    """Decoder of layer norms, multi-head attention and a feed-forward part with ReLU.

    Members
        config   shape of the model
        weights  float32 tensors under their Hugging Face names, matrices [out, in]

    The rest is as `Decoder` says.
    """

    PREFIX = "model.decoder.layers"
    PRODUCTS: ClassVar[Mapping[str, str]] = {
        "self_attn.q_proj": "qkv",
        "self_attn.k_proj": "qkv",
        "self_attn.v_proj": "qkv",
        "self_attn.out_proj": "o",
        "fc1": "u",
        "fc2": "d",
    }

    config: OptConfig
    weights: Mapping[str, Float]

    @property
    def context(self) -> int:
        """Tokens that a sequence may have."""
        return self.config.max_position_embeddings

    def embed(self, ids: Tokens, start: int = 0) -> Float:
        """x [rows * t, hidden] of token ids [rows, t]: the embedding plus that of the position."""
        x = self.weights["model.decoder.embed_tokens.weight"][ids.reshape(-1)]
        if "model.decoder.project_in.weight" in self.weights:
            x = x @ self.weights["model.decoder.project_in.weight"].T
        table = self.weights["model.decoder.embed_positions.weight"]
        places = table[_OFFSET + start : _OFFSET + start + ids.shape[-1]]
        return (x.reshape(len(ids), *places.shape) + places).reshape(x.shape)

    def layer(
        self, index: int, x: Float, length: int, linear: Linear, past: KeyValues | None = None
    ) -> Float:
        """Attention and feed-forward part beside the state, with a norm before or after each."""
        layer = f"{self.PREFIX}.{index}"
        before = self.config.do_layer_norm_before
        parts: tuple[tuple[str, Callable[[Float], Float]], ...] = (
            ("self_attn_layer_norm", lambda y: self._attention(index, y, length, linear, past)),
            ("final_layer_norm", lambda y: self._feed_forward(layer, y, linear)),
        )
        for norm, part in parts:
            x = x + part(self._norm(f"{layer}.{norm}", x) if before else x)
            x = x if before else self._norm(f"{layer}.{norm}", x)
        return x

    @property
    def head_weight(self) -> Float:
        """Weight [vocab_size, word_embed_proj_dim] of the product "lm_head"."""
        tied = self.config.tie_word_embeddings
        name = "model.decoder.embed_tokens" if tied else "lm_head"
        return self.weights[f"{name}.weight"]

    def head(self, x: Float, linear: Linear) -> Float:
        """Logits [m, vocab_size] of x [m, hidden]."""
        if self.config.do_layer_norm_before:
            x = self._norm("model.decoder.final_layer_norm", x)
        if "model.decoder.project_out.weight" in self.weights:
            x = x @ self.weights["model.decoder.project_out.weight"].T
        return linear("lm_head", x, self.head_weight)

    def _product(self, name: str, x: Float, linear: Linear) -> Float:
        return linear(name, x, self.weights[f"{name}.weight"]) + self.weights[f"{name}.bias"]

    def _norm(self, name: str, x: Float) -> Float:
        centred = x - x.mean(-1, keepdims=True)
        spread = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + _EPSILON)
        return centred / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _attention(
        self, index: int, x: Float, length: int, linear: Linear, past: KeyValues | None
    ) -> Float:
        layer, dim = (
            f"{self.PREFIX}.{index}",
            self.config.hidden_size // self.config.num_attention_heads,
        )
        query, key, value = (
            split_heads(self._product(f"{layer}.self_attn.{kind}_proj", x, linear), length, dim)
            for kind in "qkv"
        )
        if past:
            key, value = past.extended(index, key, value)
        mixed = attend(query * np.float32(dim**-0.5), key, value)
        return self._product(f"{layer}.self_attn.out_proj", join_heads(mixed), linear)

    def _feed_forward(self, layer: str, x: Float, linear: Linear) -> Float:
        inner = np.maximum(self._product(f"{layer}.fc1", x, linear), 0)
        return self._product(f"{layer}.fc2", inner, linear)
