"""Running Yosys, nextpnr and OpenSTA: each in a process of its own, with its log in a file."""

import functools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path

from lamina_sim.verilated.toolchain import ToolError

__all__ = [
    "Line",
    "TimeLimitError",
    "ToolError",
    "call",
    "find_abc",
    "find_sta",
    "package_version",
    "passes",
    "quote",
    "require_package",
    "run_yosys",
]

#: Called with each line of a tool's log.
Line = Callable[[str], None]

#: Lines of its log that a failing tool is quoted with.
_LAST_LINES = 8


class TimeLimitError(Exception):
    """A tool was ended because it took longer than it may."""


def call(
    command: Sequence[str | Path],
    folder: Path,
    what: str,
    log: str,
    line: Line | None = None,
    limit_s: float | None = None,
) -> str:
    """Run ``command`` in ``folder`` and return what it wrote, which stays in the file ``log``.

    Raises ToolError with the last lines if it fails, ``what`` names its work ("Synthesis of x");
    TimeLimitError if it is not done in ``limit_s``.
    """
    words = [str(word) for word in command]
    with (folder / log).open("w") as file:
        process = subprocess.Popen(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        ended = threading.Event()

        def end() -> None:
            ended.set()
            process.kill()

        timer = threading.Timer(limit_s or 0.0, end)
        if limit_s is not None:
            timer.start()
        try:
            assert process.stdout is not None
            for text in process.stdout:
                file.write(text)
                if line is not None:
                    line(text)
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
            timer.cancel()
    if ended.is_set():
        raise TimeLimitError
    output = (folder / log).read_text()
    if code != 0:
        raise ToolError(f"{what} failed with code {code}." + quote(output))
    return output


def quote(output: str) -> str:
    """Return the last lines of a log, each on a line of its own."""
    lines = [line for line in output.splitlines() if line.strip()]
    return "".join(f"\n  {line.rstrip()}" for line in lines[-_LAST_LINES:])


def run_yosys(
    script: str,
    folder: Path,
    what: str,
    line: Line | None = None,
    limit_s: float | None = None,
) -> str:
    """Run a Yosys ``script`` in ``folder``; return the log.

    In a process of its own because an error in Yosys ends the process, and memory is given back.
    """
    require_package("pyosys", "it synthesizes")
    (folder / "yosys.ys").write_text(script)
    program = (
        "from pyosys import libyosys as yosys; yosys.run_pass('script yosys.ys', yosys.Design())"
    )
    return call([sys.executable, "-c", program], folder, what, "yosys.log", line, limit_s)


def passes(top: str, report: Callable[[str, float], None]) -> Line:
    """Return what shows ``report`` the passes that Yosys names in its log."""

    def line(text: str) -> None:
        number, found, name = text.partition(". Executing ")
        if found and number.replace(".", "").isdigit():
            report(f"{top}: {name.strip()[:60]}", 0.1)

    return line


def require_package(name: str, purpose: str) -> None:
    """Raise ToolError unless the Python package ``name`` is installed."""
    if util.find_spec(name) is None:
        raise ToolError(
            f"The Python package {name.replace('_', '-')} must be installed: {purpose}; "
            f"`pip install lamina[synth]` brings it."
        )


def package_version(name: str) -> str:
    """Return the version of an installed Python package."""
    return metadata.version(name)


def find_abc() -> Path:
    """Return the path of the ABC that comes with Yosys."""
    require_package("pyosys", "it synthesizes")
    spec = util.find_spec("pyosys")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("yosys-abc")


@functools.cache
def find_sta() -> tuple[Path, str] | None:
    """Return path and version of OpenSTA, or None if it is not installed."""
    path = shutil.which("sta")
    if path is None:
        return None
    done = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout)
    return (Path(path), match[0]) if match else None
