"""`lamina bench engine`, on an engine that is quick to build."""

import pytest

from lamina_gen.bench import engine
from lamina_sim import verilated
from tb.anda.test_engine import TINY


@pytest.mark.slow
def test_figures(monkeypatch):
    settings = TINY | {"weight_bits": 4, "planes": 1}
    monkeypatch.setattr(engine, "SIZES", {"1x2": settings})
    monkeypatch.setattr(engine, "_PRODUCT", (5, 3, 2, 4))
    # Verilator's runtime is that of all tests: it takes most of the time from nothing.
    build = verilated.build
    monkeypatch.setattr(verilated, "build", lambda path, cache, jobs: build(path, jobs=jobs))
    (row,) = engine.measure()["rows"]
    assert row["engine"] == "1x2"
    assert row["configuration"] == settings
    assert row["modules"] > 20
    assert row["defined_twice"] == 0
    assert row["verilog_bytes"] > 100_000
    assert min(row[f"{name}_seconds"] for name in ("verilog", "build")) > 0
    assert row["cycles_per_second"] > 0
