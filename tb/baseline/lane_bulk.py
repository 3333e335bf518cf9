"""Bulk runs that the floating-point baselines share."""

import numpy as np

from tb.baseline.integer_bulk import GROUPS
from tb.baseline.steps import interleave
from tb.bench import bulk_model, parameters

K = 64

#: Groups made at a time: 64 steps each, so fewer than of the integer elements.
CHUNK = 20_000


def run(model, payloads, **options):
    count = int(payloads["end"].sum())
    return model.run({"i": payloads}, outputs={"o": count}, **options)


def check(model, p, golden, a, b, lanes=1, **options):
    """Run dot products a[g] . b[g], a multiple of ``p.slots`` of them, and compare bit for bit."""
    result = run(model, interleave(a, b, p.slots, lanes), **options)
    got = result["o"].values
    due = golden(a, b)
    wrong = np.flatnonzero(got["value"] != due.view(f"u{due.itemsize}"))
    assert len(wrong) == 0, f"sums {wrong[:5]} of {len(a)}"
    assert np.array_equal(got["index"], np.arange(len(a)) % p.slots)
    return result


def check_timing(model, p, golden, a, b, lanes=1):
    """A step a cycle if the sums take turns; a lone step within ``slots`` - 1 of the latency."""
    result = check(model, p, golden, a, b, lanes)
    steps = a.size // lanes
    accepted = result.accepted["i"]
    assert accepted[-1] - accepted[0] < steps + p.slots
    waited = set()
    for index in range(p.slots):
        lone = {name: x[:1] for name, x in interleave(a, b, p.slots, lanes).items()}
        lone |= {"index": np.array([index]), "end": np.array([1])}
        done = run(model, lone)
        waited.add(int(done["o"].cycles[0] - done.accepted["i"][0]) - p.latency)
    assert waited == set(range(p.slots))


def check_any_order(rng, model, p, golden, a, b, lanes=1):
    """Sums in any order, with idle slots: they wait, and are right."""
    payloads = interleave(a, b, p.slots, lanes)
    # Whole rounds of steps, each in an order of its own: every sum still gets its steps in order.
    turns = rng.permuted(
        np.tile(np.arange(p.slots), (len(payloads["index"]) // p.slots, 1)), axis=1
    )
    order = (turns + p.slots * np.arange(len(turns))[:, None]).ravel()
    result = run(model, {name: x[order] for name, x in payloads.items()}, stall=0.3)
    got = result["o"].values
    finished = payloads["index"][order][payloads["end"][order] == 1]
    assert np.array_equal(got["index"], finished)
    due = golden(a, b).view(np.uint32).reshape(-1, p.slots)
    for index in range(p.slots):
        assert np.array_equal(got["value"][finished == index], due[:, index])


def check_many(rng, module, golden, draw, **settings):
    """Run GROUPS groups of 64 through ``module``."""
    model, p = bulk_model(module, **settings), parameters(module, **settings)
    lanes = getattr(p, "lanes", 1)
    for start in range(0, GROUPS, CHUNK):
        count = min(CHUNK, GROUPS - start)
        check(model, p, golden, *draw(rng, (-(-count // p.slots) * p.slots, K)), lanes)
