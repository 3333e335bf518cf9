"""The synthesized netlist of every module does what its Verilog does, cycle by cycle."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lamina_gen.registry import MODULES
from lamina_gen.synth.asic import DEFAULT_LIBERTY
from lamina_gen.synth.equivalence import prove
from lamina_gen.synth.gates import compiled_gates, gate_model
from lamina_gen.synth.liberty import read_liberty
from lamina_gen.synth.power import count_activity, measure_power
from lamina_sim.verilated import Memory
from tb.anda import test_element, test_output_stage
from tb.bench import bulk_model, generate, parameters, seeds
from tb.gates import gates, needs_library, needs_sta, netlist, observe, random_words
from tb.pacq import test_window_dot

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
    "baseline.tree_dot": {"stages_per_rank": 9},
    "pacq.dot": {"trees": 1, "index_bits": 4},
    "pacq.operand_buffer": {"row_bits": 2},
    "pacq.window_dot": test_window_dot.BENCH,
}

#: The output stage gets jobs that make sense, and has a bank of compressors in it.
LEFT_OUT = {"anda.compressor_bank", "anda.output_stage"}
#: Netlists of the system, the tensor core and its octet take minutes, and what computes in them is
#: tested alone; so it is with Anda's engine. So do the device's, in which random messages reach
#: nothing unless a host programs it; its own tests have one. Of the memory there is nothing but a
#: macro.
LEFT_OUT |= {"anda.engine", "pacq.octet", "pacq.tensor_core", "pacq.tensor_stream"}
LEFT_OUT |= {"stream.memory", "system"}
# And CPI's queues read memories in every cycle, which no macro of the netlists does.
LEFT_OUT |= {"store.cpi", "store.device", "store.endpoint"}


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
@pytest.mark.parametrize("seed", [82, 103, 130])
def test_memory_is_zero_after_reset(seed):
    """These seeds' registers write a row under the first reset; sums never begun would read it."""
    settings = SETTINGS["anda.accumulator"]
    verilog, cells = (
        bulk_model("anda.accumulator", **settings),
        gates("anda.accumulator", **settings),
    )
    inputs = random_inputs(verilog, np.random.default_rng(seed), 150)
    assert observe(cells, inputs, seed=seed) == observe(verilog, inputs, seed=seed)


@needs_library
def test_element_against_golden(rng):
    """The netlist's sums, against integers and not against the Verilog."""
    groups, weights = test_element.draw(rng, 200)
    model = gates("anda.element", **SETTINGS["anda.element"])
    test_element.check(test_element.run(model, groups, weights, 0.2), groups, weights)


@needs_library
def test_output_stage_against_golden(rng):
    """The netlist's planes, with stalls and a reset, against golden and not against the Verilog."""
    settings = test_output_stage.SMALL
    built = parameters("anda.output_stage", **settings), gates("anda.output_stage", **settings)
    drawn = [test_output_stage.draw(rng, built[0]) for _ in range(3)]
    for more in ({"stall": 0.0}, {"stall": 0.3, "reset_at": 40}):
        test_output_stage.check(rng, built, drawn, seed=seeds("run"), **more)


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


#: Debian's library has none.
CLOCK_GATE = """
cell (LATCHED_CLOCK) {
  area : 40;
  clock_gating_integrated_cell : "latch_posedge";
  pin (CLK) { direction : input; clock : true; clock_gate_clock_pin : true; capacitance : 0.01; }
  pin (EN) { direction : input; clock_gate_enable_pin : true; capacitance : 0.01; }
  pin (GCLK) {
    direction : output; clock_gate_out_pin : true; state_function : "CLK * open";
    timing () {
      related_pin : "CLK"; timing_sense : positive_unate;
      cell_rise (scalar) { values ("0.1"); } rise_transition (scalar) { values ("0.1"); }
      cell_fall (scalar) { values ("0.1"); } fall_transition (scalar) { values ("0.1"); }
    }
  }
}
"""


@pytest.fixture
def gated(tmp_path):
    """Netlist of a register slice, a library with clock gates, the slice's description."""
    liberty = tmp_path / "gated.lib"
    text, end = DEFAULT_LIBERTY.read_text().rstrip(), "}"
    liberty.write_text(text.removesuffix(end) + CLOCK_GATE + end)
    return netlist("stream.skid_buffer", {}, liberty)


@needs_library
def test_gated_clocks(rng, tmp_path, gated):
    """Enables of many registers become clock gates: simulated, counted, proved, and found wrong."""
    path, liberty, description = gated
    text = path.read_text()
    (gate,) = re.findall(r"LATCHED_CLOCK \S+ \(.*?\);", text, re.S)
    tables, compiled = (
        gate_model(path, liberty, description),
        compiled_gates(path, liberty, description),
    )
    inputs, verilog = random_inputs(tables, rng, 200), bulk_model("stream.skid_buffer")
    for stall in (0.0, 0.5):
        options = {"stall": stall, "seed": seeds("run")}
        seen = observe(tables, inputs, **options)
        assert seen == observe(compiled, inputs, **options) == observe(verilog, inputs, **options)
    (pins,) = (cell.pins for cell in tables.flat.instances if cell.kind == "LATCHED_CLOCK")
    clock, enable = (tables.flat.wires.index(pins[pin]) for pin in ("GCLK", "EN"))
    assert 0 < tables.ones[enable] < tables.cycles
    assert tables.toggles[clock] == 2 * tables.ones[enable]
    emission, library = generate("stream.skid_buffer", {})[0], read_liberty(liberty)
    assert prove(emission, path, library, 300.0).verdict == "proved"
    wrong = tmp_path / "netlist.v"
    wrong.write_text(text.replace(gate, re.sub(r"\.EN\(\S+\)", ".EN(rst)", gate)))
    assert prove(emission, wrong, library, 300.0).verdict == "different"


@needs_library
@needs_sta
def test_power_of_gated_clocks(gated):
    """Registers take for a clock what they do without a clock gate, and nothing while it rests."""
    module = "stream.skid_buffer"
    same = np.zeros((100, 1), np.uint32)

    def count(*built):
        return count_activity(*built, {"i": same}, outputs={"o": 100})

    def total(rate):
        rates[clock] = rate
        return measure_power(replace(activity, rates=rates), 5000).internal_mw

    activity, plain = count(*gated), count(*netlist(module, {}))
    (pins,) = (cell.pins for cell in activity.flat.instances if cell.kind == "LATCHED_CLOCK")
    clock, rates = activity.flat.wires.index(pins["GCLK"]), np.array(activity.rates)
    never, half, always = map(total, (0.0, 1.0, 2.0))
    assert half == pytest.approx((never + always) / 2)
    behind = sum(pins["GCLK"] in cell.pins.values() for cell in activity.flat.instances) - 1
    registers = sum(cell.kind == "DFFPOSX1" for cell in plain.flat.instances)
    each = measure_power(plain, 5000).internal_mw / registers
    assert always - never == pytest.approx(behind * each, rel=0.1)


@needs_library
@needs_sta
def test_power_of_data_behind_gated_clocks(rng, gated):
    """It is counted as behind any clock: but for the multiplexers, both netlists take the same."""
    inputs = {"i": random_words(rng, gates("stream.skid_buffer").ports["i"], 1000)}

    def energies(built):
        activity = count_activity(*built, inputs, outputs={"o": 1000})
        still = replace(activity, rates=np.where(activity.rates == 2, activity.rates, 0.0))
        return [measure_power(each, 5000).total_mw for each in (activity, still)]

    (with_gates, idle), (plain, plain_idle) = (
        energies(gated),
        energies(netlist("stream.skid_buffer", {})),
    )
    assert 0.6 < (with_gates - idle) / (plain - plain_idle) < 1


@needs_library
@needs_sta
def test_power_of_logic_behind_inputs(rng):
    """It is what its wires do, as behind registers: nothing at rest, half at half the rates."""
    built = netlist("baseline.fp16_multiply", {"stages_per_rank": 9})
    inputs = {"i": random_words(rng, gate_model(*built).ports["i"], 200)}
    activity = count_activity(*built, inputs, outputs={"o": 200})
    rest, half, full = (
        measure_power(replace(activity, rates=share * activity.rates), 20_000)
        for share in (0, 0.5, 1)
    )
    assert rest.switching_mw < 0.01 * full.switching_mw
    assert half.switching_mw == pytest.approx((rest.switching_mw + full.switching_mw) / 2, rel=0.01)
    assert half.internal_mw == pytest.approx((rest.internal_mw + full.internal_mw) / 2, rel=0.01)
    # All but sixteen registers is logic.
    assert full.internal_mw > 3 * rest.internal_mw


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
