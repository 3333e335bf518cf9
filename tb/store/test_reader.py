"""A model's weights out of the device: bits, bytes and cycles are those that the runtime plans."""

import numpy as np
import pytest

from lamina_gen.device.reader import Reader
from lamina_sim.perf.dram import stream
from lamina_sim.workload import tinylm
from lamina_sim.workload.attention import KeyValues
from lamina_sim.workload.calibrate import quantize_model
from lamina_sim.workload.evaluation import Evaluator
from lamina_sim.workload.runtime import ByContext, Runtime, place, price_of, survey
from tb.bench import bulk_model, parameters

LATENCY = 20


def test_two_tokens_by_context():
    """Half a layer of tinylm, written through the device, is read as golden says, bit for bit."""
    model, vocabulary = tinylm.load()
    names = [f"{model.PREFIX}.1.{name}_proj" for name in ("self_attn.q", "mlp.gate", "mlp.up")]
    whole = quantize_model(model, bits=8)
    codes = {name: whole[name] for name in names}
    ids = vocabulary.encode(tinylm.heldout()[:300])
    region = place(model, codes)
    known = survey(region, Evaluator(model, ids, budget=256))
    policy = ByContext(region, known, price_of(0.4, region, known))
    results = []
    with bulk_model("store.device").stepped() as dut:
        dut.reset()
        reader = Reader(dut, region, latency=(LATENCY, LATENCY))
        reader.store()
        written = bytes(reader.host.memory.data)
        assert written == region.image().tobytes()
        for fetch in (reader, region.fetch):
            past = KeyValues()
            runtime = Runtime(region, policy, fetch=fetch)
            logits = [
                model.head(model.states(ids[t : t + 1], linear=runtime, past=past), runtime)
                for t in range(2)
            ]
            results.append((np.concatenate(logits), runtime.bytes))
        assert reader.bytes == results[0][1] == results[1][1]
        assert 0.3 < reader.bytes / (2 * region.blocks * 8 * 64) < 0.5
        assert (results[0][0] == results[1][0]).all()
        assert not reader.host.wrong

        # A product by itself, as the model of bandwidth has it: a beat a cycle behind the first.
        name = names[1]
        placed, before, beats = region.placed[name], reader.cycles, reader.bytes
        reader(name, np.full(len(placed.sizes), 5, np.uint8))
        lines = stream(5, placed.blocks).bursts
        assert reader.bytes - beats == 64 * lines
        first = parameters("store.device").latency + LATENCY
        assert reader.cycles - before == pytest.approx(lines + first, rel=0.03)


def test_a_line_that_is_not_golden_is_noticed():
    model, _ = tinylm.load()
    name = "model.layers.0.self_attn.k_proj"
    region = place(model, {name: quantize_model(model, bits=8)[name]})
    with bulk_model("store.device").stepped() as dut:
        dut.reset()
        reader = Reader(dut, region)
        reader.store()
        reader.host.memory.data[0] ^= 1
        with pytest.raises(AssertionError, match="tag"):
            reader(name, np.full(16, 8, np.uint8))
