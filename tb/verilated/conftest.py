"""Models of the hand-written modules, built once for all tests."""

import pytest

from lamina_sim import verilated
from tb.bench import BUILD
from tb.verilated import designs

CACHE = BUILD / "verilated"


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A function that builds a design of designs.py, with its %(...)s filled in."""
    folder = tmp_path_factory.mktemp("designs")

    def build(top, design, waivers="", random_initial=False, **blanks):
        verilog, ports = design
        text = verilog % {"top": top, **blanks} if blanks else verilog
        path = designs.write(folder, top, text, ports, waivers)
        return verilated.build(path, cache=CACHE, random_initial=random_initial)

    return build


@pytest.fixture
def fresh_cache(model, tmp_path):
    """An empty cache folder, but for Verilator's runtime, which takes seconds to compile."""
    model("adder", designs.ADDER)
    cache = tmp_path / "cache"
    cache.mkdir()
    for runtime in CACHE.glob("runtime-*"):
        if runtime.suffix != ".part":
            (cache / runtime.name).symlink_to(runtime)
    return cache
