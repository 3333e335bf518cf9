"""What all decoders share: products open to replacement, layer by layer, and the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.attention import KeyValues
from lamina_sim.workload.precision import KINDS, Mantissas
from lamina_sim.workload.tensors import Float, LazyTensors

Tokens = npt.NDArray[np.int64]
# linear(name, x [m, in], weight [out, in]) -> y [m, out], all float32; `name` is the Hugging Face
# module name, such as "model.layers.0.mlp.up_proj" or "lm_head".
Linear = Callable[[str, Float, Float], Float]

#: Elements of the logits that are worked on at a time.
_LOGITS = 1 << 24


def matmul(name: str, x: Float, weight: Float) -> Float:
    """The default `Linear`: float32 in the order that the BLAS at hand sums in."""
    return x @ weight.T


class DecoderConfig(Protocol):
    """What the config of every architecture has."""

    @property
    def vocab_size(self) -> int:
        """Token ids there are, padding included."""

    @property
    def num_hidden_layers(self) -> int:
        """Layers there are."""

    @property
    def num_attention_heads(self) -> int:
        """Heads of queries that a layer has."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor."""


class Decoder(ABC):
    """A language model of equal layers, read one layer at a time.

    Members
        config     shape of the model
        weights    float32 tensors under their Hugging Face names, matrices [out, in]; a mapping
                   that may read them from a file at each access
        PRODUCTS   the products of a layer by the end of their names, and their kinds

    Every matrix product with weights goes through the `linear` argument of the methods, so that
    a caller can run it on a golden model or on hardware; the rest is float32. Positions stay flat,
    x [rows * t, hidden], which is the shape that `linear` takes.
    """

    PRODUCTS: ClassVar[Mapping[str, str]]
    PREFIX: ClassVar[str]

    config: DecoderConfig
    weights: Mapping[str, Float]

    def __post_init__(self) -> None:
        self._check_weights()

    @property
    @abstractmethod
    def context(self) -> int:
        """Tokens that a sequence may have."""

    @property
    def vocab_size(self) -> int:
        """Token ids there are, padding included."""
        return self.config.vocab_size

    @property
    def layers(self) -> int:
        """Layers there are."""
        return self.config.num_hidden_layers

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor."""
        return self.config.shapes

    @abstractmethod
    def embed(self, ids: Tokens, start: int = 0) -> Float:
        """x [rows * t, hidden] of token ids [rows, t] at the positions from `start` on."""

    @abstractmethod
    def layer(
        self, index: int, x: Float, length: int, linear: Linear, past: KeyValues | None = None
    ) -> Float:
        """One layer: x to x, of sequences of `length` tokens, behind the `past` ones."""

    @property
    @abstractmethod
    def head_weight(self) -> Float:
        """Weight [vocab_size, in] of the product "lm_head": its own, or that of the embedding."""

    @abstractmethod
    def head(self, x: Float, linear: Linear) -> Float:
        """Logits [m, vocab_size] of x [m, hidden]."""

    def products(self) -> dict[str, str]:
        """Name and kind of every product of the layers, in order; the head is none of them."""
        return {
            f"{self.PREFIX}.{i}.{name}": kind
            for i in range(self.layers)
            for name, kind in self.PRODUCTS.items()
        }

    @classmethod
    def layer_of(cls, name: str) -> int:
        """Layer of a product or tensor name."""
        return int(name.removeprefix(f"{cls.PREFIX}.").partition(".")[0])

    @property
    def macs(self) -> Mantissas:
        """Multiplications per token and layer, by kind."""
        total = dict.fromkeys(KINDS, 0)
        shapes = self.shapes
        for name, kind in self.PRODUCTS.items():
            rows, columns = shapes[f"{self.PREFIX}.0.{name}.weight"]
            total[kind] += rows * columns
        return tuple(total.values())

    def forward(self, tokens: npt.ArrayLike, *, linear: Linear = matmul) -> Float:
        """Logits float32 [..., t, vocab_size] of token ids [..., t], one sequence per row.

        The matrix products see all rows at once: x [rows * t, in], rows and positions in order.
        """
        ids = self.checked(tokens)
        return self.head(self.states(ids, linear=linear), linear).reshape(*ids.shape, -1)

    def states(
        self, tokens: npt.ArrayLike, *, linear: Linear = matmul, past: KeyValues | None = None
    ) -> Float:
        """What all layers make of token ids [..., t]: x [rows * t, hidden], for `head`.

        With ``past`` the tokens follow those that it holds, and are in it afterwards.
        """
        start = past.length if past else 0
        ids = self.checked(tokens, start)
        length = ids.shape[-1]
        x = self.embed(ids.reshape(-1, length), start)
        for i in range(self.layers):
            x = self.layer(i, x, length, linear, past)
        if past:
            past.read(length)
        return x

    def checked(self, tokens: npt.ArrayLike, start: int = 0) -> Tokens:
        """Tokens as an array; TypeError or ValueError where the model cannot take them.

        They follow `start` others.
        """
        ids = np.asarray(tokens)
        if not np.issubdtype(ids.dtype, np.integer):
            raise TypeError(f"tokens must be integers, not {ids.dtype}.")
        if ids.ndim < 1 or not 1 <= ids.shape[-1] <= self.context - start:
            raise ValueError(
                f"tokens must be 1 to {self.context - start} per sequence, not shape {ids.shape}."
            )
        if ids.size and not (ids.min() >= 0 and ids.max() < self.vocab_size):
            raise ValueError(
                f"tokens must be between 0 and {self.vocab_size - 1}, "
                f"not {ids.min()} to {ids.max()}."
            )
        return ids

    def _check_weights(self) -> None:
        """Raise unless `weights` are exactly the tensors of `shapes`, in float32."""
        weights = self.weights
        lazy = isinstance(weights, LazyTensors)
        shapes: dict[str, tuple[int, ...]] = (
            {name: weights.shape(name) for name in weights}
            if isinstance(weights, LazyTensors)
            else {name: weight.shape for name, weight in weights.items()}
        )
        expected = self.shapes
        for name in expected | shapes:
            if shapes.get(name) != expected.get(name):
                raise ValueError(
                    f"Tensor {name} must have shape {expected.get(name)}, not {shapes.get(name)}."
                )
            if not lazy and weights[name].dtype != np.float32:
                raise TypeError(f"Tensor {name} must be float32, not {weights[name].dtype}.")


def cross_entropy(model: Decoder, x: Float, targets: Tokens, linear: Linear = matmul) -> float:
    """Sum, in nats, of the losses of the tokens `targets` [m] after the states x [m, hidden]."""
    total = 0.0
    step = max(1, _LOGITS // model.vocab_size)
    for start in range(0, len(x), step):
        logits = model.head(x[start : start + step], linear).astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        picked = logits[np.arange(len(logits)), targets[start : start + step]]
        total += float((np.log(np.exp(logits).sum(-1)) - picked).sum())
    return total


def windows(model: Decoder, tokens: npt.ArrayLike, context: int | None = None) -> Tokens:
    """A text int64 [n] as windows [count, context + 1] without overlap but of one token.

    Each token of a window but the first is predicted from those before it; a short last window is
    dropped. `context` is the model's if it is not given.
    """
    ids, context = np.asarray(tokens), model.context if context is None else context
    count = (len(ids) - 1) // context
    if count < 1:
        raise ValueError(f"A text must have more than {context} tokens, not {len(ids)}.")
    starts = context * np.arange(count)[:, None]
    return ids[starts + np.arange(context + 1)]


def loss(model: Decoder, tokens: npt.ArrayLike, *, linear: Linear = matmul) -> float:
    """Mean cross entropy, in nats per token, of a text int64 [n] cut into `windows`."""
    cut = windows(model, tokens)
    total = 0.0
    for start in range(0, len(cut), 32):  # so many windows at a time bound the memory
        inputs = model.checked(cut[start : start + 32, :-1])
        targets = cut[start : start + 32, 1:].reshape(-1)
        x = model.embed(inputs)
        for i in range(model.layers):
            x = model.layer(i, x, inputs.shape[1], linear)
        total += cross_entropy(model, x, targets, linear)
    return total / (len(cut) * (cut.shape[1] - 1))
