"""Every module's ``storage_bits`` against the flip-flops and memory bits that Yosys finds."""

import json
import subprocess
import sys

import pytest

from lamina_gen.registry import MODULES
from tb.bench import generate, parameters

COUNT = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


#: Its storage is the sum of two modules', each of which is counted.
LEFT_OUT = {"store.endpoint"}


@pytest.mark.parametrize("module", [name for name in MODULES if name not in LEFT_OUT])
def test_storage_is_what_is_generated(module, tmp_path):
    """To eight percent: a block RAM has its output register, which Yosys counts apart in some.

    Small counters beside a large memory are not worth a formula either.
    """
    emission, paths = generate(module, {})
    report = tmp_path / "stat.json"
    commands = [
        f"read_verilog {paths['v']}",
        f"hierarchy -top {emission.entry.top}",
        "proc; flatten; opt_clean; memory_dff",
        f"tee -q -o {report} stat -width -json",
    ]
    subprocess.run(
        [sys.executable, "-c", COUNT, *commands], check=True, stdout=subprocess.DEVNULL, timeout=600
    )
    (figures,) = json.loads(report.read_text())["modules"].values()
    bits = figures.get("num_memory_bits", 0)
    for kind, count in figures["num_cells_by_type"].items():
        name, _, width = kind.rpartition("_")
        if "dff" in name:
            bits += count * int(width)
    assert bits == pytest.approx(parameters(module).storage_bits, rel=0.08, abs=2)
