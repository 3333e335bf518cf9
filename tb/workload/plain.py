"""Llama and OPT written down a second time: float64, one position and one head after the other.

Nothing here is shared with `lamina_sim`: what both get right, both have from the papers.
"""

import cmath
import math

import numpy as np


def softmax(scores):
    weights = np.exp(np.array(scores) - max(scores))
    return weights / weights.sum()


def attend(query, keys, values):
    weights = softmax([query @ key for key in keys])
    return sum(w * value for w, value in zip(weights, values, strict=True))


def rope_frequencies(config, dim, length):
    """One angle per pair and position, as the branches of the published code have it."""
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = scaling.get("rope_type", scaling.get("type"))
    theta = config.get("rope_theta", scaling.get("rope_theta", 10000.0))
    trained = config["max_position_embeddings"]
    if kind == "dynamic" and length > trained:
        base = scaling["factor"] * length / trained - (scaling["factor"] - 1)
        theta *= base ** (dim / (dim - 2))
    result = []
    for i in range(dim // 2):
        frequency = 1 / theta ** (2 * i / dim)
        if kind == "linear":
            frequency /= scaling["factor"]
        if kind == "llama3":
            old = scaling["original_max_position_embeddings"]
            low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
            wavelength = 2 * math.pi / frequency
            if wavelength > old / low:
                frequency /= scaling["factor"]
            elif wavelength >= old / high:
                smooth = (old / wavelength - low) / (high - low)
                frequency = (1 - smooth) * frequency / scaling["factor"] + smooth * frequency
        result.append(frequency)
    return result


def turn(head, position, frequencies, neighbours):
    """Pairs as complex numbers: (0, 1), (2, 3), .. or (0, half), (1, half + 1), .."""
    half = len(head) // 2
    result = np.empty_like(head)
    for i, frequency in enumerate(frequencies):
        a, b = (2 * i, 2 * i + 1) if neighbours else (i, i + half)
        z = complex(head[a], head[b]) * cmath.rect(1, position * frequency)
        result[a], result[b] = z.real, z.imag
    return result


def llama(config, tensors, tokens, neighbours=False):
    """Logits of a Llama whose tensors have Hugging Face names; `neighbours` as in llama2.c."""
    w = {name: np.asarray(tensor, dtype=np.float64) for name, tensor in tensors.items()}
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    dim = config["hidden_size"] // heads
    frequencies = rope_frequencies(config, dim, len(tokens))

    def norm(x, gain):
        return x / math.sqrt((x @ x) / len(x) + config.get("rms_norm_eps", 1e-5)) * gain

    xs = [w["model.embed_tokens.weight"][token] for token in tokens]
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        keys, values = [], []
        for position, x in enumerate(xs):
            y = norm(x, w[p + "input_layernorm.weight"])
            q, k, v = (w[p + f"self_attn.{n}_proj.weight"] @ y for n in "qkv")
            q = [turn(h, position, frequencies, neighbours) for h in np.split(q, heads)]
            k = [turn(h, position, frequencies, neighbours) for h in np.split(k, kv_heads)]
            keys.append(k)
            values.append(np.split(v, kv_heads))
            mixed = []
            for h in range(heads):
                kv = h // (heads // kv_heads)
                past = [k[kv] for k in keys], [v[kv] for v in values]
                mixed.append(attend(q[h] / math.sqrt(dim), *past))
            x = x + w[p + "self_attn.o_proj.weight"] @ np.concatenate(mixed)
            y = norm(x, w[p + "post_attention_layernorm.weight"])
            gate = w[p + "mlp.gate_proj.weight"] @ y
            inner = gate / (1 + np.exp(-gate)) * (w[p + "mlp.up_proj.weight"] @ y)
            xs[position] = x + w[p + "mlp.down_proj.weight"] @ inner
    head = w["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    return np.array([head @ norm(x, w["model.norm.weight"]) for x in xs])


def opt(config, tensors, tokens):
    """Logits of an OPT whose tensors have Hugging Face names."""
    w = {
        name.removeprefix("model.decoder."): np.asarray(tensor, dtype=np.float64)
        for name, tensor in tensors.items()
    }
    heads = config["num_attention_heads"]
    dim = config["hidden_size"] // heads
    before = config["do_layer_norm_before"]

    def norm(x, name):
        return (x - x.mean()) / math.sqrt(x.var() + 1e-5) * w[name + ".weight"] + w[name + ".bias"]

    def product(x, name):
        return w[name + ".weight"] @ x + w[name + ".bias"]

    xs = []
    for position, token in enumerate(tokens):
        x = w["embed_tokens.weight"][token]
        x = w["project_in.weight"] @ x if "project_in.weight" in w else x
        xs.append(x + w["embed_positions.weight"][position + 2])
    for layer in range(config["num_hidden_layers"]):
        p = f"layers.{layer}."
        keys, values = [], []
        for position, x in enumerate(xs):
            y = norm(x, p + "self_attn_layer_norm") if before else x
            q, k, v = (np.split(product(y, p + f"self_attn.{n}_proj"), heads) for n in "qkv")
            keys.append(k)
            values.append(v)
            mixed = [
                attend(q[h] / math.sqrt(dim), [k[h] for k in keys], [v[h] for v in values])
                for h in range(heads)
            ]
            x = x + product(np.concatenate(mixed), p + "self_attn.out_proj")
            x = x if before else norm(x, p + "self_attn_layer_norm")
            y = norm(x, p + "final_layer_norm") if before else x
            x = x + product(np.maximum(product(y, p + "fc1"), 0), p + "fc2")
            xs[position] = x if before else norm(x, p + "final_layer_norm")
    head = w["embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    logits = []
    for x in xs:
        x = norm(x, "final_layer_norm") if before else x
        logits.append(head @ (w["project_out.weight"] @ x if "project_out.weight" in w else x))
    return np.array(logits)
