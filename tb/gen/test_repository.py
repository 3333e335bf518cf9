"""Rules of the repository as a whole: sizes, faces of a module, nothing of one machine."""

import re
import subprocess
from pathlib import Path

import pytest

from lamina_gen.registry import MODULES, STAGES

ROOT = Path(__file__).resolve().parents[2]

#: Spelled in pieces, as this file must keep the rule too.
FORBIDDEN = {
    "host of a package registry": "|".join(
        (
            r"py" + r"pi\.org",
            "python" + r"hosted\.",
            "npm" + r"js\.",
            "crates" + r"\.io",
            "index" + "-url",
        )
    ),
    "path of one machine": r"(?<![\w.])/(home|work|root|Users)/\w",
    "folder outside the repository": r"(?<![\w/-])(\.\./)?sha" + r"red/\w",
}


def tracked():
    """Return all files that git tracks or would, as text where they are."""
    # A checkout that belongs to someone else, as in a container, is read all the same.
    command = ["git", "-c", "safe.directory=*", "ls-files"]
    command += ["--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in done.stdout.splitlines()]
    return [path for path in paths if path.is_file() and path != Path(__file__).resolve()]


def text_of(path):
    """Return the text of a file; nothing for a binary."""
    content = path.read_bytes()
    return "" if b"\0" in content[:4096] else content.decode()


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_nothing_forbidden(kind):
    pattern = re.compile(FORBIDDEN[kind])
    found = [
        f"{path.relative_to(ROOT)}: {match.group(0)}"
        for path in tracked()
        for match in pattern.finditer(text_of(path))
    ]
    assert not found


def test_forbidden_patterns_match():
    samples = {
        "host of a package registry": "https://py" + "pi.org/simple",
        "path of one machine": "see /ho" + "me/ann/lamina",
        "folder outside the repository": "../sha" + "red/notes.md",
    }
    for kind, sample in samples.items():
        assert re.search(FORBIDDEN[kind], sample)


def lines_of(*patterns):
    files = [path for path in tracked() if path.suffix in patterns]
    return {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in files}


def test_files_are_short():
    long = {str(path): n for path, n in lines_of(".py", ".cpp", ".h", ".v").items() if n > 350}
    assert not long


def test_scripts_are_thin():
    scripts = [path for path in tracked() if path.parent == ROOT / "scripts"]
    assert scripts
    long = {path.name: n for path in scripts if (n := len(path.read_text().splitlines())) >= 80}
    assert not long


def test_stages_are_known():
    assert {entry.stage for entry in MODULES.values()} <= set(STAGES)


def faces(module):
    """Return folder ('' for a module at the top) and file name of a module's source."""
    parts = MODULES[module].path.partition(":")[0].split(".")[1:]
    return "/".join(parts[:-1]), parts[-1]


@pytest.mark.parametrize("module", MODULES)
def test_module_has_its_faces(module):
    """Hardware, bench, test and page share one name."""
    folder, name = faces(module)
    missing = [
        path
        for path in (f"tb/{folder}/{name}_tb.py", f"tb/{folder}/test_{name}.py")
        if not (ROOT / path).is_file()
    ]
    assert not missing
    pages = ROOT / "docs/modules"
    own = pages / f"{folder}_{name}.md" if folder else pages / f"{name}.md"
    shared = pages / f"{folder}.md"
    assert own.is_file() or (shared.is_file() and f"`{module}`" in shared.read_text()), (
        f"neither {own.relative_to(ROOT)} nor a section with `{module}` in docs/modules/{folder}.md"
    )


def test_documentation_links_lead_somewhere():
    broken = []
    for path in tracked():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)", text_of(path)):
            if not target.startswith(("http:", "https:")) and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert not broken


def test_readme_lists_every_module():
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| (\w+) \|", readme, re.M)
    assert rows == [(e.name, e.stage) for s in STAGES for e in MODULES.values() if e.stage == s]
