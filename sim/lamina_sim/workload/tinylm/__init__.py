"""The bundled model: a character model of English prose, small enough for RTL simulation."""

from __future__ import annotations

from pathlib import Path

from lamina_sim.workload.llama import Llama
from lamina_sim.workload.tinylm.text import Vocabulary

FOLDER = Path(__file__).parent


def load(folder: Path = FOLDER) -> tuple[Llama, Vocabulary]:
    """The bundled model, or another of the same layout, and its tokenizer."""
    return Llama.load(folder), Vocabulary.load(folder / "vocabulary.json")


def heldout(folder: Path = FOLDER) -> str:
    """Text of the training source that the model was not trained on."""
    return (folder / "heldout.txt").read_text(encoding="utf-8")
