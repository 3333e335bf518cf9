"""The test plan names tests that exist, all of them, and its page is up to date."""

import ast
import tomllib
from pathlib import Path

import pytest

from lamina_gen.testplan import PAGE, PLAN, render

ROOT = Path(__file__).resolve().parents[2]
TEXT = tomllib.loads(PLAN.read_text())
ROWS = TEXT["row"]


def test_page_is_up_to_date():
    """Else run `python -m lamina_gen.testplan`."""
    assert PAGE.read_text() == render(TEXT)


def functions_of(path):
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


NAMED = sorted({test for row in ROWS for test in row["tests"]} | {f["test"] for f in TEXT["fault"]})


@pytest.mark.parametrize("test", NAMED)
def test_named_test_exists(test):
    path, _, name = test.partition("::")
    assert (ROOT / path).is_file()
    if name:
        assert name.partition("[")[0] in functions_of(path)


def test_every_test_file_is_in_the_plan():
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tb").rglob("test_*.py")}
    assert not files - {test.partition("::")[0] for row in ROWS for test in row["tests"]}


def test_rows_have_a_rung():
    assert {row["rung"] for row in ROWS} <= {rung["number"] for rung in TEXT["rung"]}
    for rung in TEXT["rung"]:
        filled = any(row["rung"] == rung["number"] for row in ROWS)
        assert filled == (rung["climbed"] != "no"), rung["title"]
