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

_SOURCES = ("verilated.cpp", "verilated_threads.cpp", "verilated_dpi.cpp", "verilated_vpi.cpp")
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
    # But what runs an executable calls VPI from a library of its own.
    flags += ['-DPLI_DLLISPEC=__attribute__((visibility("default")))']
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

    (work / "prefix.h.gch").mkdir()

    def compile_one(source: Path, level: str, *how: str) -> None:
        command = ["g++", *compile_flags(trace), level, *how, str(source)]
        toolchain.run(command, work, f"Compiling {source.name}")

    def compile_source(source: Path) -> None:
        # Verilator's own sources are big and run once per run, not once per cycle.
        level = "-O1" if source.parent == include else "-O2"
        compile_one(source, level, "-c", "-o", f"{source.stem}.o")

    def precompile(level: str) -> None:
        compile_one(work / "prefix.h", level, "-x", "c++-header", "-o", f"prefix.h.gch/{level}")

    try:
        # g++ takes the header that fits: one precompiled to be optimised does not fit -O0.
        list(pool.map(precompile, ("-O0", "-O2")))
        list(pool.map(compile_source, sources))
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
