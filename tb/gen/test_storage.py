"""Yosys takes every module; ``storage_bits`` against the flip-flops and memory bits it finds."""

import json
import subprocess
import sys

import pytest

from lamina_gen.registry import MODULES
from tb.bench import generate, parameters

YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


#: Its storage is the sum of two modules', each of which is counted.
LEFT_OUT = {"store.endpoint"}


@pytest.mark.parametrize("module", MODULES)
def test_storage_is_what_is_generated(module, tmp_path):
    """To eight percent: a block RAM has its output register, which Yosys counts apart in some.

    Small counters beside a large memory are not worth a formula either.
    """
    emission, paths = generate(module, {})
    report = tmp_path / "stat.json"
    passes = [f"read_verilog {paths['v']}", f"hierarchy -check -top {emission.entry.top}"]
    passes += ["proc", "check -assert"]
    if module not in LEFT_OUT:
        passes += ["flatten; opt_clean; memory_dff", f"tee -q -o {report} stat -width -json"]
    # A Yosys error ends the process that it runs in.
    done = subprocess.run([sys.executable, "-c", YOSYS, *passes], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    if module in LEFT_OUT:
        return
    (figures,) = json.loads(report.read_text())["modules"].values()
    bits = figures.get("num_memory_bits", 0)
    for kind, count in figures["num_cells_by_type"].items():
        name, _, width = kind.rpartition("_")
        if "dff" in name:
            bits += count * int(width)
    assert bits == pytest.approx(parameters(module).storage_bits, rel=0.08, abs=2)
