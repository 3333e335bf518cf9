"""The synthesized netlist of every module does what its Verilog does, cycle by cycle."""

import pytest

from lamina_gen.registry import MODULES
from tb.bench import bulk_model, seeds
from tb.gates import gates, needs_library, observe, random_words

#: Parameters of the netlists, where possible those of the module's own tests: built already.
SETTINGS = {
    "anda.accumulator": {"columns": 2, "index_bits": 5},
    "anda.element": {"columns": 2},
    "baseline.figna": {"columns": 2, "mantissa_bits": 4, "weight_bits": 3},
    "baseline.fp_dot": {"lanes": 4, "stages_per_rank": 16},
    "baseline.fp_int": {"stages_per_rank": 9},
    "baseline.ifpu": {"columns": 2, "mantissa_bits": 4, "weight_bits": 3},
    "pacq.dot": {"trees": 2, "index_bits": 4},
    "pacq.operand_buffer": {"row_bits": 2},
    "stream.memory": {"width": 8, "depth": 16},
}


def random_inputs(model, rng, beats):
    """Random payloads for every input stream, whether they make sense or not."""
    ports = [p for p in model.ports.values() if (p.kind, p.direction) == ("stream", "in")]
    return {port.name: random_words(rng, port, beats) for port in ports}


@needs_library
@pytest.mark.parametrize("module", MODULES)
def test_netlist(rng, module):
    settings = SETTINGS.get(module, {})
    model = bulk_model(module, **settings)
    inputs = random_inputs(model, rng, 300)
    import time

    t = time.process_time()
    g = gates(module, **settings)
    print("gates", time.process_time() - t, len(g.flat.instances))
    for stall in (0.0, 0.3):
        a = observe(model, inputs, stall=stall, seed=seeds("run"))
        b = observe(g, inputs, stall=stall, seed=seeds("run"))
        assert a == b
        print(str(a)[:200])
