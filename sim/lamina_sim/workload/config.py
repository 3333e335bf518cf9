"""Shape of a Llama-style transformer, as a Hugging Face config.json states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lamina_sim.workload.rope import Rope

#: More layers than any model has: a damaged file must not ask for millions of tensor names.
MOST_LAYERS = 1000


def check_sizes(config: Any, names: tuple[str, ...]) -> None:
    """Raise ValueError unless the named members are positive integers, and layers not too many."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive integer, not {value!r}.")
    if config.num_hidden_layers > MOST_LAYERS:
        raise ValueError(
            f"num_hidden_layers must be at most {MOST_LAYERS}, not {config.num_hidden_layers}."
        )


def check_supported(entries: Mapping[str, Any], supported: Mapping[str, Any]) -> None:
    """Raise ValueError if an entry of a config.json is there and not what is ``supported``."""
    for key, value in supported.items():
        if entries.get(key, value) != value:
            raise ValueError(f"{key} must be {value}, not {entries[key]}.")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Shape of the model, under the keys of a Hugging Face Llama config.json."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    tie_word_embeddings: bool = False
    rope: Rope = field(default_factory=Rope)

    def __post_init__(self) -> None:
        check_sizes(self, tuple(f.name for f in fields(self))[:7])
        for name in ("rms_norm_eps", "rope_theta"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{name} must be a positive number, not {value!r}.")
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size must be an even multiple of num_attention_heads "
                f"({self.num_attention_heads}), not {self.hidden_size}."
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads must be a multiple of num_key_value_heads "
                f"({self.num_key_value_heads}), not {self.num_attention_heads}."
            )

    @property
    def head_dim(self) -> int:
        """Elements of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of the checkpoint."""
        hidden, inner = self.hidden_size, self.intermediate_size
        kv = self.num_key_value_heads * self.head_dim
        layer: dict[str, tuple[int, ...]] = {
            "input_layernorm": (hidden,),
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.k_proj": (kv, hidden),
            "self_attn.v_proj": (kv, hidden),
            "self_attn.o_proj": (hidden, hidden),
            "post_attention_layernorm": (hidden,),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }
        shapes: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocab_size, hidden)
        }
        for i in range(self.num_hidden_layers):
            shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
        shapes["model.norm.weight"] = (hidden,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, hidden)
        return shapes

    def to_json(self) -> dict[str, Any]:
        """Contents of config.json, with the keys that other readers of the format expect."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "head_dim": self.head_dim,
            "torch_dtype": "float16",
            **{name: value for name, value in asdict(self).items() if name != "rope"},
            **({"rope_scaling": scaling} if (scaling := self.rope.to_json()) else {}),
        }

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Config:
        """Config of a config.json; ValueError on what this forward pass does not compute."""
        supported = {
            "model_type": "llama",
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
        }
        check_supported(entries, supported)
        # Newer files keep theta beside the kind of rotary positions.
        parameters = entries.get("rope_parameters") or {}
        rope = entries.get("rope_scaling") or parameters
        if not isinstance(parameters, Mapping) or not isinstance(rope, Mapping):
            raise ValueError(f"rope_scaling must be an object, not {rope!r}.")
        known = {f.name for f in fields(cls)} - {"rope"}
        values = {k: v for k, v in {**parameters, **entries}.items() if k in known}
        # Files older than grouped-query attention do not say how many heads keys have.
        if values.get("num_key_value_heads") is None:
            values["num_key_value_heads"] = values.get("num_attention_heads")
        try:
            config = cls(**values, rope=Rope.from_json(rope))
        except TypeError as error:
            raise ValueError(f"config.json must have the keys of a Llama model: {error}.") from None
        if (entries.get("head_dim") or config.head_dim) != config.head_dim:
            raise ValueError(f"head_dim must be {config.head_dim}, not {entries['head_dim']}.")
        return config
