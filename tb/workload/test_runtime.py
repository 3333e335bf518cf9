"""Weights by context: what is fetched, what is computed with it, and what a policy may know."""

from dataclasses import replace

import numpy as np
import pytest

from lamina_sim.workload import tinylm
from lamina_sim.workload.calibrate import quantize_model
from lamina_sim.workload.evaluation import Evaluator
from lamina_sim.workload.quantize import quantize
from lamina_sim.workload.runtime import (
    ByContext,
    Fixed,
    Known,
    Placed,
    Region,
    Runtime,
    place,
    price_of,
    survey,
)

SIDES = ("inputs", "outputs")


def product(rng, k=100, n=52, bits=8, symmetric=True):
    weights = rng.normal(size=(k, n)).astype(np.float32)
    return quantize(weights, bits, group=32, symmetric=symmetric)


def region_of(rng, by="inputs", rows=16, **options):
    """Two products, so that one does not begin at block 0."""
    return Region(
        {
            "first": Placed(codes=product(rng, 64, 24, options.get("bits", 8)), rows=rows),
            "it": Placed(codes=product(rng, **options), by=by, rows=rows),
        }
    )


def some_planes(rng, region, steps=1, name="it"):
    units = len(region.placed[name].sizes)
    return rng.integers(0, region.form.bits + 1, (steps, units)).astype(np.uint8)


def by_hand(q, by, rows, keep):
    """Weights [k, n] of a product read at planes [units]: integers, one unit after the other."""
    codes, half = q.codes.astype(np.int64), np.zeros(q.codes.shape)
    scales = np.repeat(q.scales.astype(np.float64), q.group, axis=0)[: len(codes)]
    zeros = np.zeros(scales.shape)
    if q.zero_points is not None:
        zeros = np.repeat(q.zero_points.astype(np.float64), q.group, axis=0)[: len(codes)]
    for unit, planes in enumerate(int(count) for count in keep):
        part = slice(unit * rows, (unit + 1) * rows)
        where = (part, slice(None)) if by == "inputs" else (slice(None), part)
        drop = q.bits - planes
        codes[where] = codes[where] >> drop << drop
        middle = (1 << drop) / 2 if drop else 0
        # A zero point stays within the range of the codes, as it is stored in as many bits.
        half[where] = np.minimum(middle, zeros[where] + (1 << (q.bits - 1)))
        if planes == 0:
            scales[where] = 0
    return (codes + half - zeros) * scales


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("rows", [8, 24, 104])
def test_units_are_read_at_their_planes_and_no_other(rng, by, bits, rows):
    region = region_of(rng, by, rows, bits=bits)
    placed = region.placed["it"]
    keep = some_planes(rng, region)[0]
    read = placed.seen(region.fetch("it", keep)).codes
    for unit, planes in enumerate(keep):
        part = slice(unit * rows, (unit + 1) * rows)
        where = (part, slice(None)) if by == "inputs" else (slice(None), part)
        drop = bits - int(planes)
        codes = placed.codes.codes[where].astype(int) >> drop << drop
        assert (read[where] == codes * (planes > 0)).all()
    blocks = [block for block, _ in region.reads("it", keep)]
    assert len(blocks) == len(set(blocks)) == placed.sizes[keep > 0].sum()
    assert all(placed.first <= block < placed.first + placed.blocks for block in blocks)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("step", [1, 3])
def test_products_are_those_of_the_weights_that_were_read(rng, by, symmetric, step):
    region = region_of(rng, by, symmetric=symmetric)
    x = rng.normal(size=(7, 100)).astype(np.float32)
    keep = some_planes(rng, region, -(-len(x) // step))

    class Given:
        def choose(self, name, importance):
            assert len(importance) == len(keep)
            return keep

    wanted = np.stack(
        [
            row @ by_hand(region.placed["it"].codes, by, 16, keep[token // step])
            for token, row in enumerate(x)
        ]
    )
    for fetch in (None, region.fetch):
        runtime = Runtime(region, Given(), step=step, fetch=fetch)
        np.testing.assert_allclose(runtime("it", x, None), wanted, rtol=1e-4, atol=1e-3)
        lines = sum(planes for one in keep for _, planes in region.reads("it", one))
        assert runtime.bytes == 64 * lines
        assert runtime.share == lines / (8 * len(keep) * region.placed["it"].blocks)


def test_an_order_of_the_inputs_is_kept(rng):
    q = replace(product(rng), order=rng.permutation(100))
    region = Region({"it": Placed(codes=q)})
    x = rng.normal(size=(3, 100)).astype(np.float32)
    for fetch in (None, region.fetch):
        y = Runtime(region, Fixed(region, 8), fetch=fetch)("it", x, None)
        np.testing.assert_allclose(y, x @ q.dequantize(), rtol=1e-4, atol=1e-4)
    x[:, q.order[8:]] = 0  # only the first unit's inputs are left
    policy = ByContext(region, {"it": knowledge(region)}, 1e-6)
    runtime = Runtime(region, policy)
    runtime("it", x, None)
    assert runtime.blocks[0] == 3 * (region.blocks - region.placed["it"].sizes[0])


def knowledge(region, name="it"):
    """Harm that falls by four for each plane, of every row."""
    rows, bits = region.placed[name].length, region.form.bits
    harm = np.tile(0.25 ** np.arange(bits + 1.0), (rows, 1))
    harm[:, -1] = 0
    return Known(harm=harm, sample=np.ones((4, rows)), usual=np.ones(rows))


def test_cheapest_planes(rng):
    region = region_of(rng)
    known = knowledge(region)
    importance = rng.exponential(size=(5, 100)) ** 3
    importance[2] = 0
    price = 1e-4
    keep = ByContext(region, {"it": known}, price).choose("it", importance)
    for step, units in enumerate(keep):
        for unit, planes in enumerate(units):
            part = slice(16 * unit, 16 * (unit + 1))
            size = 64 * region.placed["it"].sizes[unit]
            costs = [
                importance[step, part] @ known.harm[part, k] + price * size * k for k in range(9)
            ]
            assert costs[planes] == pytest.approx(min(costs))
    assert not keep[2].any()
    assert len(np.unique(keep)) > 3


def test_policy_sees_no_weights_that_it_has_not_fetched(rng):
    """Whatever the planes hold that are not read: choices and results are the same."""
    region = region_of(rng)
    q = region.placed["it"].codes
    x = (rng.normal(size=(1, 100)) * rng.exponential(size=100)).astype(np.float32)
    known = {"it": knowledge(region)}
    chosen = ByContext(region, known, 1e-3).choose("it", np.square(x, dtype=np.float64))[0]
    assert (chosen < 8).sum() > 0
    drop = 8 - np.repeat(chosen, 16)[:100, None].astype(int)
    noise = rng.integers(0, 256, q.codes.shape) & ((1 << drop) - 1)
    other = (q.codes.astype(int) >> drop << drop) + noise
    changed = replace(q, codes=other.astype(np.int8))
    assert (changed.codes != q.codes).any()
    both = []
    for codes in (q, changed):
        part = Region({"first": region.placed["first"], "it": Placed(codes=codes, rows=16)})
        runtime = Runtime(part, ByContext(part, known, 1e-3), fetch=part.fetch)
        both.append((runtime("it", x, None), runtime.blocks.tolist()))
    assert (both[0][0] == both[1][0]).all()
    assert both[0][1] == both[1][1]


@pytest.fixture(scope="module")
def small():
    """tinylm in INT8, its region, and what a survey of some of its text knows."""
    model, vocabulary = tinylm.load()
    codes = quantize_model(model, bits=8)
    ids = vocabulary.encode(tinylm.heldout())
    region = place(model, codes)
    calibration = Evaluator(model, ids[-514:], budget=512)
    known = survey(region, calibration)
    return model, region, known, Evaluator(model, ids, budget=512), calibration


def test_context_beats_its_mean(small):
    """At 40 % of the bytes, and at no more of them: a third of the loss, or less than half."""
    _, region, known, evaluator, _ = small
    runs = {}
    for name, step in (("context", 1), ("usual", None)):
        policy = ByContext(region, known, price_of(0.4, region, known, step))
        runtime = Runtime(region, policy if step else policy.frozen())
        loss = evaluator.score(runtime).loss
        runs[name] = loss, runtime.bytes / evaluator.tokens / (region.blocks * 8 * 64)
        assert runs[name][1] == pytest.approx(0.4, abs=0.02)
    whole = evaluator.score(Runtime(region, Fixed(region, 8))).loss
    assert runs["context"][0] - whole < (runs["usual"][0] - whole) / 2


def test_all_planes_are_the_codes(small):
    _, region, _, evaluator, _ = small
    codes = {name: placed.codes for name, placed in region.placed.items()}

    def linear(name, x, weight):
        return x @ (codes[name].dequantize() if name in codes else weight.T)

    runtime = Runtime(region, Fixed(region, 8))
    assert evaluator.score(runtime).loss == pytest.approx(evaluator.score(linear).loss, abs=1e-6)
    assert runtime.bytes == evaluator.tokens * sum(q.codes.size for q in codes.values())


def test_step_by_step_is_as_all_at_once(small):
    """The golden store hands out what the fast way computes with, and as many bytes of it."""
    model, region, known, *_ = small
    ids = np.arange(40, 46)
    policy = ByContext(region, known, price_of(0.45, region, known))
    runs = [Runtime(region, policy, fetch=fetch) for fetch in (None, region.fetch)]
    logits = [model.forward(ids, linear=runtime) for runtime in runs]
    np.testing.assert_allclose(*logits, rtol=1e-3, atol=1e-3)
    assert runs[0].bytes == pytest.approx(runs[1].bytes, rel=1e-3)
    changed = ids.copy()
    changed[-1] += 1
    again = model.forward(changed, linear=Runtime(region, policy))
    assert (again[:-1] == logits[0][:-1]).all(), "a token saw the one behind it"


def test_an_output_of_up_counts_as_its_gate(small):
    model, region, *_ = small
    seen = {}

    class Watching(Fixed):
        def choose(self, name, importance):
            seen[name] = importance
            return super().choose(name, importance)

    runtime = Runtime(region, Watching(region, 8))
    values = {}

    def linear(name, x, weight):
        values[name] = runtime(name, x, weight)
        return values[name]

    model.forward(np.arange(20), linear=linear)
    for layer in range(model.layers):
        gate = values[f"model.layers.{layer}.mlp.gate_proj"].astype(np.float64)
        through = np.square(gate / (1 + np.exp(-gate)))
        np.testing.assert_allclose(
            seen[f"model.layers.{layer}.mlp.up_proj"], through, rtol=1e-4, atol=1e-9
        )


def test_a_survey_is_that_of_whole_evaluations(small):
    """Layers that it leaves out change nothing, whatever the evaluator did before."""

    class Whole(Evaluator):
        def score(self, linear, key=None):
            return super().score(linear)

    model, region, *_ = small
    ids = np.arange(65) % model.vocab_size
    evaluator, whole = (kind(model, ids, context=64) for kind in (Evaluator, Whole))
    names = [f"model.layers.{i}.mlp.{name}_proj" for i in (0, 2) for name in ("gate", "up")]
    codes = {name: region.placed[name].codes for name in names}
    for part in (codes, {name: replace(q, scales=2 * q.scales) for name, q in codes.items()}):
        own, before = place(model, part), evaluator.computed
        known, due = survey(own, evaluator), survey(own, whole)
        assert evaluator.computed - before == 6 * model.layers - 4, "two probes of layer 2"
        for name in names:
            for member in ("harm", "sample", "usual"):
                assert (getattr(known[name], member) == getattr(due[name], member)).all()


def test_units(small):
    model, region, *_ = small
    codes = {name: placed.codes for name, placed in region.placed.items()}
    heads, matrices = (place(model, codes, units) for units in ("heads", "matrices"))
    attention = "model.layers.1.self_attn.o_proj"
    assert [len(r.placed[attention].sizes) for r in (region, heads, matrices)] == [16, 4, 1]
    assert [r.blocks for r in (region, heads, matrices)] == [1152] * 3
    assert all(len(placed.sizes) == 1 for placed in matrices.placed.values())


def test_refused(rng, small):
    model, region, known, *_ = small
    with pytest.raises(ValueError, match="rows must be a multiple of 8, not 12"):
        Placed(codes=product(rng), rows=12)
    with pytest.raises(ValueError, match="by must be inputs or outputs, not 'rows'"):
        Placed(codes=product(rng), by="rows")
    with pytest.raises(ValueError, match="same width"):
        Region({str(b): Placed(codes=product(rng, bits=b)) for b in (4, 8)})
    with pytest.raises(ValueError, match="units must be one of"):
        place(model, {}, "neurons")
    with pytest.raises(ValueError, match="step must be at least 1, not 0"):
        Runtime(region, Fixed(region, 8), step=0)
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="share of the bytes"):
            price_of(share, region, known)
