"""Transposer against the golden store: every format at every number of planes, both roundings."""

import numpy as np
import pytest

from lamina_sim.golden import store
from tb.bench import bulk_model, parameters, run_bench
from tb.store.blocks import beats_in, last_of, octets, random_codes, words

FORMATS = list(store.FORMATS.values())
INTEGERS = [form for form in FORMATS if not form.floating]


def transposer(form, direction):
    return bulk_model("store.transpose", container_bits=form.container_bits, direction=direction)


def lines_of(codes, form):
    """Blocks of codes as container lines, uint8 [lines, 64]."""
    return codes.view(np.uint8).reshape(len(codes) * form.container_bits, 64)


def visible(codes, form, read):
    """Replace each NaN of which the ``read`` top planes show no mantissa bit by one they show."""
    if not form.floating:
        return codes
    infinity = form.floating.infinity
    seen = (codes & 0x7FFF) >> (16 - read) << (16 - read)
    hidden = ((codes & 0x7FFF) > infinity) & (seen == infinity)
    return np.where(hidden, infinity, codes).astype(np.uint16)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_to_planes(form, rng):
    blocks, side = 40, form.container_bits
    codes = random_codes(rng, blocks, form)
    end = np.zeros(blocks * side, bool)
    end[-1] = True
    inputs = beats_in(lines_of(codes, form), last_of(blocks, side), form, end=end)
    result = transposer(form, "to_planes").run({"i": inputs}, outputs={"o": blocks * form.bits})
    beats = result["o"].values["beat"]
    expected = store.to_planes(codes, form.bits).reshape(-1, 64)
    assert np.array_equal(octets(beats["bits"]), expected)
    assert np.array_equal(beats["last"], last_of(blocks, form.bits))
    assert np.flatnonzero(beats["end"]).tolist() == [blocks * form.bits - 1]
    assert np.unique(result["o"].values["format"]["planes"]).tolist() == [form.bits]
    # A line in every cycle, from block to block.
    assert np.array_equal(np.diff(result.accepted["i"]), np.ones(blocks * side - 1))
    latency = parameters("store.transpose", container_bits=side).latency + side - form.bits
    assert result["o"].cycles[0] - result.accepted["i"][0] == latency


@pytest.mark.parametrize("rounding", ["truncate", "nearest"])
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_from_planes(form, rounding, rng):
    blocks, side = 30, form.container_bits
    model = transposer(form, "from_planes")
    for keep in range(form.least_planes, form.bits + 1):
        read = store.View(kind="container", format=form, keep=keep, rounding=rounding).planes_read
        codes = visible(random_codes(rng, blocks, form), form, read)
        planes = store.to_planes(codes, form.bits)
        inputs = beats_in(
            planes[:, :read],
            last_of(blocks, read),
            form,
            keep=keep,
            nearest=rounding == "nearest",
        )
        result = model.run({"i": inputs}, outputs={"o": blocks * side})
        beats = result["o"].values["beat"]
        name = form.name if form.floating else "fp16"
        expected = store.from_planes(planes, form.bits, keep, rounding, name)
        assert np.array_equal(octets(beats["bits"]), lines_of(expected, form)), keep
        assert np.array_equal(beats["last"], last_of(blocks, side))
        # A line out every cycle, from block to block.
        assert np.array_equal(np.diff(result["o"].cycles), np.ones(blocks * side - 1))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"container_bits": 4}, "container_bits must be one of 8, 16, not 4."),
        ({"direction": "up"}, "direction must be one of to_planes, from_planes, not 'up'."),
    ],
)
def test_parameters_are_checked(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        parameters("store.transpose", **settings)


@pytest.mark.parametrize("container_bits", [8, 16])
def test_from_planes_latency(container_bits, rng):
    settings = {"container_bits": container_bits, "direction": "from_planes"}
    form = store.INT8 if container_bits == 8 else store.BF16
    planes = store.to_planes(random_codes(rng, 1, form), form.bits)
    inputs = beats_in(planes, last_of(1, form.bits), form)
    result = bulk_model("store.transpose", **settings).run({"i": inputs})
    latency = parameters("store.transpose", **settings).latency
    assert result["o"].cycles[0] - result.accepted["i"][0] == latency


def mixed_blocks(rng, blocks):
    """Blocks that change format, planes and rounding from one to the next: inputs and lines."""
    fields = {"bits": [], "last": [], "planes": [], "keep": [], "nearest": [], "error": []}
    lines, wrong = [], []
    for block in range(blocks):
        form = INTEGERS[rng.integers(len(INTEGERS))]
        keep, rounding = int(rng.integers(1, form.bits + 1)), int(rng.integers(2))
        read = min(form.bits, keep + rounding)
        planes = store.to_planes(random_codes(rng, 1, form), form.bits)
        error = (rng.random(read) < 0.5) & (block % 3 == 0)
        fields["bits"].append(words(planes[:, :read]))
        fields["last"].append(last_of(1, read))
        fields["error"].append(error)
        for name, value in (("planes", form.bits), ("keep", keep), ("nearest", rounding)):
            fields[name].append(np.full(read, value))
        code = store.from_planes(planes, form.bits, keep, ("truncate", "nearest")[rounding])
        lines.append(lines_of(code, form))
        wrong.append(np.full(8, error.any()))
    flat = {name: np.concatenate(parts) for name, parts in fields.items()}
    beat = {name: flat.pop(name) for name in ("bits", "last", "error")}
    inputs = {"beat": beat | {"end": 0}, "format": flat | {"bfloat": 0}}
    return inputs, np.concatenate(lines), np.concatenate(wrong)


@pytest.mark.parametrize("stall", [0.0, 0.2, 0.7, {"i": 0.8, "o": 0}, {"i": 0, "o": 0.8}])
def test_mixed_formats_under_stalls(stall, rng):
    inputs, lines, wrong = mixed_blocks(rng, 200)
    model = bulk_model("store.transpose", container_bits=8, direction="from_planes")
    seed = int(rng.integers(1 << 30))
    result = model.run({"i": inputs}, outputs={"o": len(lines)}, stall=stall, seed=seed)
    beats = result["o"].values["beat"]
    assert np.array_equal(octets(beats["bits"]), lines)
    assert np.array_equal(beats["error"], wrong)
    again = model.run(
        {"i": inputs}, outputs={"o": len(lines)}, stall=stall, seed=seed, reset_at=101
    )
    assert np.array_equal(again["o"].words, result["o"].words)


@pytest.mark.parametrize("stall", [0.3, {"i": 0.8, "o": 0}, {"i": 0, "o": 0.8}])
@pytest.mark.parametrize("form", [store.INT3, store.FP16], ids=lambda form: form.name)
def test_to_planes_under_stalls(form, stall, rng):
    blocks, side = 60, form.container_bits
    codes = random_codes(rng, blocks, form)
    error = rng.random(blocks * side) < 0.02
    inputs = beats_in(lines_of(codes, form), last_of(blocks, side), form, error=error)
    result = transposer(form, "to_planes").run(
        {"i": inputs}, outputs={"o": blocks * form.bits}, stall=stall, seed=int(rng.integers(99))
    )
    beats = result["o"].values["beat"]
    expected = store.to_planes(codes, form.bits).reshape(-1, 64)
    assert np.array_equal(octets(beats["bits"]), expected)
    wrong = error.reshape(blocks, side).any(axis=1).repeat(form.bits)
    assert np.array_equal(beats["error"], wrong)


def test_a_block_does_not_wait_for_the_next(rng):
    """Three lines of a second block are in, and no more come: the first block leaves whole."""
    codes = random_codes(rng, 2, store.INT8)
    inputs = beats_in(lines_of(codes, store.INT8)[:11], np.arange(11) == 7, store.INT8)
    result = transposer(store.INT8, "to_planes").run({"i": inputs})
    expected = store.to_planes(codes[:1], 8).reshape(-1, 64)
    assert np.array_equal(octets(result["o"].values["beat"]["bits"]), expected)


@pytest.mark.parametrize("planes", [0, 9, 31])
@pytest.mark.parametrize("direction", ["to_planes", "from_planes"])
def test_a_contradictory_format_does_not_hang(direction, planes, rng):
    """What comes of such a block means nothing, but the block behind it is whole."""
    codes = random_codes(rng, 1, store.INT8)
    to_planes = direction == "to_planes"
    good = lines_of(codes, store.INT8) if to_planes else store.to_planes(codes, 8)[0]
    inputs = beats_in(np.concatenate([good, good]), last_of(2, 8), store.INT8)
    inputs["format"]["planes"] = np.array([planes] * 8 + [8] * 8)
    result = transposer(store.INT8, direction).run({"i": inputs})
    assert len(result.accepted["i"]) == 16
    expected = store.to_planes(codes, 8)[0] if to_planes else lines_of(codes, store.INT8)
    assert np.array_equal(octets(result["o"].values["beat"]["bits"])[-8:], expected)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_code_and_back(form, rng):
    """Every code of a format, to planes and back, is itself."""
    count = 1 << form.bits
    codes = np.resize(np.arange(count), (max(count // 512, 1), 512))
    codes = codes.astype(form.dtype) if form.floating else (codes - count // 2).astype(np.int8)
    blocks, side = len(codes), form.container_bits
    inputs = beats_in(lines_of(codes, form), last_of(blocks, side), form)
    planes = transposer(form, "to_planes").run({"i": inputs}, outputs={"o": blocks * form.bits})
    result = transposer(form, "from_planes").run({"i": planes["o"].words})
    assert np.array_equal(octets(result["o"].values["beat"]["bits"]), lines_of(codes, form))


@pytest.mark.parametrize("direction", ["to_planes", "from_planes"])
@pytest.mark.parametrize("container_bits", [8, 16])
def test_bench(container_bits, direction):
    settings = {"container_bits": container_bits, "direction": direction}
    run_bench("store.transpose", "tb.store.transpose_tb", settings)
