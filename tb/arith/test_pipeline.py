"""What the parameters of pipelines say of themselves is what is generated."""

import json
import subprocess
import sys

import pytest

from tb.bench import generate, parameters

COUNT_FLIP_FLOPS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        ("arith.adder_tree", {"inputs": 5, "width": 7, "tag_bits": 3}),
        ("arith.leading_zeros", {"width": 9}),
        ("arith.int_to_fp32", {"width": 27, "exponent_bits": 9, "tag_bits": 40}),
        ("arith.fp32_multiply", {"b_format": "fp16", "stages_per_rank": 3}),
        ("arith.fp32_multiply", {"b_format": "fp32"}),
        ("arith.fp32_add", {"stages_per_rank": 2, "tag_bits": 1}),
    ],
)
def test_storage_bits(module, settings, tmp_path):
    """Yosys finds as many flip-flops as `storage_bits` says."""
    _, paths = generate(module, settings)
    passes = [f"read_verilog {paths['v']}", "proc", "simplemap"]
    passes += [f"tee -q -o {tmp_path}/stat.json stat -json"]
    # A Yosys error ends the process that it runs in.
    subprocess.run(
        [sys.executable, "-c", COUNT_FLIP_FLOPS, *passes], check=True, stdout=subprocess.DEVNULL
    )
    (counts,) = json.loads((tmp_path / "stat.json").read_text())["modules"].values()
    cells = counts["num_cells_by_type"]
    found = sum(number for kind, number in cells.items() if "DFF" in kind)
    assert found == parameters(module, **settings).storage_bits
