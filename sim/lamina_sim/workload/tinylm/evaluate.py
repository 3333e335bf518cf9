"""Measures the bundled model: ``python -m lamina_sim.workload.tinylm.evaluate [FOLDER]``.

Writes evaluation.json beside the model: the held-out loss of the NumPy forward pass at float16
and with quantized weights, and sample text. The docs and the tests take their figures from there.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from lamina_sim.workload.decoder import Linear, loss
from lamina_sim.workload.generation import generate
from lamina_sim.workload.llama import Llama
from lamina_sim.workload.quantize import quantize
from lamina_sim.workload.tensors import Float
from lamina_sim.workload.tinylm import FOLDER, heldout, load

PROMPT = "She was surprised to find that "
CHARACTERS = 400
TEMPERATURE = 0.6
SEED = 1


def rounded(model: Llama, bits: int, group: int) -> Linear:
    """A `Linear` whose weights went through `quantize`; lm_head keeps its precision."""
    table: dict[str, Float] = {
        name: quantize(weight.T, bits, group=group).dequantize()
        for name, weight in model.weights.items()
        if name.endswith("_proj.weight")
    }
    return lambda name, x, weight: x @ table.get(f"{name}.weight", weight.T)


def main() -> None:
    """Command line."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    model, vocabulary = load(folder)
    tokens = vocabulary.encode(heldout(folder))
    nats = loss(model, tokens)
    record: dict[str, Any] = {
        "heldout_characters": len(tokens),
        "heldout_nats_per_character": round(nats, 4),
        "heldout_bits_per_character": round(nats / math.log(2), 4),
        "heldout_nats_with_quantized_weights": {
            f"int{bits}": {
                f"group{group}": round(loss(model, tokens, linear=rounded(model, bits, group)), 4)
                for group in (64, 128)
            }
            for bits in (8, 4, 3, 2)
        },
    }
    for name, temperature in (("greedy", 0.0), ("sampled", TEMPERATURE)):
        text = generate(
            model,
            vocabulary.encode(PROMPT),
            CHARACTERS,
            temperature=temperature,
            seed=SEED,
            vocabulary=len(vocabulary),
        )
        record[name] = {
            "prompt": PROMPT,
            "temperature": temperature,
            "seed": SEED,
            "text": vocabulary.decode(list(text)),
        }
    (folder / "evaluation.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
