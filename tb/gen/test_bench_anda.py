"""`lamina bench anda`: what it measures in Verilator, and what it makes of areas."""

from types import SimpleNamespace

import pytest

from lamina_gen.bench import anda
from lamina_gen.bench.contenders import CONTENDERS


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
            # Of plain FIGNA, too, an element of 64 takes 1,000.
            assert found["area_ratio_figna"][str(bits)] == pytest.approx(1 / cycles)
