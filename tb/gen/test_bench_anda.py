"""`lamina bench anda`: what it measures in Verilator, and what it makes of areas."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from lamina_gen.bench import anda, anda_results
from lamina_gen.bench.anda_energy import array_product
from lamina_gen.bench.contenders import CONTENDERS
from tb.bench import bulk_model, parameters

#: An array with two blocks, and a sum unit that serves a row less than the other.
CELLS = {
    "rows": 3,
    "columns": 4,
    "block_columns": 2,
    "slots": 2,
    "sharing": 2,
    "stages_per_rank": 5,
}


@pytest.mark.slow
def test_cycles(monkeypatch):
    """The model is right, and a group takes what the parameters say."""
    monkeypatch.setattr(anda, "_GEMMS", 10)
    found = anda.measure()
    assert found["model_vs_rtl_cycle_mismatches"] == 0
    assert found["model_vs_rtl_gemms"] == 42
    expected = {str(bits): max(-(-(bits + 1) // 2), 3) for bits in range(1, 17)}
    assert found["cycles_per_group"] == expected
    assert min(found["utilization_prefill"].values()) > 0.97
    assert min(found["weight_port_utilization_decode"][str(bits)] for bits in range(1, 9)) > 0.95
    assert len(found["rows"]) == 18
    assert found["system_speedup_geomean_1pct"] > found["system_speedup_geomean_01pct"] > 3
    assert "system_area_efficiency_geomean_1pct" not in found


class Parts:
    """Parts of a contender, whose area is 1,000 um2 for each of its elements or lanes."""

    def __init__(self, parts):
        self.figures = {"min_period_ps": 9000.0, "meets_clock": True, "macro_bits": 0}
        p = parts[0].parameters
        self.area = 1000.0 * getattr(p, "rows", 1) * getattr(p, "columns", 1)

    def total(self, figure):
        return self.figures.get(figure, self.area)

    def choose(self, figure, by):
        return by([self.figures[figure]])


def test_areas():
    flow = SimpleNamespace(
        cells=lambda parts, clock=None: Parts(parts), notes=set(), progress=lambda what: None
    )
    found = anda._areas(flow)
    assert found["area_um2_per_element"] == pytest.approx(1000)
    for contender in CONTENDERS:
        if contender.whole:
            bits = contender.mantissa_bits
            cycles = contender.cycles("cells")
            assert found["area_ratio_fp_fp"][str(bits)] == pytest.approx(64 / cycles)
            # As areas and periods are alike, so is their product.
            assert found["area_time_ratio_fp_fp"] == pytest.approx(found["area_ratio_fp_fp"])
            # Of plain FIGNA, too, an element of 64 takes 1,000.
            assert found["area_ratio_figna"][str(bits)] == pytest.approx(1 / cycles)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 11])
def test_product_of_energy(bits):
    """What the slices run is right, and each row, slot and column has its own."""
    model = bulk_model("anda.array", **CELLS, zero_points=False)
    given = array_product(parameters("anda.array", **CELLS, zero_points=False), bits)
    result = model.run(given.inputs, outputs={"o": given.outputs})["o"].values
    given.check(result)
    result["values"] = np.roll(result["values"], 1, axis=-1)
    with pytest.raises(RuntimeError, match="A counted run is wrong"):
        given.check(result)


def test_energy_of_a_length_that_was_not_measured():
    """A systems' length takes what the next longer one does, never less."""
    assert anda._for_all_lengths({4: 2.0, 6: 3.0}, 10.0) == pytest.approx(
        {1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.3, 6: 0.3}
    )


def test_page(tmp_path):
    lengths = ("4", "6", "8", "11", "16")
    result = {
        "cycles_per_group": dict.fromkeys(lengths, 3.0),
        "utilization_prefill": dict.fromkeys(lengths, 0.987),
        "weight_port_utilization_decode": dict.fromkeys(lengths, 1.0),
        "model_vs_rtl_gemms": 72,
        "model_vs_rtl_cycle_mismatches": 0,
        "rows": [{"model": "A", "speedup": 4.0, "area_efficiency": 5.0}],
        "system_speedup_geomean_01pct": 3.99,
        "system_speedup_geomean_1pct": 4.45,
    }
    cells = {
        "area_ratio_fp_fp": {"4": 16.5, "8": 10.25},
        "area_um2_per_element": 21_500.0,
        "area_fp_fp_um2": 17_000.0,
        "clock_ps": 9_000.0,
        "meets_clock": False,
        "system_area_efficiency_geomean_01pct": 6.0,
        "system_area_efficiency_geomean_1pct": 7.125,
        "tools": {"liberty": "My lib 1"},
        "notes": ["Something is missing."],
    }
    page = tmp_path / "results.md"
    page.write_text("a\n<!-- anda: made by `make bench` -->\nold\n<!-- end of anda -->\nz\n")
    anda_results.record(result, tmp_path)
    assert "| 8 | 3 | 98.7 % | 100.0 % |" in page.read_text()
    assert "| speedup | 3.99 | 2.14 | 4.45 | 2.49 |" in page.read_text()
    assert "My lib" not in page.read_text()
    anda_results.record(result | cells, tmp_path)
    text = page.read_text()
    assert text.startswith("a\n")
    assert text.endswith("\nz\n")
    assert "old" not in text
    assert "### Array on My lib 1" in text
    assert "| 8 | 10.25 |" in text
    assert "it misses the FP-FP lane's 9,000 ps" in text
    assert "| area efficiency | 6.00 | 3.47 | 7.12 | 4.03 |" in text
    assert "- Something is missing." in text
    # What needs no library is kept without what does.
    kept = json.loads((tmp_path / "results" / "anda.json").read_text())
    assert kept["rows"] == [{"model": "A", "speedup": 4.0}]
    assert not kept.keys() & cells.keys()
