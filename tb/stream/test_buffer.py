"""Register slice and queue: nothing lost, nothing invented, in order, at full rate."""

import numpy as np
import pytest

from tb.bench import bulk_model, parameters, run_bench

CASES = {
    "skid_buffer": ("stream.skid_buffer", {"shape": 37}),
    "skid_buffer in parts": ("stream.skid_buffer", {"shape": 37, "parts": 4}),
    "queue of 1": ("stream.queue", {"shape": 37, "depth": 1}),
    "queue of 2": ("stream.queue", {"shape": 37, "depth": 2}),
    "queue of 3": ("stream.queue", {"shape": 37, "depth": 3}),
    "queue of 16": ("stream.queue", {"shape": 37, "depth": 16}),
}
each = pytest.mark.parametrize(("module", "settings"), CASES.values(), ids=CASES.keys())


@each
@pytest.mark.parametrize(
    "stall", [0.0, 0.1, 0.5, 0.9, {"i": 0.8, "o": 0}, {"i": 0, "o": 0.8}], ids=str
)
def test_order(module, settings, stall, rng):
    beats = rng.integers(0, 1 << 37, 3000)
    run = {"outputs": {"o": len(beats)}, "stall": stall, "seed": int(rng.integers(1 << 30))}
    model = bulk_model(module, **settings)
    result = model.run({"i": beats}, **run)
    assert np.array_equal(result["o"].values, beats)
    again = model.run({"i": beats}, **run, reset_at=55)
    assert np.array_equal(again["o"].words, result["o"].words)


@each
def test_latency_and_rate(module, settings):
    beats = np.arange(300)
    result = bulk_model(module, **settings).run({"i": beats})
    expected = parameters(module, **settings)
    assert result["o"].cycles[0] - result.accepted["i"][0] == expected.latency
    rate = 1.0 if module == "stream.skid_buffer" else min(1.0, settings["depth"] / 3)
    assert len(beats) / (np.ptp(result["o"].cycles) + 1) == pytest.approx(rate, rel=0.01)


@each
def test_bench(module, settings):
    run_bench(module, "tb.stream.buffer_tb", settings)
