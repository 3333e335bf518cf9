"""docs/verification.md out of tb/testplan.toml: `python -m lamina_gen.testplan` writes it."""

import sys
import tomllib
from pathlib import Path
from typing import Any

from lamina_gen.registry import MODULES, STAGES

__all__ = ["PAGE", "PLAN", "main", "render"]

_ROOT = Path(__file__).resolve().parents[2]
PLAN = _ROOT / "tb" / "testplan.toml"
PAGE = _ROOT / "docs" / "verification.md"

_HEAD = """\
# Verification

What is checked, how, and by which test. This page is made from `tb/testplan.toml` by
`python -m lamina_gen.testplan`; a test fails when it is out of date. The tests run on the generated
Verilog, with random data that is the same in every run: a test that fails does so for what was
changed. `LAMINA_SEED=random make test` draws other data and prints its seed, `LAMINA_SEED=...`
replays it.
"""


def render(plan: dict[str, Any]) -> str:
    """Return the page of a parsed test plan: one section per rung of the ladder."""
    rows, faults = plan.get("row", []), plan.get("fault", [])
    ladder = [[rung["number"], rung["title"], rung["climbed"]] for rung in plan["rung"]]
    parts = [_HEAD, _table(["rung", "what", "climbed"], ladder)]
    for rung in plan["rung"]:
        parts.append(f"## {rung['number']}. {rung['title']}\n\n{rung['text']}\n")
        own = sorted((row for row in rows if row["rung"] == rung["number"]), key=_order)
        if own:
            parts.append(_table(["module", "checked", "why", "tests"], map(_row, own)))
        if "faults" in rung["title"].lower() and faults:
            parts.append(_faults(faults))
    return "\n".join(parts)


def _row(row: dict[str, Any]) -> list[str]:
    tests = "<br>".join(f"`{test.removeprefix('tb/')}`" for test in row["tests"])
    return [f"`{row['module']}`", row["checks"], row["why"], tests]


def _faults(faults: list[dict[str, Any]]) -> str:
    modules = {fault["module"] for fault in faults}
    table = _table(
        ["module", "planted", "what it would do", "caught by"],
        (
            [
                f"`{fault['module']}`",
                f"`{_code(fault['find'])}` → `{_code(fault['replace'])}`",
                fault["meaning"],
                f"`{fault['test'].removeprefix('tb/')}`",
            ]
            for fault in sorted(faults, key=_order)
        ),
    )
    return f"{len(faults)} faults in {len(modules)} modules; each is caught.\n\n{table}"


def _code(text: str) -> str:
    """Fit source text into a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _order(row: dict[str, Any]) -> tuple[int, int]:
    """Modules in the order in which data flows, all else before them as it stands."""
    entry = MODULES.get(row["module"])
    names = list(MODULES)
    return (STAGES.index(entry.stage), names.index(entry.name)) if entry else (-1, 0)


def _table(head: list[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def main() -> int:
    """Write the page."""
    if not PLAN.is_file():
        print(f"{PLAN} must be there: this runs in a checkout only.", file=sys.stderr)
        return 2
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(tomllib.loads(PLAN.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
