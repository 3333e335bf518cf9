"""Text, token by token: each goes through the model once, beside the keys and values before it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.attention import KeyValues
from lamina_sim.workload.decoder import Decoder, Linear, matmul
from lamina_sim.workload.tokenizers import Tokenizer

#: Tokens before a new one that are decoded with it.
_TAIL = 8


def generate(
    model: Decoder,
    prompt: npt.ArrayLike,
    count: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    vocabulary: int | None = None,
    linear: Linear = matmul,
) -> Iterator[int]:
    """Yield `count` token ids that continue a prompt of token ids [t], t >= 1, as they come.

    Temperature 0 takes the most likely token, anything above draws with `seed`. Only ids below
    `vocabulary` are taken: pass the size of the tokenizer where vocab_size is padded. Of a prompt
    longer than the context only the end is read. Where the context is full, the last half of it is
    read anew and the rest forgotten.

    Where the angles of positions depend on the length of the sequence (dynamic RoPE beyond the
    trained length), what layers kept of earlier tokens is of the length then.

    ValueError on a prompt that is empty or has no ids of the model, a temperature or a seed below
    zero; while it goes on, on logits that are not finite.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must not be negative, not {temperature}.")
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed}.")
    tokens = [int(token) for token in np.asarray(prompt)]
    if not tokens:
        raise ValueError("The prompt must have at least one token.")
    model.checked(tokens[-model.context :])
    random = np.random.default_rng(seed)

    def choose(logits: npt.NDArray[np.float64]) -> int:
        if not np.isfinite(logits).all():
            raise ValueError("The logits are not finite: activations or weights leave FP16.")
        if temperature == 0:
            return int(logits.argmax())
        with np.errstate(over="ignore"):
            weights = np.exp((logits - logits.max()) / temperature)
        return int(random.choice(len(weights), p=weights / weights.sum()))

    def tokens_of() -> Iterator[int]:
        past, unread = KeyValues(), tokens[-model.context :]
        for _ in range(count):
            if past.length + len(unread) > model.context:
                past, unread = KeyValues(), tokens[-max(1, model.context // 2) :]
            x = model.states(np.array(unread, np.int64), linear=linear, past=past)[-1:]
            token = choose(model.head(x, linear)[0, :vocabulary].astype(np.float64))
            tokens.append(token)
            unread = [token]
            yield token

    return tokens_of()


class Spelling:
    """The text of tokens that come one by one, for tokens that are parts of characters or words.

    Joined, what `add` and `end` return is the text that `tokenizer` makes of all tokens behind the
    `prompt`.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: npt.ArrayLike) -> None:
        self._tokenizer = tokenizer
        # As many as tell how the next one joins them: with a space or without.
        self._known = np.asarray(prompt).tolist()[-_TAIL:]
        self._new: list[int] = []

    def add(self, token: int) -> str:
        """The text that a token completes; none as long as it ends in a part of a character."""
        self._new.append(token)
        text = self._text()
        return "" if text.endswith("\ufffd") else self._take(text)

    def end(self) -> str:
        """What is left of characters that were never completed."""
        return self._take(self._text())

    def _text(self) -> str:
        known = self._tokenizer.decode(np.array(self._known, np.int64))
        return self._tokenizer.decode(np.array(self._known + self._new, np.int64))[len(known) :]

    def _take(self, text: str) -> str:
        self._known, self._new = (self._known + self._new)[-_TAIL:], []
        return text
