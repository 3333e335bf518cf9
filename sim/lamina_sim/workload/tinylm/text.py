"""Text to token ids and back, one character at a time."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt


def reflow(text: str) -> str:
    """One line per paragraph and one space between words.

    Where a printed book happens to break its lines is noise to a character model.
    """
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n".join(line for p in paragraphs if (line := " ".join(p.split())))


@dataclass(frozen=True)
class Vocabulary:
    """Character tokenizer: token id i is the i-th character of `characters`."""

    characters: str
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ids", {c: i for i, c in enumerate(self.characters)})
        if len(self._ids) != len(self.characters):
            raise ValueError("The characters of a vocabulary must be distinct.")

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """The characters of a text, in code point order."""
        return cls("".join(sorted(set(text))))

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read what `save` wrote: a JSON list of characters in the order of their ids."""
        return cls("".join(json.loads(path.read_text(encoding="utf-8"))))

    def save(self, path: Path) -> None:
        """Write a JSON list of the characters in the order of their ids."""
        path.write_text(json.dumps(list(self.characters), ensure_ascii=False) + "\n", "utf-8")

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        """Token ids int64 [len(text)]; ValueError on a character that the vocabulary lacks."""
        unknown = sorted(set(text) - self._ids.keys())
        if unknown:
            raise ValueError(
                f"Text must consist of the {len(self)} characters of the vocabulary, "
                f"not {''.join(unknown)!r}."
            )
        return np.array([self._ids[c] for c in text], dtype=np.int64)

    def decode(self, tokens: npt.ArrayLike) -> str:
        """Text of token ids; ValueError on an id beyond the vocabulary (padding has no text)."""
        ids = np.asarray(tokens)
        if ids.size and not (ids.min() >= 0 and ids.max() < len(self)):
            raise ValueError(f"Token ids must be between 0 and {len(self) - 1}.")
        return "".join(self.characters[i] for i in ids)
