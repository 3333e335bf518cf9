"""Words packed along n: out of GPTQ, AWQ and plain codes, through files, and what is refused."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lamina_gen.cli import main
from lamina_sim.golden import pacq
from lamina_sim.workload import words
from lamina_sim.workload.codes import open_codes
from lamina_sim.workload.quantize import Quantized, quantize, same
from lamina_sim.workload.safetensors_file import metadata, open_file, write_file
from tb.workload.packing import K, N, awq, gptq

CONFIGS = {
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 32},
    "gptq_v2": {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": 32,
        "checkpoint_format": "gptq_v2",
    },
    "gptq2": {"quant_method": "gptq", "bits": 2, "group_size": 32},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 32},
}


def folder_of(path, tensors, config):
    path.mkdir(exist_ok=True)
    save_file(tensors, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps({"quantization_config": config}))
    return path


def make(method, rng, name="p"):
    if method == "awq":
        return awq(name, rng)
    bits = CONFIGS[method]["bits"]
    return gptq(name, rng, bits, ordered=True, minus_one=method != "gptq_v2")


def plain_tensors(rng, bits=4, k=64, n=16, group=16, columns=1, zeros=True):
    low = -(1 << bits - 1)
    shape = -(-k // group), -(-n // columns)
    tensors = {
        "x.codes": rng.integers(low, -low, (k, n)).astype(np.int8),
        "x.scales": rng.uniform(0.01, 0.1, shape).astype(np.float16),
    }
    if zeros:
        tensors["x.zero_points"] = rng.integers(low, -low, shape).astype(np.int8)
    return tensors


def weights_of(tensors, group, columns):
    """The weights of plain tensors, value by value."""
    codes = tensors["x.codes"].astype(np.float64)
    result = np.empty(codes.shape)
    for i, j in np.ndindex(*codes.shape):
        place = i // group, j // columns
        zero = tensors["x.zero_points"][place] if "x.zero_points" in tensors else 0
        result[i, j] = (codes[i, j] - zero) * float(tensors["x.scales"][place])
    return result


def unpacked(words_, bits):
    """Codes of words [k, w], field by field."""
    k, w = words_.shape
    x = 16 // bits
    result = np.empty((k, w * x), np.int64)
    for i, j in np.ndindex(k, w * x):
        field = int(words_[i, j // x]) >> (bits * (j % x)) & ((1 << bits) - 1)
        result[i, j] = field - (1 << bits - 1)
    return result


@pytest.mark.parametrize("method", CONFIGS)
def test_checkpoints_are_packed(method, tmp_path, rng):
    """The file's own tensors, read by the reference package, are the checkpoint's weights."""
    tensors, weights = make(method, rng)
    source = folder_of(tmp_path / "model", tensors, CONFIGS[method])
    out = tmp_path / "w.safetensors"
    assert main(["pack", str(source), "-o", str(out)]) == 0
    found = load_file(out)
    bits = CONFIGS[method]["bits"]
    assert found["p.words"].dtype == np.uint16
    assert found["p.words"].shape == (K, N * bits // 16)
    rows = np.arange(K) // 32
    integers = unpacked(found["p.words"], bits) - found["p.zero_points"][rows]
    sorted_weights = integers * found["p.scales"][rows].astype(np.float64)
    order = found.get("p.order", np.arange(K))
    assert ("p.order" in found) == (method != "awq")
    result = np.empty_like(sorted_weights)
    result[order] = sorted_weights
    np.testing.assert_allclose(result.T, weights, rtol=1e-6, atol=1e-6)
    assert same(words.load(out)["p"].quantized(), open_codes(source)["p"])


def test_packed_weights_give_the_product(tmp_path, rng):
    """With act-order, activations in the words' order meet the right weights."""
    tensors, weights = gptq("p", rng, ordered=True)
    source = folder_of(tmp_path / "model", tensors, CONFIGS["gptq"])
    assert main(["pack", str(source), "-o", str(tmp_path / "w.safetensors")]) == 0
    q = words.load(tmp_path / "w.safetensors")["p"].quantized()
    x = rng.normal(size=(3, K)).astype(np.float16)
    arrays = q.arranged(x), q.codes, q.scales
    found = pacq.gemm(*arrays, bits=4, zero_points=q.zero_points, scale_group=q.group)
    np.testing.assert_allclose(found, x.astype(np.float64) @ weights.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("beside", ["quantize_config.json", "config.json"])
def test_a_single_file(beside, tmp_path, rng):
    tensors, _ = awq("p", rng)
    save_file(tensors, tmp_path / "model-4bit-32g.safetensors")
    config = CONFIGS["awq"]
    entries = {"quantization_config": config} if beside == "config.json" else config
    (tmp_path / beside).write_text(json.dumps(entries))
    assert list(open_codes(tmp_path / "model-4bit-32g.safetensors")) == ["p"]


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("bits", [4, 2])
def test_plain_codes_round_trip(bits, columns, zeros, tmp_path, rng):
    """g[32, 4] among them: one scale for 32 along k and 4 along n."""
    group = 32
    tensors = plain_tensors(rng, bits, k=80, n=24, group=group, columns=columns, zeros=zeros)
    save_file(tensors, tmp_path / "codes.safetensors")
    out = tmp_path / "w.safetensors"
    arguments = ["--weight-bits", bits, "--scale-group", group, "--scale-columns", columns]
    source = str(tmp_path / "codes.safetensors")
    assert main(["pack", source, *map(str, arguments), "-o", str(out)]) == 0
    packed = words.load(out)["x"]
    assert (packed.bits, packed.group, packed.columns) == (bits, group, columns)
    # Scales are kept as they came, one for all that share it.
    assert np.array_equal(packed.scales, tensors["x.scales"])
    assert np.array_equal(unpacked(packed.words, bits), tensors["x.codes"])
    np.testing.assert_allclose(packed.quantized().dequantize(), weights_of(tensors, group, columns))
    assert (packed.zero_points is None) == (not zeros)


def test_scales_shared_along_n(rng):
    """A group of 32 by 4 is quantized as the 128 weights that it is."""
    weights = rng.normal(size=(70, 10)).astype(np.float32)
    q = quantize(weights, 4, group=32, columns=4)
    for i in range(0, 70, 32):
        for j in range(0, 10, 4):
            block = weights[i : i + 32, j : j + 4]
            scale = np.float16(np.abs(block.astype(np.float64)).max() / 7)
            assert (q.scales[i // 32, j : j + 4] == scale).all()
            error = np.abs(q.dequantize()[i : i + 32, j : j + 4] - block)
            assert error.max() <= 0.51 * scale
    assert same(quantize(weights, 4, group=32), quantize(weights, 4, group=32, columns=1))
    with pytest.raises(ValueError, match="columns must be between 1 and 10, not 11"):
        quantize(weights, 4, group=32, columns=11)


def plain_case(change=None, **settings):
    def build(folder, rng):
        tensors = plain_tensors(rng, **settings)
        if change:
            change(tensors)
        save_file(tensors, folder / "codes.safetensors")
        return folder / "codes.safetensors"

    return build


def gptq_case(change=None, config=None, **settings):
    def build(folder, rng):
        tensors, _ = gptq("p", rng, **settings)
        if change:
            change(tensors)
        return folder_of(folder, tensors, CONFIGS["gptq"] | (config or {}))

    return build


def replaced(name, edit):
    def change(tensors):
        tensor = tensors.pop(name)
        if edit:
            tensors[name] = np.ascontiguousarray(edit(tensor))

    return change


def poked(name, value):
    def change(tensors):
        tensors[name].flat[5] = value

    return change


def damaged(folder, rng):
    path = plain_case()(folder, rng)
    path.write_bytes(path.read_bytes()[:-7])
    return path


def floats(folder, rng):
    save_file({"model.norm.weight": np.ones(8, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


GROUP = ("--scale-group", "16")
REFUSED = {
    "odd n": (plain_case(n=15), GROUP, "x: codes must have a multiple of 4"),
    "n of INT2": (plain_case(n=12, bits=2), (*GROUP, "--weight-bits", "2"), "a multiple of 8 col"),
    "a code too large": (
        plain_case(poked("x.codes", 8)),
        GROUP,
        "between -8 and 7 for 4 bits, not 8",
    ),
    "a code too small": (
        plain_case(poked("x.codes", -9)),
        GROUP,
        "between -8 and 7 for 4 bits, not -9",
    ),
    "INT4 as INT2": (plain_case(), (*GROUP, "--weight-bits", "2"), "between -2 and 1 for 2 bits"),
    "a zero point": (
        plain_case(poked("x.zero_points", 8)),
        GROUP,
        "Zero points must be between -8",
    ),
    "other group": (
        plain_case(),
        ("--scale-group", "32"),
        "x.scales must have shape (2, 16), not (4",
    ),
    "other columns": (plain_case(columns=4), GROUP, "x.scales must have shape (4, 16), not (4, 4)"),
    "group of 6": (
        plain_case(group=6),
        ("--scale-group", "6"),
        "x: A scale group must be a multiple",
    ),
    "group below 0": (plain_case(), ("--scale-group", "-1"), "--scale-group must be at least 0"),
    "columns 0": (plain_case(), (*GROUP, "--scale-columns", "0"), "must be at least 1, not 0"),
    "bits 3": (plain_case(), ("--weight-bits", "3"), "--weight-bits must be 2 or 4, not 3"),
    "no scales": (plain_case(replaced("x.scales", None)), GROUP, "x.scales must be there"),
    "float scales": (
        plain_case(replaced("x.scales", lambda t: t.astype(np.float32))),
        GROUP,
        "must be F16, not F32",
    ),
    "a scale of Inf": (plain_case(poked("x.scales", np.inf)), GROUP, "x: Scales must be finite"),
    "codes of INT16": (
        plain_case(replaced("x.codes", lambda t: t.astype(np.int16))),
        GROUP,
        "must be I8, not I16",
    ),
    "codes of 1 dimension": (
        plain_case(replaced("x.codes", lambda t: t.ravel())),
        GROUP,
        "must have 2 dimensions",
    ),
    "cut short": (damaged, GROUP, "cut short"),
    "floats": (floats, (), "must hold quantized weights"),
    "8 bits": (gptq_case(bits=8, config={"bits": 8}), (), "p: Codes must have 2 or 4 bits"),
    "group size": (gptq_case(config={"group_size": 64}), (), "p.qzeros must have shape (1, 4)"),
    "g_idx": (gptq_case(replaced("p.g_idx", lambda t: t * 0)), (), "p.g_idx must put 32 elements"),
    "no zeros": (gptq_case(replaced("p.qzeros", None)), (), "p.qzeros must be there"),
    "scales not alike": (
        gptq_case(),
        ("--scale-columns", "4"),
        "p: The scales of each 4 neighbouring",
    ),
    "nothing there": (lambda folder, rng: folder / "none", (), "No such file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path, rng, capfd):
    build, options, sentence = REFUSED[case]
    source = tmp_path / "source"
    source.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["pack", str(build(source, rng)), *options, "-o", str(out / "w.safetensors")]
    assert main(arguments) == 2
    output, error = capfd.readouterr()
    assert not output
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert error.endswith(".\n")
    assert not list(out.iterdir())


def saved(tmp_path, rng, edit=None, about=None):
    q = quantize(rng.normal(size=(64, 16)).astype(np.float32), 4, group=32)
    path = tmp_path / "w.safetensors"
    words.save(path, [("x", words.Packed.of(q))])
    if edit or about:
        tensors, notes = load_file(path), metadata(path)
        if edit:
            tensors = edit(tensors)
        write_file(path, tensors.items(), lambda: notes | (about or {}))
    return path


@pytest.mark.parametrize(
    ("edit", "about", "sentence"),
    [
        (lambda t: {"x.scales": t["x.scales"]}, None, "x.words must be there"),
        (lambda t: t | {"x.scales": t["x.scales"][:1]}, None, r"shape \(2, 16\), not \(1, 16\)"),
        (lambda t: t | {"x.words": t["x.words"][0]}, None, "x.words must have 2 dimensions"),
        (lambda t: t | {"x.words": t["x.words"].view(np.int16)}, None, "must be U16, not I16"),
        (lambda t: t | {"x.order": np.zeros(64, np.int32)}, None, "each of the 64 inputs once"),
        (None, {"format": "other"}, "must be a file of words"),
        (None, {"products": "{"}, "must say bits, group and columns"),
        (None, {"products": '{"x": {"bits": 4, "group": 0, "columns": 1}}'}, "must say bits"),
        (None, {"products": '{"x": {"bits": 3, "group": 32, "columns": 1}}'}, "x must be 2 or 4"),
    ],
)
def test_damaged_words(edit, about, sentence, tmp_path, rng):
    with pytest.raises(ValueError, match=sentence):
        words.load(saved(tmp_path, rng, edit, about))


def test_files_are_aligned_and_without_gaps(tmp_path, rng):
    """What readers that map a file in place want of it."""
    path = tmp_path / "w.safetensors"
    arrays = {
        "bytes": rng.integers(0, 9, 3).astype(np.int8),
        "words": rng.integers(0, 9, (1, 3)).astype(np.uint16),
        "order": np.arange(3, dtype=np.int32),
        "more": np.zeros((5, 1), np.int8),
    }
    write_file(path, arrays.items(), lambda: {"a": "b"})
    found = load_file(path)
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    assert metadata(path) == {"a": "b"}
    for stored in open_file(path).values():
        assert stored.array.__array_interface__["data"][0] % stored.array.itemsize == 0


def test_words_need_codes_of_2_or_4_bits(rng):
    q = quantize(rng.normal(size=(64, 16)).astype(np.float32), 8, group=32)
    with pytest.raises(ValueError, match="must have 2 or 4 bits to be packed, not 8"):
        words.Packed.of(q)
    same_scales = Quantized(
        codes=np.zeros((8, 8), np.int8), scales=np.ones((1, 8), np.float16), zero_points=None,
        bits=4, group=8,
    )  # fmt: skip
    assert words.Packed.of(same_scales, 8).scales.shape == (1, 1)
