"""Tokenizers beside a checkpoint: llama2.c's against a second implementation, Hugging Face's."""

import json
import struct

import numpy as np
import pytest

from lamina_sim.workload import tokenizers
from lamina_sim.workload.generation import Spelling

WORDS = [" the", " there", "he", "th", "the", " t", "re", "er", "ere", " th", "ü", "  ", "\n", "no"]


def pieces():
    base = [b"<unk>", b"<s>", b"</s>", *(f"<0x{i:02X}>".encode() for i in range(256))]
    letters = [bytes([c]) for c in b" abcdefghijklmnopqrstuvwxyz."]
    return base + letters + [word.encode() for word in WORDS if len(word) > 1 or word > "z"]


def write(path):
    names = pieces()
    data = struct.pack("<i", max(map(len, names)))
    for i, piece in enumerate(names):
        data += struct.pack("<fi", float(-i % 17), len(piece)) + piece
    path.write_bytes(data)
    return [float(-i % 17) for i in range(len(names))]


def encode_slowly(text, scores):
    """The loop of llama2.c's run.c: look at all neighbours, join the best, start again."""
    names = pieces()
    tokens = [1] + ([names.index(b" ")] if text else [])
    for character in text:
        piece = character.encode()
        tokens += [names.index(piece)] if piece in names else [byte + 3 for byte in piece]
    while True:
        best, best_score, at = -1, -1e10, -1
        for i in range(len(tokens) - 1):
            both = names[tokens[i]] + names[tokens[i + 1]]
            if both in names and scores[names.index(both)] > best_score:
                best, best_score, at = names.index(both), scores[names.index(both)], i
        if at < 0:
            return tokens
        tokens[at : at + 2] = [best]


def test_llama2c_tokenizer(tmp_path, rng):
    scores = write(tmp_path / "tokenizer.bin")
    tokenizer = tokenizers.load(tmp_path / "tokenizer.bin")
    assert len(tokenizer) == len(pieces())
    texts = ["", "there the", "no  there. übrig €", "thththerere the theree\n"]
    texts += ["".join(rng.choice(list("ther e"), 40)) for _ in range(30)]
    for text in texts:
        tokens = tokenizer.encode(text)
        assert tokens.dtype == np.int64
        assert tokens.tolist() == encode_slowly(text, scores)
        assert tokenizer.decode(tokens) == "<s>" + text
    assert tokenizer.decode([3 + 0xC3]) == "\N{REPLACEMENT CHARACTER}"


def test_spelling_waits_for_whole_characters(tmp_path):
    """Joined, it is the text, also of characters that take several tokens, or that never end."""
    write(tmp_path / "tokenizer.bin")
    tokenizer = tokenizers.load(tmp_path / "tokenizer.bin")
    text = "there €übrig the €€ no"
    tokens = tokenizer.encode(text).tolist()
    for cut in (1, 2, 5):
        spelling = Spelling(tokenizer, tokens[:cut])
        parts = [spelling.add(token) for token in tokens[cut:]]
        assert "".join(parts) == ("<s>" + text)[len(tokenizer.decode(tokens[:cut])) :]
        assert "\N{REPLACEMENT CHARACTER}" not in "".join(parts)
        assert spelling.end() == ""
    spelling = Spelling(tokenizer, tokens[:2])
    assert spelling.add(3 + 0xE2) == ""
    assert spelling.end() == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("length", [0, 3, 40, 5000])
def test_damaged_llama2c_tokenizer(length, tmp_path):
    write(tmp_path / "tokenizer.bin")
    data = (tmp_path / "tokenizer.bin").read_bytes()
    (tmp_path / "tokenizer.bin").write_bytes(data[: min(length, len(data) - 1)])
    with pytest.raises(ValueError, match=r"whole tokenizer\.bin|259 pieces or more"):
        tokenizers.load(tmp_path / "tokenizer.bin")


def test_hugging_face_tokenizer(tmp_path):
    pytest.importorskip("tokenizers")
    vocabulary = {"[UNK]": 0, "good": 1, "morning": 2, ",": 3}
    (tmp_path / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": [],
                "normalizer": {"type": "Lowercase"},
                "pre_tokenizer": {"type": "Whitespace"},
                "post_processor": None,
                "decoder": None,
                "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
            }
        )
    )
    tokenizer = tokenizers.beside(tmp_path)
    assert len(tokenizer) == 4
    tokens = tokenizer.encode("Good morning, all")
    assert tokens.dtype == np.int64
    assert tokens.tolist() == [1, 2, 3, 0]
    assert tokenizer.decode(tokens[:2]) == "good morning"


def test_another_file_is_no_tokenizer(tmp_path):
    with pytest.raises(ValueError, match=r"\.json or \.bin file, not x\.model"):
        tokenizers.load(tmp_path / "x.model")
    assert tokenizers.beside(tmp_path) is None
