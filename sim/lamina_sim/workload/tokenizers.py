"""Text to token ids and back, by the tokenizer that lies beside a checkpoint."""

from __future__ import annotations

import heapq
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.tinylm.text import Vocabulary

_BYTE = "<0x{:02X}>"
#: In the place of a token that was joined to the one before it.
_GONE = -1


class Tokenizer(Protocol):
    """What a checkpoint's tokenizer does; its length is the number of ids."""

    def __len__(self) -> int: ...

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        """Token ids int64 [n] of a text."""

    def decode(self, tokens: npt.ArrayLike) -> str:
        """Text of token ids."""


def load(path: Path) -> Tokenizer:
    """The tokenizer of vocabulary.json, tokenizer.json (Hugging Face) or tokenizer.bin (llama2.c).

    ValueError where the file is damaged or has another name.
    """
    if path.name == "vocabulary.json":
        try:
            return Vocabulary.load(path)
        except (ValueError, TypeError):
            raise ValueError(f"{path} must be a JSON list of distinct characters.") from None
    if path.suffix == ".json":
        return HuggingFace.load(path)
    if path.suffix == ".bin":
        return BytePairs.load(path)
    raise ValueError(f"A tokenizer must be a .json or .bin file, not {path.name}.")


def beside(checkpoint: Path) -> Tokenizer | None:
    """The tokenizer in the folder of a checkpoint, or None where there is none."""
    names = ("vocabulary.json", "tokenizer.json") if checkpoint.is_dir() else ("tokenizer.bin",)
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    for name in names:
        if (folder / name).is_file():
            return load(folder / name)
    return None


class HuggingFace:
    """A tokenizer.json, by the package `tokenizers`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path) -> HuggingFace:
        """Read a tokenizer.json; ValueError without the package, or where the file is damaged."""
        try:
            import tokenizers
        except ImportError:
            raise ValueError(
                f"{path} needs the package tokenizers: pip install 'lamina[models]'."
            ) from None
        data = path.read_bytes()  # a file that cannot be opened is told as such
        try:
            return cls(tokenizers.Tokenizer.from_buffer(data))
        except Exception as error:  # the package raises plain Exception
            raise ValueError(f"{path} must be a tokenizer.json: {error}.") from None

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        """Token ids int64 [n], with the special tokens that the file asks for."""
        return np.array(self._tokenizer.encode(text).ids, dtype=np.int64)

    def decode(self, tokens: npt.ArrayLike) -> str:
        """Text of token ids, without special tokens."""
        return str(self._tokenizer.decode(np.asarray(tokens).tolist()))


@dataclass(frozen=True)
class BytePairs:
    """Tokenizer of a tokenizer.bin: the pieces and their scores, in the order of ids.

    Ids 1 and 2 begin and end a text; ids 3 to 258 are the bytes, for what no piece spells.
    """

    pieces: list[bytes]
    scores: list[float]

    @classmethod
    def load(cls, path: Path) -> BytePairs:
        """Read a tokenizer.bin; ValueError where it is cut short."""
        data = path.read_bytes()
        pieces, scores, at = [], [], 4  # behind the length of the longest piece
        while at < len(data):
            score, length = struct.unpack_from("<fi", data, at) if len(data) - at >= 8 else (0, -1)
            at += 8
            if not 0 <= length <= len(data) - at:
                raise ValueError(f"{path} must be a whole tokenizer.bin of llama2.c.")
            pieces.append(data[at : at + length])
            scores.append(score)
            at += length
        if len(pieces) < 259:
            raise ValueError(f"{path} must hold 259 pieces or more, not {len(pieces)}.")
        return cls(pieces, scores)

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        """Token ids int64, with the beginning of the text and a space before its first word.

        Of all neighbours that together are a piece, those of the highest score are joined, the
        first of equals, until none are left.
        """
        ids = {piece: i for i, piece in reversed(list(enumerate(self.pieces)))}
        tokens = [ids[b" "]] if text and b" " in ids else []
        for character in text:
            piece = character.encode()
            tokens += [ids[piece]] if piece in ids else [byte + 3 for byte in piece]
        after = [*range(1, len(tokens)), -1]
        before = list(range(-1, len(tokens) - 1))
        queue: list[tuple[float, int, int, int, int]] = []

        def offer(i: int, j: int) -> None:
            if i >= 0 and j >= 0:
                a, b = tokens[i], tokens[j]
                merged = ids.get(self.pieces[a] + self.pieces[b])
                if merged is not None:
                    heapq.heappush(queue, (-self.scores[merged], i, a, b, merged))

        for i, j in enumerate(after):
            offer(i, j)
        while queue:
            _, i, a, b, merged = heapq.heappop(queue)
            j = after[i]
            # What was joined since is no pair any more.
            if tokens[i] != a or j < 0 or tokens[j] != b:
                continue
            tokens[i], tokens[j] = merged, _GONE
            after[i] = after[j]
            if after[i] >= 0:
                before[after[i]] = i
            offer(before[i], i)
            offer(i, after[i])
        return np.array([1, *(token for token in tokens if token != _GONE)], dtype=np.int64)

    def decode(self, tokens: npt.ArrayLike) -> str:
        """Text of token ids; bytes that are no UTF-8 become the replacement character."""
        result, last = b"", 0
        for token in np.asarray(tokens).tolist():
            piece = self.pieces[token]
            if 3 <= token < 259 and piece == _BYTE.format(token - 3).encode():
                piece = bytes([token - 3])
            result += piece.removeprefix(b" ") if last == 1 else piece
            last = token
        return result.decode(errors="replace")
