"""GPTQ and AWQ checkpoints: packed here value by value, as the published packers do it."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from lamina_sim.workload import checkpoint
from lamina_sim.workload.packed import Packing
from lamina_sim.workload.safetensors_file import open_file
from tb.workload import checkpoints, plain
from tb.workload.packing import PRODUCTS, K, awq, gptq


def unpacked(tmp_path, tensors, entries):
    save_file(tensors, tmp_path / "x.safetensors")
    return Packing.from_json(entries).unpack("p", open_file(tmp_path / "x.safetensors"))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("form", ["gptq", "gptq_v2"])
def test_gptq(bits, ordered, form, tmp_path, rng):
    tensors, weights = gptq("p", rng, bits, ordered=ordered, minus_one=form == "gptq")
    entries = {"quant_method": "gptq", "bits": bits, "group_size": 32, "checkpoint_format": form}
    q = unpacked(tmp_path, tensors, entries)
    np.testing.assert_allclose(q.dequantize().T, weights, rtol=1e-6, atol=1e-6)
    assert (q.order is not None) == ordered
    assert (q.bits, q.group) == (bits, 32)
    # Whoever multiplies by the codes rearranges the activations instead.
    x = rng.normal(size=(3, K))
    integers = q.codes - np.repeat(q.zero_points, 32, 0).astype(np.int64)
    product = q.arranged(x) @ (integers * np.repeat(q.scales, 32, 0).astype(np.float64))
    np.testing.assert_allclose(product, x @ weights.T, rtol=1e-9, atol=1e-9)


def test_one_group_for_all(tmp_path, rng):
    tensors, weights = gptq("p", rng, group=K)
    q = unpacked(tmp_path, tensors, {"bits": 4, "group_size": -1})
    np.testing.assert_allclose(q.dequantize().T, weights, rtol=1e-6, atol=1e-6)


def test_awq(tmp_path, rng):
    tensors, weights = awq("p", rng)
    q = unpacked(tmp_path, tensors, {"quant_method": "awq", "bits": 4, "group_size": 32})
    np.testing.assert_allclose(q.dequantize().T, weights, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["gptq", "awq", "gptq file"])
def test_quantized_model(method, tmp_path, rng):
    config = checkpoints.LLAMA | {"intermediate_size": 64, "num_key_value_heads": 4}
    tensors = checkpoints.llama_tensors(config, rng)
    full, stored = dict(tensors), dict(tensors)
    for i in range(2):
        for part in PRODUCTS:
            name = f"model.layers.{i}.{part}"
            n, k = stored.pop(f"{name}.weight").shape
            make = awq if method == "awq" else gptq
            packed, full[f"{name}.weight"] = make(name, rng, k=k, n=n)
            stored |= packed
    entries = {"quant_method": method[:4].strip(), "bits": 4, "group_size": 32}
    own = {} if method == "gptq file" else {"quantization_config": entries}
    folder = checkpoints.write_folder(tmp_path, config | own, stored)
    if not own:
        (folder / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": 32}))
    opened = checkpoint.load(folder)
    tokens = [3, 1, 4, 1, 5]
    expected = plain.llama(config, full, tokens)
    error = np.abs(opened.model.forward(tokens) - expected).max()
    assert error <= 1e-4 * np.abs(expected).max()
    assert set(opened.quantized) == set(opened.model.products())


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"quant_method": "bitsandbytes"}, "gptq or awq, not 'bitsandbytes'"),
        ({"bits": 5}, "2, 3, 4, 8, not 5"),
        ({"quant_method": "awq", "bits": 8}, "one of 4, not 8"),
        ({"bits": 4, "group_size": 0}, "positive, or -1 for all, not 0"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "gemm, not 'gemv'"),
    ],
)
def test_unknown_packings(entries, sentence):
    with pytest.raises(ValueError, match=sentence):
        Packing.from_json(entries)


@pytest.mark.parametrize(
    ("part", "change", "sentence"),
    [
        ("qzeros", None, "p.qzeros must be there"),
        ("qweight", lambda t: t[:-1], r"p.scales|p.qzeros|p.g_idx"),
        ("qzeros", lambda t: t[:, :-1], r"p.qzeros must have shape \(2, 4\), not \(2, 3\)"),
        ("scales", lambda t: t.astype(np.float32), "p.scales must be F16, not F32"),
        ("g_idx", lambda t: t * 0, "p.g_idx must put 32 elements into each group"),
        ("qweight", lambda t: t.reshape(-1), "2 dimensions"),
    ],
)
def test_damaged_products(part, change, sentence, tmp_path, rng):
    tensors, _ = gptq("p", rng)
    tensor = tensors.pop(f"p.{part}")
    if change:
        tensors[f"p.{part}"] = np.ascontiguousarray(change(tensor))
    with pytest.raises(ValueError, match=sentence):
        unpacked(tmp_path, tensors, {"bits": 4, "group_size": 32})
