"""llama2.c checkpoints: the .bin with the legacy float header."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from lamina_sim.workload.config import Config
from lamina_sim.workload.llama import Llama
from lamina_sim.workload.tensors import Float, LazyTensor, LazyTensors

_HEADER = struct.Struct("<7i")
#: First word of the later versions of the format, "ak42".
_MAGIC = 0x616B3432


def load(path: Path) -> Llama:
    """The model of a .bin file, memory-mapped; ValueError where the size does not fit the header.

    The header is seven int32: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative
    where the classifier is not the embedding), seq_len. Then float32 tensors, each of all layers
    together. Pairs that turn together are neighbours in this format; the rows of q and k are put
    into the order of Hugging Face, which gives the same products of queries and keys.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise ValueError(f"{path} must start with the seven numbers of a llama2.c header.")
    dim, inner, layers, heads, kv_heads, vocabulary, length = _HEADER.unpack(head)
    if dim == _MAGIC:
        raise ValueError(f"{path} must have the legacy float header of llama2.c, not a later one.")
    try:
        config = Config(
            hidden_size=dim,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            vocab_size=abs(vocabulary),
            max_position_embeddings=length,
            tie_word_embeddings=vocabulary > 0,
        )
    except ValueError as error:
        raise ValueError(f"{path} must be a llama2.c checkpoint; {error}") from None
    places = _places(config)
    expected = _HEADER.size + 4 * sum(math.prod(shape) for _, shape in places)
    if size != expected:
        raise ValueError(f"{path} must have {expected} bytes, as its header says, not {size}.")
    return Llama(config, _tensors(path, config, places))


def _places(config: Config) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of what follows the header, in order; names without a layer hold all."""
    dim, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    kv = config.num_key_value_heads * config.head_dim
    turns = (config.max_position_embeddings, config.head_dim // 2)
    places: list[tuple[str, tuple[int, ...]]] = [
        ("model.embed_tokens", (config.vocab_size, dim)),
        ("input_layernorm", (layers, dim)),
        ("self_attn.q_proj", (layers, dim, dim)),
        ("self_attn.k_proj", (layers, kv, dim)),
        ("self_attn.v_proj", (layers, kv, dim)),
        ("self_attn.o_proj", (layers, dim, dim)),
        ("post_attention_layernorm", (layers, dim)),
        ("mlp.gate_proj", (layers, inner, dim)),
        ("mlp.down_proj", (layers, dim, inner)),
        ("mlp.up_proj", (layers, inner, dim)),
        ("model.norm", (dim,)),
        ("", turns),  # cosines and sines, which are computed here
        ("", turns),
    ]
    return places + ([] if config.tie_word_embeddings else [("lm_head", (config.vocab_size, dim))])


def _tensors(path: Path, config: Config, places: list[tuple[str, tuple[int, ...]]]) -> LazyTensors:
    stored = np.memmap(path, "<f4", "r", offset=_HEADER.size)
    tensors: dict[str, LazyTensor] = {}
    start = 0
    for name, shape in places:
        array = stored[start : start + math.prod(shape)].reshape(shape)
        start += array.size
        if name in ("model.embed_tokens", "model.norm", "lm_head"):
            tensors[f"{name}.weight"] = _tensor(array)
        elif name:
            heads = name in ("self_attn.q_proj", "self_attn.k_proj")
            for i in range(config.num_hidden_layers):
                part = _tensor(array[i], config.head_dim if heads else None)
                tensors[f"model.layers.{i}.{name}.weight"] = part
    return LazyTensors(tensors)


def _tensor(array: np.ndarray, head_dim: int | None = None) -> LazyTensor:
    """A tensor as it is stored, or with the rows of each head in the order even, then odd."""

    def read() -> Float:
        if head_dim is None:
            return np.array(array, dtype=np.float32)
        pairs = array.reshape(-1, head_dim // 2, 2, array.shape[1]).swapaxes(1, 2)
        return pairs.reshape(array.shape).astype(np.float32)

    return LazyTensor(array.shape, read)
