"""The synthesized netlist of every module does what its Verilog does, cycle by cycle."""

import re

import numpy as np
import pytest

from lamina_gen.registry import MODULES
from lamina_gen.synth.gates import compiled_gates, gate_model
from lamina_sim.verilated import Memory
from tb.anda import test_element
from tb.bench import bulk_model, seeds
from tb.gates import gates, needs_library, netlist, observe, random_words

#: Parameters of the netlists, where possible those of the module's own tests: built already.
SETTINGS = {
    "anda.accumulator": {"columns": 2, "index_bits": 5},
    "anda.compressor": {"format": "bf16", "stages_per_rank": 3},
    "anda.element": {"columns": 2},
    "baseline.figna": {
        "structure": "dense",
        "mantissa_bits": 3,
        "weight_bits": 3,
        "stages_per_rank": 2,
    },
    "baseline.fp_dot": {"lanes": 4, "stages_per_rank": 16},
    "baseline.fp_int": {"stages_per_rank": 9},
    "baseline.ifpu": {"mantissa_bits": 2, "weight_bits": 2, "stages_per_rank": 7},
    "pacq.dot": {"trees": 2, "index_bits": 4},
    "pacq.operand_buffer": {"row_bits": 2},
}

#: The system's netlist takes minutes, and all its parts are tested alone; of the memory there is
#: nothing but a macro.
LEFT_OUT = {"system", "stream.memory"}


def random_inputs(model, rng, beats):
    """Random payloads for every input stream, whether they make sense or not."""
    ports = [p for p in model.ports.values() if (p.kind, p.direction) == ("stream", "in")]
    return {port.name: random_words(rng, port, beats) for port in ports}


def memories(model, rng):
    """What is read from each memory port, if there are any; most of its addresses are outside."""
    ports = [port.name for port in model.ports.values() if port.kind == "axi4-read"]
    return {name: Memory(data=rng.integers(0, 256, 1 << 16, dtype=np.uint8)) for name in ports}


@needs_library
@pytest.mark.parametrize("module", [module for module in MODULES if module not in LEFT_OUT])
def test_netlist(rng, module):
    """Random operands, legal or not, with stalls and a reset; registers start at random."""
    settings = SETTINGS.get(module, {})
    verilog, cells = bulk_model(module, **settings), gates(module, **settings)
    inputs = random_inputs(verilog, rng, 150)
    options = {"seed": seeds("run")}
    if memory := memories(verilog, rng):
        options["memory"] = memory
    for more in ({"stall": 0.0}, {"stall": 0.3, "reset_at": 40}):
        seen = observe(verilog, inputs, **options, **more)
        assert observe(cells, inputs, **options, **more) == seen
        assert re.search(r"\d", str(seen)), "nothing was seen"


@needs_library
def test_element_against_golden(rng):
    """The netlist's sums, against integers and not against the Verilog."""
    groups, weights = test_element.draw(rng, 200)
    model = gates("anda.element", **SETTINGS["anda.element"])
    test_element.check(test_element.run(model, groups, weights, 0.2), groups, weights)


@needs_library
def test_a_wrong_gate_is_noticed(rng, tmp_path):
    """One gate of another kind: somewhere the two differ."""
    module, settings = "arith.adder_tree", {}
    path, liberty, description = netlist(module, settings)
    wrong = tmp_path / "netlist.v"
    text, count = re.subn(r"\bNOR2X1\b", "NAND2X1", path.read_text(), count=1)
    assert count == 1
    wrong.write_text(text)
    model = bulk_model(module)
    inputs = random_inputs(model, rng, 300)
    right, faulty = gates(module), gate_model(wrong, liberty, description)
    assert observe(right, inputs, seed=1) == observe(model, inputs, seed=1)
    assert observe(faulty, inputs, seed=1) != observe(model, inputs, seed=1)


@needs_library
def test_both_engines_agree(rng):
    """Tables and Verilator's model of the same cells."""
    module, settings = "stream.skid_buffer", {}
    tables, compiled = gates(module), compiled_gates(*netlist(module, settings))
    inputs = random_inputs(tables, rng, 200)
    for stall in (0.0, 0.5):
        options = {"stall": stall, "seed": seeds("run")}
        assert observe(tables, inputs, **options) == observe(compiled, inputs, **options)


@needs_library
def test_activity_is_counted(rng):
    """A queue that gets the same beat over and over: its payload wires do not change."""
    model = gates("stream.skid_buffer")
    port = model.ports["i"]
    same = np.repeat(random_words(rng, port, 1), 100, axis=0)
    model.run({"i": same}, outputs={"o": 100})
    still = model.toggles.sum() / model.cycles
    model.run({"i": random_words(rng, port, 100)}, outputs={"o": 100})
    lively = model.toggles.sum() / model.cycles
    # Half of the bits of random beats change, at each of the wires that they pass.
    assert lively > still + 0.4 * port.width
    assert np.all(model.toggles <= 2 * model.cycles)
    assert np.all(model.ones <= model.cycles)
