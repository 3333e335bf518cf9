"""`lamina gemm` on what `lamina pack` wrote: the checkpoint's weights, and what is refused."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from lamina_gen.cli import main
from lamina_sim.golden import pacq
from lamina_sim.workload.quantize import quantize
from lamina_sim.workload.words import Packed, save
from tb.workload.packing import K, gptq

ARGUMENTS = ["gemm", "--engine", "pacq", "--activations", "A.npy", "-o", "C.npy", "--weights"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_act_order_meets_its_activations(here, rng):
    """From a GPTQ checkpoint to a product on the hardware."""
    tensors, weights = gptq("p", rng, ordered=True)
    save_file(tensors, "model.safetensors")
    config = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    (here / "config.json").write_text(json.dumps({"quantization_config": config}))
    x = rng.normal(size=(3, K)).astype(np.float16)
    np.save("A.npy", x)
    assert main(["pack", ".", "-o", "words.safetensors"]) == 0
    assert main([*ARGUMENTS, "words.safetensors"]) == 0
    found = np.load("C.npy")
    np.testing.assert_allclose(found, x.astype(np.float64) @ weights.T, rtol=1e-5, atol=1e-5)


def test_product_is_chosen(here, rng):
    made = {
        name: quantize(rng.normal(size=(8, 8)).astype(np.float32), 4, group=None)
        for name in ("one", "two")
    }
    save(here / "words.safetensors", ((name, Packed.of(q)) for name, q in made.items()))
    x = rng.normal(size=(2, 8)).astype(np.float16)
    np.save("A.npy", x)
    assert main([*ARGUMENTS, "words.safetensors", "--product", "two"]) == 0
    due = pacq.gemm(x, made["two"].codes, made["two"].scales, bits=4, scale_group=8)
    assert np.array_equal(np.load("C.npy").view(np.uint32), due.view(np.uint32))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "--product must name one product of words.safetensors, which has one, two."),
        (["--product", "six"], "--product must name one product"),
        (["--product", "one", "--scales", "A.npy"], "itself: give no others."),
        (["--product", "one", "--weight-bits", "4"], "itself: give no others."),
        (["--product", "one", "--activations", "B.npy"], "must have shape [m, 8], not (2, 9)."),
    ],
)
def test_refused(options, sentence, here, rng, capfd):
    q = quantize(rng.normal(size=(8, 8)).astype(np.float32), 4, group=None)
    save(here / "words.safetensors", ((name, Packed.of(q)) for name in ("one", "two")))
    np.save("A.npy", np.zeros((2, 8), np.float16))
    np.save("B.npy", np.zeros((2, 9), np.float16))
    assert main([*ARGUMENTS, "words.safetensors", *options]) == 2
    assert capfd.readouterr().err.endswith(f"{sentence}\n" if sentence.endswith(".") else "")
    assert not (here / "C.npy").exists()


def test_plain_weights_need_scales(here, capfd):
    np.save("A.npy", np.zeros((2, 8), np.float16))
    np.save("W.npy", np.zeros((8, 8), np.int8))
    assert main([*ARGUMENTS, "W.npy"]) == 2
    assert "need --scales" in capfd.readouterr().err
