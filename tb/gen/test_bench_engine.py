"""`lamina bench engine`, on an engine that is quick to build."""

import pytest

from lamina_gen.bench import engine
from tb.anda.test_engine import SMALL


@pytest.mark.slow
def test_figures(monkeypatch):
    settings = SMALL | {"weight_bits": 4, "depth": 256}
    monkeypatch.setattr(engine, "SIZES", {"2x4": settings})
    (row,) = engine.measure()["rows"]
    assert row["engine"] == "2x4"
    assert row["configuration"] == settings
    assert row["modules"] > 20
    assert row["defined_twice"] == 0
    assert row["verilog_bytes"] > 100_000
    assert min(row[f"{name}_seconds"] for name in ("verilog", "build")) > 0
    assert row["cycles_per_second"] > 0
