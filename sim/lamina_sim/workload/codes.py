"""Quantized weights as users have them: GPTQ and AWQ checkpoints of any model, plain codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lamina_sim.workload.checkpoint import PackedProducts, packing_of
from lamina_sim.workload.quantize import Quantized
from lamina_sim.workload.safetensors_file import Stored, open_file, open_folder, read_json
from lamina_sim.workload.words import plain

_CODES, _CONFIG = ".codes", "config.json"


def open_codes(
    source: Path, *, bits: int = 4, group: int | None = 128, columns: int = 1
) -> Mapping[str, Quantized]:
    """The quantized products of a folder or a .safetensors file, each read when it is asked for.

    A folder, or the file's, has config.json with a quantization_config, or quantize_config.json:
    GPTQ and AWQ, whatever the model. Without, the tensors are NAME.codes with NAME.scales, and
    ``bits``, ``group`` (None: all of k) and ``columns`` say what they are; checkpoints say it
    themselves.

    ValueError in one sentence where nothing is quantized or a file is damaged, OSError where it
    cannot be read.
    """
    if source.is_dir():
        stored, folder = open_folder(source), source
    else:
        stored, folder = open_file(source), source.parent
    if any(name.endswith(_CODES) for name in stored):
        return _Plain(stored, bits, group, columns)
    config = folder / _CONFIG
    packing = packing_of(folder, read_json(config) if config.is_file() else {})
    products = PackedProducts(packing, stored) if packing else {}
    if not products:
        raise ValueError(
            f"{source} must hold quantized weights: NAME{_CODES}, or NAME.qweight with a "
            f"quantization_config in {_CONFIG}."
        )
    return products


@dataclass(frozen=True)
class _Plain(Mapping[str, Quantized]):
    """Plain codes by name; each access checks one product."""

    stored: Mapping[str, Stored]
    bits: int
    group: int | None
    columns: int

    def __getitem__(self, name: str) -> Quantized:
        if f"{name}{_CODES}" not in self.stored:
            raise KeyError(name)
        return plain(name, self.stored, self.bits, self.group, self.columns)

    def __iter__(self) -> Iterator[str]:
        return (n.removesuffix(_CODES) for n in self.stored if n.endswith(_CODES))

    def __len__(self) -> int:
        return sum(1 for _ in self)
