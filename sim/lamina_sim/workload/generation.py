"""Text, token by token: each goes through the model once, beside the keys and values before it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.attention import KeyValues
from lamina_sim.workload.decoder import Decoder, Linear, matmul


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

    ValueError, with the first token asked for, on a negative temperature or an empty prompt.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must not be negative, not {temperature}.")
    tokens = [int(token) for token in np.asarray(prompt)]
    random = np.random.default_rng(seed)
    past, unread = KeyValues(), tokens[-model.context :]
    for _ in range(count):
        if past.length + len(unread) > model.context:
            past, unread = KeyValues(), tokens[-max(1, model.context // 2) :]
        x = model.states(np.array(unread, np.int64), linear=linear, past=past)[-1:]
        logits = model.head(x, linear)[0, :vocabulary].astype(np.float64)
        if temperature == 0:
            token = int(logits.argmax())
        else:
            weights = np.exp((logits - logits.max()) / temperature)
            token = int(random.choice(len(weights), p=weights / weights.sum()))
        tokens.append(token)
        unread = [token]
        yield token
