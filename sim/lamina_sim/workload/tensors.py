"""Tensors that stay in their file until they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LazyTensor:
    """A tensor by its shape and by what reads it, as float32, whenever it is wanted."""

    shape: tuple[int, ...]
    read: Callable[[], Float]


class LazyTensors(Mapping[str, Float]):
    """Tensors by name; each access reads one, and nothing is kept.

    So a model of any size takes the memory of the tensors in use: one at a time.
    """

    def __init__(self, tensors: Mapping[str, LazyTensor]) -> None:
        self._tensors = dict(tensors)

    def __getitem__(self, name: str) -> Float:
        return self._tensors[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        return self._tensors[name].shape
