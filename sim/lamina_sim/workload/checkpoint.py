"""Checkpoints of any kind that is read: a model, its tokenizer, and its codes if it has any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lamina_sim.workload import llama2c, tinylm, tokenizers
from lamina_sim.workload.config import Config
from lamina_sim.workload.decoder import Decoder
from lamina_sim.workload.llama import Llama
from lamina_sim.workload.opt import Opt, OptConfig
from lamina_sim.workload.packed import Packing
from lamina_sim.workload.quantize import Quantized
from lamina_sim.workload.safetensors_file import Stored, open_folder, read_json
from lamina_sim.workload.tensors import LazyTensor, LazyTensors

#: The bundled model goes by this name.
BUNDLED = "tinylm"
#: What checkpoints hold beside the weights: buffers, and the head where it is the embedding.
_BESIDE = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model that stays in its files until it is used.

    Members
        model      weights are read, as float32, when they are wanted
        tokenizer  None where none lies beside the checkpoint
        quantized  codes of the products of a GPTQ or AWQ checkpoint, unpacked when wanted, by name
                   without `.weight`; empty for one of floats
    """

    model: Decoder
    tokenizer: tokenizers.Tokenizer | None
    quantized: Mapping[str, Quantized] = field(default_factory=dict)

    def tokenizer_of(self, file: Path | None) -> tokenizers.Tokenizer:
        """The tokenizer of a file, or its own; ValueError where there is none."""
        tokenizer = tokenizers.load(file) if file else self.tokenizer
        if tokenizer is None:
            raise ValueError(
                "The checkpoint has no tokenizer beside it; --tokenizer must name one."
            )
        return tokenizer


def load(source: str | Path) -> Checkpoint:
    """Open a checkpoint: "tinylm", a Hugging Face folder (Llama or OPT), or a llama2.c .bin.

    ValueError in one sentence where it is damaged or of another architecture, OSError where it
    cannot be read.
    """
    if str(source) == BUNDLED:
        source = tinylm.FOLDER
    path = Path(source)
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".bin":
        return Checkpoint(model=llama2c.load(path), tokenizer=tokenizers.beside(path))
    with path.open("rb"):
        pass  # a file that cannot be opened is told as such
    raise ValueError(
        f"A checkpoint must be {BUNDLED}, a Hugging Face folder or a llama2.c .bin, not {path}."
    )


def _folder(folder: Path) -> Checkpoint:
    entries = read_json(folder / "config.json")
    kind = entries.get("model_type")
    if kind not in ("llama", "opt"):
        raise ValueError(f"model_type of {folder} must be llama or opt, not {kind!r}.")
    try:
        config = Config.from_json(entries) if kind == "llama" else OptConfig.from_json(entries)
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from None
    stored = _named(open_folder(folder), kind, config.tie_word_embeddings)
    packing = packing_of(folder, entries)
    codes = PackedProducts(packing, stored) if packing else {}
    tensors: dict[str, LazyTensor] = {}
    for name, tensor in stored.items():
        product, _, part = name.rpartition(".")
        if product not in codes:
            tensors[name] = LazyTensor(tensor.shape, tensor.float32)
        elif part == "qweight" and isinstance(codes, PackedProducts):
            tensors[f"{product}.weight"] = codes.lazy(product)
        elif part == "bias" and kind == "opt":
            tensors[name] = LazyTensor(tensor.shape, tensor.float32)
    weights = LazyTensors(tensors)
    model = Llama(config, weights) if isinstance(config, Config) else Opt(config, weights)
    return Checkpoint(model=model, tokenizer=tokenizers.beside(folder), quantized=codes)


def _named(stored: Mapping[str, Stored], kind: str, tied: bool) -> dict[str, Stored]:
    """The tensors under the names of the full model, without what the forward pass computes."""
    kept = {}
    for name, tensor in stored.items():
        if name.endswith(_BESIDE) or (tied and name == "lm_head.weight"):
            continue
        bare = {"llama": ("embed_tokens.", "layers.", "norm."), "opt": ("decoder.",)}[kind]
        kept[f"model.{name}" if name.startswith(bare) else name] = tensor
    return kept


def packing_of(folder: Path, entries: Mapping[str, object]) -> Packing | None:
    """How the weights of a folder are packed, if they are: `entries` are those of config.json."""
    own = entries.get("quantization_config")
    file = folder / "quantize_config.json"
    if own is None and file.is_file():
        own = read_json(file)
    if own is None:
        return None
    if not isinstance(own, dict):
        raise ValueError(f"quantization_config of {folder} must be an object.")
    return Packing.from_json(own)


class PackedProducts(Mapping[str, Quantized]):
    """Quantized products by name; each access unpacks one, and nothing is kept."""

    def __init__(self, packing: Packing, stored: Mapping[str, Stored]) -> None:
        self._packing, self._stored = packing, stored
        self._names = [n.removesuffix(".qweight") for n in stored if n.endswith(".qweight")]

    def __getitem__(self, name: str) -> Quantized:
        if name not in self._names:
            raise KeyError(name)
        return self._packing.unpack(name, self._stored)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __len__(self) -> int:
        return len(self._names)

    def lazy(self, name: str) -> LazyTensor:
        """The weights [out, in] that the codes stand for, computed when they are wanted."""
        k = self._packing.rows(self._stored[f"{name}.qweight"].shape)
        n = self._stored[f"{name}.scales"].shape[-1] if f"{name}.scales" in self._stored else 0
        return LazyTensor((n, k), lambda: self[name].dequantize().T)
