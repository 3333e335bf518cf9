"""What all models share: Verilator's runtime and the driver, compiled once, and how to compile."""

import hashlib
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lamina_sim.verilated import toolchain

__all__ = ["DRIVER", "compile_flags", "publish", "runtime"]

DRIVER = Path(__file__).parent
"""Folder of the driver's C++ sources."""

_SOURCES = ("verilated.cpp", "verilated_threads.cpp", "verilated_dpi.cpp")
_PREFIX = '#include "verilated.h"\n#include <memory>\n#include <vector>\n'


def compile_flags(trace: bool, common: Path | None = None) -> list[str]:
    """Options of g++ for all parts of a model; ``common`` is the folder of the shared parts.

    The precompiled header is used only if all options agree with those it was made with.
    """
    include = toolchain.include_folder()
    off = ("COVERAGE", "SC", "TIMING", "TRACE_FST", "TRACE_SAIF")
    flags = [f"-I{include}", f"-I{include / 'vltstd'}", "-DVERILATOR=1"]
    flags += [f"-DVM_{name}=0" for name in off]
    flags += [f"-DVM_{name}={int(trace)}" for name in ("TRACE", "TRACE_VCD")]
    # Hidden and not unique: several models in one process must not share the runtime's statics.
    flags += ["-std=gnu++20", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-w"]
    flags += ["-ffunction-sections", "-fdata-sections"]
    return flags + (["-include", str(common / "prefix.h")] if common else [])


def runtime(cache: Path, trace: bool, pool: ThreadPoolExecutor) -> Path:
    """Folder with the objects and the precompiled header that every model needs."""
    driver = "".join(path.read_text() for path in sorted(DRIVER.glob("*.[ch]*")))
    parts = (driver, toolchain.fingerprint(), *compile_flags(trace), Path(__file__).read_text())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    final = cache / f"runtime-{key}"
    if final.exists():
        return final
    work = Path(tempfile.mkdtemp(prefix="runtime-", suffix=".part", dir=cache))
    (work / "prefix.h").write_text(_PREFIX)
    include = toolchain.include_folder()
    sources = [include / name for name in _SOURCES] + [DRIVER / "driver.cpp"]
    sources += [include / "verilated_vcd_c.cpp"] if trace else []

    def compile_one(source: Path) -> None:
        what = ["-x", "c++-header"] if source.suffix == ".h" else ["-c"]
        # Verilator's own sources are big and run once per run, not once per cycle.
        level = "-O1" if source.parent == include else "-O2"
        name = "prefix.h.gch" if source.suffix == ".h" else f"{source.stem}.o"
        command: list[str | Path] = ["g++", *compile_flags(trace), level, *what, source, "-o", name]
        toolchain.run(command, work, f"Compiling {source.name}")

    try:
        list(pool.map(compile_one, [*sources, work / "prefix.h"]))
        publish(work, final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return final


def publish(work: Path, final: Path) -> None:
    """Give a finished folder its name; if another process was faster, its result stands."""
    try:
        work.rename(final)
    except OSError:
        if not final.exists():
            raise
