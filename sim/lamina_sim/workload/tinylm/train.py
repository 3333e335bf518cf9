"""Trains the bundled character model: ``python -m lamina_sim.workload.tinylm.train TEXT``.

PyTorch is needed here and nowhere else. Writes config.json, model.safetensors, vocabulary.json,
heldout.txt and training.json into the output folder. The same text, seed and number of threads
give the same weights on the same machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from lamina_sim.workload.config import Config
from lamina_sim.workload.tinylm.text import Vocabulary, reflow

CONFIG = Config(
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=128,
    max_position_embeddings=128,
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Optimizer settings: AdamW, linear warm-up, cosine decay to a tenth of the peak."""

    steps: int = 6000
    batch: int = 16
    learning_rate: float = 3e-3
    warmup: int = 200
    weight_decay: float = 0.1
    clip: float = 1.0
    heldout_characters: int = 40_000
    log_every: int = 500
    seed: int = 1

    def rate(self, step: int) -> float:
        """Learning rate of optimizer step `step`, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions, [batch, t, hidden] in and out."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        width, kv_width = config.hidden_size, self.kv_heads * config.head_dim
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, kv_width, bias=False)
        self.v_proj = nn.Linear(width, kv_width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Mix positions; cos and sin are [t, head_dim]."""

        def split(y: Tensor, heads: int) -> Tensor:
            return y.unflatten(-1, (heads, -1)).transpose(1, 2)

        def rotate(y: Tensor) -> Tensor:
            low, high = y.chunk(2, -1)
            return y * cos + torch.cat((-high, low), -1) * sin

        query = rotate(split(self.q_proj(x), self.heads))
        key = rotate(split(self.k_proj(x), self.kv_heads))
        value = split(self.v_proj(x), self.kv_heads)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=True
        )
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Each position by itself."""
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """One decoder layer, normalized before each half."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attention, then feed-forward, each added to the residual stream."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """Embedding, layers and final norm; the attribute names are the names in the checkpoint."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        half = torch.arange(0, config.head_dim, 2) / config.head_dim
        positions = torch.arange(config.max_position_embeddings)
        angles = torch.outer(positions, config.rope_theta**-half).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Hidden states [batch, t, hidden] of token ids [batch, t]."""
        x = self.embed_tokens(tokens)
        length = tokens.shape[1]
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return self.norm(x)


class Llama(nn.Module):
    """The language model; initialized with deviation 0.02, residual outputs smaller by depth."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                depth = math.sqrt(2 * config.num_hidden_layers) if residual else 1.0
                nn.init.normal_(weight, std=0.02 / depth)

    def loss(self, windows: Tensor) -> Tensor:
        """Mean nats per character of windows [batch, t + 1], each position given those before."""
        logits = self.lm_head(self.model(windows[:, :-1]))
        return functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def train(
    model: Llama, training: Tensor, heldout: Tensor, context: int, recipe: Recipe
) -> list[dict[str, Any]]:
    """Trains in place; returns the log, one row of step, train and held-out loss at a time."""
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), fused=True)
    evaluation = heldout[: (len(heldout) - 1) // context * context + 1].unfold(
        0, context + 1, context
    )
    offsets = torch.arange(context + 1)
    log: list[dict[str, Any]] = []
    running, started = 0.0, time.monotonic()
    for step in range(recipe.steps):
        starts = torch.randint(len(training) - context, (recipe.batch, 1))
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        loss = model.loss(training[starts + offsets])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        running += loss.item()
        if (step + 1) % recipe.log_every == 0 or step + 1 == recipe.steps:
            with torch.no_grad():
                held = model.loss(evaluation).item()
            count = (step % recipe.log_every) + 1
            row = {"step": step + 1, "train": round(running / count, 4), "heldout": round(held, 4)}
            log.append(row)
            running = 0.0
            print(f"{row}  {time.monotonic() - started:.0f} s", flush=True)
    return log


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the bundled character model.")
    parser.add_argument("text", type=Path, help="plain UTF-8 text; its end is held out")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    arguments = parser.parse_args()
    recipe = Recipe(steps=arguments.steps, seed=arguments.seed)
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(True)

    text = reflow(arguments.text.read_text(encoding="utf-8"))
    vocabulary = Vocabulary.of(text)
    if len(vocabulary) > CONFIG.vocab_size:
        parser.error(
            f"text must have {CONFIG.vocab_size} characters at most, not {len(vocabulary)}"
        )
    tokens = torch.from_numpy(vocabulary.encode(text))
    training, heldout = tokens.split(
        (len(tokens) - recipe.heldout_characters, recipe.heldout_characters)
    )
    model = Llama(CONFIG)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"seed {recipe.seed}, {parameters} parameters, {len(training)} characters", flush=True)
    log = train(model, training, heldout, CONFIG.max_position_embeddings, recipe)

    out: Path = arguments.output
    out.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(CONFIG.to_json(), indent=2) + "\n")
    vocabulary.save(out / "vocabulary.json")
    heldout_text = text[-recipe.heldout_characters :]
    (out / "heldout.txt").write_text(heldout_text, encoding="utf-8", newline="\n")
    record = {
        "recipe": vars(recipe),
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "training_characters": len(training),
        "parameters": parameters,
        "log": log,
    }
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
