"""Safetensors files and folders of them, memory-mapped and checked before anything is read."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamina_sim.workload.tensors import Float

#: Names of the format for what is read here; BF16 are the upper halves of float32.
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
#: As in the reference implementation of the format.
_LONGEST_HEADER = 100_000_000
_METADATA = "__metadata__"
#: Bytes of an element, the widest first.
_WIDTHS = (8, 4, 2, 1)


@dataclass(frozen=True)
class Stored:
    """A tensor in its file: `kind` is the format's name of its type, `array` a view of the file."""

    name: str
    kind: str
    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.array.shape

    def float32(self) -> Float:
        """The values in memory, as float32; ValueError where they are no floats."""
        if self.kind == "BF16":
            return (self.array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if self.kind not in ("F32", "F16", "F64"):
            raise ValueError(f"Tensor {self.name} must be F32, F16 or BF16, not {self.kind}.")
        return self.array.astype(np.float32)

    def typed(self, kind: str) -> np.ndarray:
        """The view itself, where it is of the type `kind`; else ValueError."""
        if self.kind != kind:
            raise ValueError(f"Tensor {self.name} must be {kind}, not {self.kind}.")
        return self.array


def open_file(path: Path) -> dict[str, Stored]:
    """The tensors of a .safetensors file; ValueError where it is damaged or cut short."""
    header, start, size = _header(path)
    tensors = {}
    mapped = np.memmap(path, np.uint8, "r")
    for name, entry in header.items():
        if name != _METADATA:
            kind, shape, begin = _checked(path, name, entry, size - start)
            count = math.prod(shape) * _DTYPES[kind].itemsize
            data = mapped[start + begin : start + begin + count]
            tensors[name] = Stored(name, kind, data.view(_DTYPES[kind]).reshape(shape))
    return tensors


def metadata(path: Path) -> dict[str, str]:
    """What a .safetensors file says beside its tensors; ValueError as `open_file`."""
    entries = _header(path)[0].get(_METADATA, {})
    texts = isinstance(entries, dict) and all(isinstance(text, str) for text in entries.values())
    if not texts:
        raise ValueError(f"{path} must have texts as its metadata.")
    return dict(entries)


def write_file(
    path: Path,
    tensors: Iterable[tuple[str, np.ndarray]],
    notes: Callable[[], Mapping[str, str]],
) -> None:
    """Write tensors, none of which is kept, and metadata, asked for last, as a .safetensors file.

    Wider elements come first, so that every tensor is aligned without gaps, which the format has
    not.
    """
    with ExitStack() as files:
        spools = {
            width: files.enter_context(tempfile.TemporaryFile(dir=path.parent)) for width in _WIDTHS
        }
        places: list[tuple[str, str, list[int], int, int, int]] = []
        for name, array in tensors:
            stored = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            kind = next(k for k, dtype in _DTYPES.items() if dtype == stored.dtype and k != "BF16")
            spool = spools[stored.itemsize]
            place = kind, [*array.shape], stored.itemsize, spool.tell(), stored.nbytes
            places.append((name, *place))
            spool.write(stored.data)
        starts, total = {}, 0
        for width, spool in spools.items():
            starts[width], total = total, total + spool.tell()
        header: dict[str, Any] = {_METADATA: dict(notes())}
        for name, kind, shape, width, begin, length in places:
            begin += starts[width]
            entry = {"dtype": kind, "shape": shape, "data_offsets": [begin, begin + length]}
            header[name] = entry
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % max(_WIDTHS))
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for spool in spools.values():
                spool.seek(0)
                shutil.copyfileobj(spool, file)


def _header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The entries of a file's header, where its tensors start, and its size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER):
            raise ValueError(f"{path} must be a whole safetensors file; its header is cut short.")
        text = file.read(length)
    try:
        header = json.loads(text)
    except ValueError:  # also what is no UTF-8
        raise ValueError(f"{path} must be a safetensors file; its header is no JSON.") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path} must be a safetensors file; its header is no JSON object.")
    return header, 8 + length, size


def _checked(path: Path, name: str, entry: Any, room: int) -> tuple[str, tuple[int, ...], int]:
    """Type, shape and place of a tensor; ValueError where its entry does not fit the file."""
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        sound = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise ValueError(f"{path} must give {name} a dtype, a shape and two data_offsets.")
    if kind not in _DTYPES:
        raise ValueError(f"Tensor {name} of {path} must be {', '.join(_DTYPES)}, not {kind}.")
    if end - begin != math.prod(shape) * _DTYPES[kind].itemsize:
        raise ValueError(
            f"Tensor {name} of {path} must have the bytes of shape {shape}, not {end - begin}."
        )
    if end > room:
        raise ValueError(
            f"{path} must hold {end} bytes of tensors for {name}, not {room}: it is cut short."
        )
    return kind, shape, begin


def open_folder(folder: Path) -> dict[str, Stored]:
    """The tensors of model.safetensors, or of the shards that its index names."""
    index = folder / "model.safetensors.index.json"
    whole = folder / "model.safetensors"
    if whole.is_file() or not index.is_file():
        if not whole.is_file():
            raise ValueError(
                f"{folder} must hold model.safetensors or its index; other formats of weights "
                "are not read."
            )
        return open_file(whole)
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise ValueError(f"{index} must have a weight_map of file names.")
    shards = {}
    for file in sorted(set(places.values())):
        if Path(file).name != file:
            raise ValueError(f"{index} must name files of its own folder, not {file!r}.")
        if not (folder / file).is_file():
            raise ValueError(f"{folder} must hold {file}, which its index names.")
        shards[file] = open_file(folder / file)
    for name, file in places.items():
        if name not in shards[file]:
            raise ValueError(f"{folder / file} must hold {name}, as the index says.")
    return {name: shards[file][name] for name, file in places.items()}


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file; ValueError where it is none."""
    try:
        entries = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise ValueError(f"{path} must be a JSON file.") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{path} must hold a JSON object.")
    return entries
