"""Makes small checkpoints of random weights, by writers that are not the readers' counterparts."""

import json
import struct

import numpy as np
from safetensors.numpy import save_file

LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 19,
    "max_position_embeddings": 16,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
}
OPT = {
    "model_type": "opt",
    "hidden_size": 32,
    "ffn_dim": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 19,
    "max_position_embeddings": 16,
    "word_embed_proj_dim": 32,
    "do_layer_norm_before": True,
    "tie_word_embeddings": True,
    "activation_function": "relu",
}


def random_tensors(shapes, rng, scale=0.4):
    """Weights large enough that every part shows in the logits; gains about 1."""
    return {
        name: rng.normal(1 if "norm" in name and "weight" in name else 0, scale, shape).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


def llama_tensors(config, rng):
    """Weights of a Llama config, by Hugging Face names."""
    h, f = config["hidden_size"], config["intermediate_size"]
    kv = h // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], h), "model.norm.weight": (h,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], h)
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        shapes |= {
            p + "input_layernorm.weight": (h,),
            p + "post_attention_layernorm.weight": (h,),
            p + "self_attn.q_proj.weight": (h, h),
            p + "self_attn.k_proj.weight": (kv, h),
            p + "self_attn.v_proj.weight": (kv, h),
            p + "self_attn.o_proj.weight": (h, h),
            p + "mlp.gate_proj.weight": (f, h),
            p + "mlp.up_proj.weight": (f, h),
            p + "mlp.down_proj.weight": (h, f),
        }
    return random_tensors(shapes, rng)


def opt_tensors(config, rng):
    """Weights of an OPT config, by Hugging Face names."""
    h, f, e = config["hidden_size"], config["ffn_dim"], config["word_embed_proj_dim"]
    d = "model.decoder."
    shapes = {
        d + "embed_tokens.weight": (config["vocab_size"], e),
        d + "embed_positions.weight": (config["max_position_embeddings"] + 2, h),
    }
    if e != h:
        shapes |= {d + "project_in.weight": (h, e), d + "project_out.weight": (e, h)}
    if config["do_layer_norm_before"]:
        shapes |= {d + "final_layer_norm.weight": (h,), d + "final_layer_norm.bias": (h,)}
    for i in range(config["num_hidden_layers"]):
        p = f"{d}layers.{i}."
        rows = {f"self_attn.{n}_proj": (h, h) for n in ("q", "k", "v", "out")}
        rows |= {"fc1": (f, h), "fc2": (h, f)}
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            rows[name] = (h,)
        for name, shape in rows.items():
            shapes |= {p + name + ".weight": shape, p + name + ".bias": shape[:1]}
    return random_tensors(shapes, rng)


def write_folder(folder, config, tensors, shards=1):
    """A Hugging Face folder: config.json and the tensors, in several files if asked."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    places = {}
    names = sorted(tensors)
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        save_file(part, folder / file)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def write_bfloat(path, tensors):
    """A safetensors file of BF16, put together by hand: the upper halves of the float32."""
    header, data = {}, b""
    for name, tensor in tensors.items():
        halves = (tensor.view(np.uint32) >> 16).astype("<u2").tobytes()
        offsets = [len(data), len(data) + len(halves)]
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": offsets}
        data += halves
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_llama2c(path, config, tensors):
    """As `legacy_export` of llama2.c has it; the tensors' heads must have neighbours as pairs."""
    layers = range(config["num_hidden_layers"])
    dim = config["hidden_size"] // config["num_attention_heads"]
    vocabulary = config["vocab_size"] * (1 if config["tie_word_embeddings"] else -1)
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    numbers = [*(config[n] for n in (*names, "num_key_value_heads")), vocabulary]
    with path.open("wb") as file:
        file.write(struct.pack("<7i", *numbers, config["max_position_embeddings"]))
        file.write(tensors["model.embed_tokens.weight"].tobytes())
        parts = ["input_layernorm"] + [f"self_attn.{n}_proj" for n in "qkvo"]
        parts += ["post_attention_layernorm", *(f"mlp.{n}_proj" for n in ("gate", "down", "up"))]
        for part in parts:
            for i in layers:
                file.write(tensors[f"model.layers.{i}.{part}.weight"].tobytes())
        file.write(tensors["model.norm.weight"].tobytes())
        # The angles' cosines and sines; whoever reads them gets nonsense.
        file.write(np.full(config["max_position_embeddings"] * dim, np.nan, "<f4").tobytes())
        if not config["tie_word_embeddings"]:
            file.write(tensors["lm_head.weight"].tobytes())
    return path
