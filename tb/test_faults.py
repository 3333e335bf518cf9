"""Planted faults: one change to the hardware, and the test that must notice it.

Each row of testplan.toml's ``fault`` tables is applied to a copy of hw/, and its test is run on
that copy in a process of its own. A fault that no test notices fails here.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from lamina_gen.registry import MODULES
from tb.bench import BUILD

ROOT = Path(__file__).resolve().parents[1]
FAULTS = tomllib.loads((ROOT / "tb/testplan.toml").read_text()).get("fault", [])

#: How a test says that hardware is wrong. Whatever else it dies of would prove nothing.
#: SystemExit 1 is a cocotb bench with a failed coroutine.
NOTICED = re.compile(r"assert |(\w+\.)*(AssertionError|StuckError|ProtocolError)\b|SystemExit: 1")


def copy_of_hardware(folder: Path) -> Path:
    shutil.copytree(ROOT / "hw", folder / "hw", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "hw"


def environment(hardware: Path) -> dict[str, str]:
    """Let a process import ``lamina`` from ``hardware``, and all else from where this one does.

    It generates into a folder of its own; what is named by its content is shared with all tests.
    """
    build = hardware.parent / "build"
    build.mkdir(exist_ok=True)
    (BUILD / "verilated").mkdir(parents=True, exist_ok=True)
    if not (build / "verilated").exists():
        (build / "verilated").symlink_to(BUILD / "verilated")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    # Most faults are noticed in a moment, for which no model need be fast.
    quick = {"LAMINA_TB_OPTIMIZE": "-O0"}
    path = os.pathsep.join(filter(None, [str(hardware), os.environ.get("PYTHONPATH")]))
    return {**inherited, **quick, "PYTHONPATH": path, "LAMINA_TB_BUILD": str(build)}


def run_test(test: str, hardware: Path) -> tuple[int, str, str]:
    """Run one test on ``hardware``; return pytest's exit code, the failure's message, its text."""
    report = hardware.parent / "report.xml"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p"]
    command += ["no:xdist", f"--junitxml={report}", test]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(hardware), capture_output=True, text=True, timeout=900
    )
    text = done.stdout[-4000:] + done.stderr[-2000:]
    if not report.exists():
        return done.returncode, "", text
    failure = ElementTree.parse(report).find(".//failure")
    return done.returncode, "" if failure is None else failure.get("message", ""), text


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f['module']}: {f['meaning']}")
def test_fault_is_noticed(fault, tmp_path):
    hardware = copy_of_hardware(tmp_path)
    path = tmp_path / fault["file"]
    source = path.read_text()
    assert source.count(fault["find"]) == 1, f"{fault['find']!r} must be once in {fault['file']}"
    path.write_text(source.replace(fault["find"], fault["replace"]))
    code, message, text = run_test(fault["test"], hardware)
    assert code == 1, f"{fault['test']} did not fail but ended with {code}:\n{text}"
    assert NOTICED.match(message), f"{fault['test']} failed for another reason: {message}\n{text}"


def test_copy_goes_before_what_is_installed(tmp_path):
    hardware = copy_of_hardware(tmp_path)
    command = [sys.executable, "-c", "import lamina; print(lamina.__file__)"]
    done = subprocess.run(command, env=environment(hardware), capture_output=True, text=True)
    assert done.stdout.strip() == str(hardware / "lamina" / "__init__.py")


def test_untouched_copy_passes(tmp_path):
    """The same mechanism without a fault: nothing but the fault makes a test fail."""
    code, message, text = run_test(
        "tb/arith/test_compressor_tree.py::test_columns", copy_of_hardware(tmp_path)
    )
    assert (code, message) == (0, ""), text


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_fault(module):
    assert module in {fault["module"] for fault in FAULTS}
