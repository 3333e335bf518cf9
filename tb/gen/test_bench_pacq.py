"""`lamina bench pacq`: its figures against what they must be, its operands, its page of results."""

import json

import numpy as np
import pytest

from lamina_gen.bench import (
    pacq,
    pacq_accuracy,
    pacq_multiplier,
    pacq_results,
    pacq_units,
    pacq_window,
)
from lamina_sim.golden import pacq as golden
from lamina_sim.perf.simt import Unit
from tb.bench import bulk_model, parameters
from tb.golden import oracle

UNITS = (
    {(0, 0): 20.0} | {(4, t): 8.0 / t for t in (1, 2, 4)} | {(2, t): 6.0 / t for t in pacq.TREES}
)
DENSE = {
    "dense_units": {
        name: {"um2_per_mac_per_cycle": um2, "pj_per_mac": pj, "min_period_ps": 8000.0}
        for name, um2, pj in (
            ("fp16", 12000.0, 20.0), ("int4", 3000.0, 5.0), ("int2", 2000.0, 2.5),
            ("dp8_int2", 1500.0, 2.0),
        )
    },
    "multiplier_units": {
        name: {"um2": um2, "pj_per_product": pj, "min_period_ps": 5000.0}
        for name, um2, pj in (("fp16", 9000.0, 14.0), ("int4", 8000.0, 4.0), ("int2", 8000.0, 2.0))
    },
    "multiplier_throughput_per_area_int4": 4.5, "multiplier_throughput_per_area_int2": 9.0,
    "multiplier_throughput_per_watt_int4": 3.5, "multiplier_throughput_per_watt_int2": 7.0,
    "throughput_per_area_dp8_int2": 8.0, "throughput_per_watt_dp8_int2": 10.0,
    "dp8_replays": {"steps": 0.002, "cycles": 0.02, "groups": 0.04},
    "throughput_per_area_int4": 4.0, "throughput_per_area_int2": 6.0,
    "throughput_per_watt_int4": 4.0, "throughput_per_watt_int2": 8.0,
    "edp_reduction_dense_int4": 0.9, "edp_reduction_dense_int2": 0.95,
    "replays": {"steps": 0.001, "cycles": 0.01, "groups": 0.02},
}  # fmt: skip
UNITS = {key: Unit(pj_per_mac=pj) for key, pj in UNITS.items()}
ABOUT = {
    "units": {
        "fp16": 20.0,
        "int4": {"1": 8.0, "2": 4.0, "4": 2.0},
        "int2": {"1": 6.0, "2": 3.0, "4": 1.5, "8": 0.75},
    },
    "library": "my cells 1.8V", "clock_ps": 9000.0, "tools": {"yosys": "1"}, "notes": ["A note."],
}  # fmt: skip


@pytest.fixture(scope="module")
def measured():
    """The bench with the losses left out, which take a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacq, "losses", lambda: {"exact": 1.25, "as_printed": None})
        patch.setattr(pacq, "_mismatches", lambda bits: 0)
        return pacq.measure()


def test_speedups(measured):
    for bits, most in ((4, 4), (2, 8)):
        speedup = measured[f"speedup_int{bits}"]
        assert speedup["1"] == 1
        assert speedup["2"] >= 1.98
        assert speedup[str(most)] >= {4: 3.9, 8: 7.5}[most]
        assert all(speedup[str(t)] <= min(t, most) for t in pacq.TREES)


def test_accesses(measured):
    assert measured["rf_access_reduction_int4"] == pytest.approx(1 - 48 / 76)
    assert measured["rf_access_reduction_int2"] == pytest.approx(1 - 64 / 140)


def test_accuracy(measured):
    """No error of the exact arithmetic; 4 to 98 % and more of the printed one."""
    for ending in ("", "_int2"):
        errors = measured[f"rel_rms_error{ending}"]
        assert set(errors["exact"]) == {"16", "128", "4096"}
        assert set(errors["exact"].values()) == {0.0}
        assert min(errors["as_printed"].values()) > 0.1
        assert max(errors["dequantized"].values()) < 0.01
    assert measured["not_finite"]["as_printed"]["4096"] > 0.3
    json.dumps(measured, allow_nan=False)


def test_reference_sums_are_right(rng):
    """The reference of the errors against exact fractions."""
    x = rng.standard_normal((2, 8)).astype(np.float16)
    codes = rng.integers(-8, 8, (8, 2), np.int8)
    scales = rng.uniform(0.01, 0.02, (2, 2)).astype(np.float16)
    found = pacq_accuracy.right_sums(x, codes, scales, 4)
    for i, j in np.ndindex(2, 2):
        acc = 0
        for g in range(2):
            terms = zip(x[i].view(np.uint16), codes[:, j], strict=True)
            terms = [oracle.value(int(a), "fp16") * int(b) for a, b in terms]
            total = sum(terms[4 * g : 4 * g + 4])
            acc = oracle.scaled_accumulate(acc, total, int(scales.view(np.uint16)[g, j]))
        assert found.view(np.uint32)[i, j] == acc
    large = np.full((1, 4096), 6e4, np.float16)
    with pytest.raises(ValueError, match="small enough"):
        pacq_accuracy.right_sums(large, np.full((4096, 2), -8, np.int8), scales[:1], 4096)


def test_exhaustive_count_sees_errors(monkeypatch):
    """Every code is there, and a product that is wrong is counted."""
    seen = {}

    class Wrong:
        def run(self, inputs):
            sent = inputs["i"]
            bits = 2 if sent["int2"] else 4
            seen[bits] = np.unique(golden.unpack(sent["word"], bits))
            due = golden.multiply(sent["a"].view(np.float16), sent["word"], bits)
            products = due.significand.copy()
            products[5, 1] += 1
            values = {"products": products, "exponent": due.exponent, "inf": due.inf}
            return {"o": type("O", (), {"values": values | {"nan": due.nan}})}

    monkeypatch.setattr(pacq, "build_model", lambda module, settings: Wrong())
    for bits in (4, 2):
        assert pacq._mismatches(bits) == 1
        assert len(seen[bits]) == 1 << bits


def test_edp():
    found = pacq.edp(UNITS)
    for bits, trees in ((4, ["1", "2", "4"]), (2, ["1", "2", "4", "8"])):
        reduction = found[f"edp_reduction_int{bits}"]
        assert list(reduction) == trees
        assert sorted(reduction.values()) == list(reduction.values())
        for t in trees:
            moved = found[f"edp_sensitivity_int{bits}"][t]
            assert moved["all"]["1.0"] == pytest.approx(reduction[t])
            assert moved["dram"]["2.0"] < reduction[t] < moved["dram"]["0.5"]
            # Without FP16 in L1 the other side has less to save.
            assert found[f"edp_reduction_registers_int{bits}"][t] < reduction[t]
        assert 0 < found[f"edp_reduction_packed_k_int{bits}"] < reduction["2"]
    # 2^28 products of 20 pJ.
    assert found["energy_uj_fp16_int4"]["compute"] == pytest.approx(20e-6 * 2**28, rel=1e-3)


def test_no_energies_without_a_library(measured):
    assert not [name for name in measured if name.startswith(("edp", "energy", "units"))]


@pytest.mark.parametrize("bits", [4, 2])
def test_operands_of_the_units(bits):
    """Both run at their rates and give the sums of the product."""
    # As tb/pacq builds it, with more indices than are used.
    settings = {"trees": 4, "index_bits": 4, "stages_per_rank": 3}
    given = pacq_units.dot_stimulus(bits)
    result = bulk_model("pacq.dot", **settings).run(given.inputs, outputs={"o": given.outputs})
    given.check(result["o"].values)
    p = parameters("pacq.dot", **settings)
    steps = len(given.inputs["i"]["first"])
    busy = p.cycles(steps, bits)
    assert 0 <= result["o"].cycles[-1] - busy <= p.latency + 16
    assert given.macs == steps * 4 * 16 // bits


def test_sums_that_are_scaled():
    given = pacq_units.scale_stimulus(4)
    model = bulk_model("arith.scale_accumulate", outputs=64)
    result = model.run(given.inputs, outputs={"o": given.outputs}, stall={"i": 0.5}, seed=1)
    given.check(result["o"].values)


@pytest.mark.parametrize("bits", [16, 4, 2])
def test_operands_of_the_multipliers(bits):
    """Each product is there once, and is what the multiplier gives."""
    module = "baseline.fp16_multiply" if bits == 16 else "pacq.multiplier"
    given = pacq_multiplier.multiplier_stimulus(bits)
    assert given.macs == given.outputs * 16 // bits
    result = bulk_model(module, stages_per_rank=9).run(given.inputs, outputs={"o": given.outputs})
    given.check(result["o"].values)


@pytest.mark.parametrize("lanes", [4, 8])
@pytest.mark.parametrize("bits", [4, 2])
def test_operands_of_the_dense_unit(bits, lanes):
    """Each MAC of the product is there once, in the order of the unit's ports."""
    given = pacq_window.window_stimulus(bits, lanes)
    p = pacq_window.window_part(bits, lanes=lanes).parameters
    assert p.macs_per_cycle == 128
    steps = len(given.inputs["i"]["last"])
    assert given.macs == steps * p.macs_per_cycle
    assert given.inputs["i_words"]["words"].shape == (steps, p.words, lanes)
    groups = given.inputs["i"]["last"].sum()
    assert given.inputs["i_scales"]["scale"].size == groups * p.columns
    # The last tile by hand.
    a = given.inputs["i"]["a"][-p.steps :, 0].astype(np.uint16).view(np.float16)
    words = given.inputs["i_words"]["words"][-p.steps :].astype(np.uint16)
    codes = golden.unpack(words.swapaxes(1, 2).reshape(-1, p.words), bits)
    sums = a.ravel().astype(np.float64) @ codes
    scales = given.inputs["i_scales"]["scale"][-p.columns :].astype(np.uint16).view(np.float16)
    due = given.expected["value"][-p.columns :].astype(np.uint32).view(np.float32)
    np.testing.assert_allclose(sums * scales, due, rtol=1e-5)


def test_replays_of_the_bundled_model():
    short, used = (pacq_window.window_replays(bits) for bits in (20, pacq_window.WINDOW_BITS))
    assert 0.1 < short["steps"] < 1
    assert used["cycles"] < 0.01
    assert pacq_window.window_replays(41) == {"steps": 0, "cycles": 0, "groups": 0}


def test_page_is_made_of_what_was_measured(measured, tmp_path):
    page = tmp_path / "results.md"
    page.write_text("# T\n<!-- pacq: made by `make bench` -->\nold\n<!-- end of pacq -->\nafter\n")
    energies = ABOUT | pacq.edp(UNITS) | DENSE
    pacq_results.record(measured | energies, tmp_path)
    text = page.read_text()
    assert text.startswith("# T\n<!-- pacq")
    assert text.endswith("<!-- end of pacq -->\nafter\n")
    assert "| INT4 | packed along n | 16 | 16 | 16 | 48 | 36.8 % | 4:4:4 | 36.8 % |" in text
    assert "| INT2 | packed along k | 128 | 8 | 4 | 140 |  | 32:2:1 |  |" in text
    assert "my cells 1.8V" in text
    assert "none: overflow" in text
    # Throughput per watt is what an FP16 product takes over what a packed one takes.
    assert "| INT4 | 2.50 | 5.00 | 10.00 | - |" in text
    assert "| INT2 DP-4 | 2,000 | 8,000 | 6.00 | 2.50 | 8.00 | 1.80 | 95.0 % |" in text
    assert "| INT2 DP-8 | 1,500 | 8,000 | 8.00 | 2.00 | 10.00 | 1.44 | - |" in text
    assert "| INT4 | 8,000 | 5,000 | 4.50 | 4.00 | 3.50 | 3.38 |" in text
    assert "2.00 % of groups, 0.100 % of steps, 1.00 % of cycles." in text
    names = ["pacq-errors.svg", "pacq-my_cells_1_8v-edp.svg", "pacq-speedup.svg"]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == names
    # Another run without a library keeps the energies.
    pacq_results.record(measured, tmp_path)
    assert page.read_text() == text
