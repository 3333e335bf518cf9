"""From MODULE.v and MODULE.json to what a :class:`~lamina_sim.verilated.model.Model` loads.

Verilator writes C++, and one g++ per part of it makes a shared object. What does not depend on the
module - Verilator's runtime, the driver, a precompiled header - is compiled once (runtime.py).
With a `Program` in place of the driver it becomes an executable. Everything is kept under the hash
of what it was made from, and appears by renaming a finished folder, so that processes that build
the same thing at once do no harm.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina_sim.verilated import toolchain
from lamina_sim.verilated.description import read_description
from lamina_sim.verilated.runtime import DRIVER, compile_flags, publish, runtime

__all__ = ["Design", "Program", "Progress", "build_design", "cache_folder", "read_design"]

Progress = Callable[[str, float], None]
"""Called with a line of text and the finished fraction (0 to 1) of a build."""

# Bytes of C++ to compile together at least and at most: g++ takes a quarter of a second to start,
# and some 2 s for the larger number.
_PART_BYTES = 100_000, 500_000

# Where Verilator cuts its functions: g++ takes more than twice as long for those of 5,000 nodes,
# and calls cost more than they save from 50 on.
_FUNCTION_NODES = "500"


@dataclass(frozen=True, kw_only=True)
class Program:
    """What runs a model that is not the driver, and reaches its ports through VPI.

    ``source``: C++ with ``main``, to which the top module is the class Vtop. ``link``: options of
    g++ for what it needs.
    """

    source: Path
    link: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a model is built from.

    ``verilog``, ``waivers`` (a Verilator configuration, may be empty) and ``description``
    (MODULE.json, parsed) are texts and data, not paths: the cache is keyed by content.
    ``trace`` builds in VCD tracing; ``random_initial`` removes the initial values of registers, so
    that a run can draw them at random; ``optimize`` is the option of g++ for the model;
    ``program`` makes it an executable.
    """

    verilog: str
    description: dict[str, Any]
    waivers: str = ""
    trace: bool = False
    random_initial: bool = False
    optimize: str = "-O2"
    program: Program | None = None

    @property
    def top(self) -> str:
        """Name of the top module."""
        return str(self.description["top"])

    @property
    def prefix(self) -> str:
        """Name of the top module's C++ class."""
        return "Vtop" if self.program else f"V{self.top}"

    @property
    def result(self) -> str:
        """Name of the file that is built."""
        return self.top if self.program else "model.so"

    @property
    def signals(self) -> list[str]:
        """Names of the top-level signals, clock and reset included, in the order of the driver."""
        control = [self.description.get("clock"), self.description.get("reset")]
        ports = [port["signals"].values() for port in self.description["ports"]]
        return [name for name in (*control, *(s for group in ports for s in group)) if name]

    @property
    def hierarchical(self) -> bool:
        """Whether blocks are marked to be verilated once and instantiated often."""
        return re.search(r"^\s*hier_block\b", self.waivers, re.MULTILINE) is not None

    def key(self) -> str:
        """Hash of all that decides the result."""
        parts = (
            json.dumps([self.verilog, self.signals, self.top, self.waivers]),
            json.dumps([self.trace, self.random_initial, self.optimize]),
            *((self.program.source.read_text(), *self.program.link) if self.program else ()),
            toolchain.fingerprint(),
            *compile_flags(self.trace),
            *(path.read_text() for path in sorted(DRIVER.glob("*.[ch]*"))),
            Path(__file__).read_text(),
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def cache_folder(cache: Path | str | None = None) -> Path:
    """Folder of built models: the argument, $LAMINA_CACHE, or build/verilated below here."""
    return Path(cache or os.environ.get("LAMINA_CACHE") or Path("build", "verilated")).absolute()


def read_design(source: Path | str | tuple[Path | str, Path | str], **options: Any) -> Design:
    """Design of MODULE.json with MODULE.v beside it, or of (MODULE.v, MODULE.json).

    MODULE.vlt beside MODULE.v is read if there is one. ``options`` are fields of `Design`. Raises
    ValueError if a file is missing or the description cannot be understood.
    """
    paths = source if isinstance(source, tuple) else (Path(source).with_suffix(".v"), source)
    verilog, description = (Path(path) for path in paths)
    waivers = verilog.with_suffix(".vlt")
    for path in (verilog, description):
        if not path.is_file():
            raise ValueError(f"{path} must be a file, but there is none.")
    return Design(
        verilog=verilog.read_text(),
        description=read_description(description),
        waivers=waivers.read_text() if waivers.is_file() else "",
        **options,
    )


def build_design(
    design: Design, cache: Path, progress: Progress | None = None, jobs: int | None = None
) -> Path:
    """Path of the shared object or executable, built if the cache does not have it."""
    report = progress or (lambda text, fraction: None)
    final = cache / f"{design.top}-{design.key()}"
    result = final / design.result
    if result.exists():
        report(f"{design.top}: already built", 1.0)
        return result
    toolchain.require()
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{design.top}-", suffix=".part", dir=cache))
    try:
        with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
            report(f"{design.top}: Verilator's runtime", 0.0)
            common = runtime(cache, design.trace, pool)
            report(f"{design.top}: Verilator reads the Verilog", 0.1)
            _verilate(design, work)
            _compile(design, work, common, pool, report)
        publish(work, final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report(f"{design.top}: built", 1.0)
    return result


def _verilate(design: Design, work: Path) -> None:
    """Write the C++ of the design to work/cpp."""
    if design.hierarchical and re.search(r"\s", str(work)):
        raise toolchain.ToolError(
            f"The cache folder must have no blanks in its path for make, not {str(work.parent)!r}."
        )
    verilog = _forget_initial_values(design.verilog) if design.random_initial else design.verilog
    (work / f"{design.top}.v").write_text(verilog)
    sources = [f"{design.top}.v"]
    if design.waivers:
        (work / f"{design.top}.vlt").write_text(design.waivers)
        sources.insert(0, f"{design.top}.vlt")
    unknown = "unique" if design.random_initial else "fast"
    command = [
        "verilator", "--cc", *sources, "--top-module", design.top, "--prefix", design.prefix,
        "--Mdir", "cpp", "--quiet", "--no-assert", "-O3", "-Wno-fatal", "-Wno-lint",
        "--x-assign", unknown, "--x-initial", unknown,
        "--output-split", "5000", "--output-split-cfuncs", _FUNCTION_NODES,
    ]  # fmt: skip
    command += ["--trace-vcd"] if design.trace else []
    # Ports only: a signal that is visible below the top cannot be optimised away.
    command += ["--vpi", "--public-depth", "1"] if design.program else []
    command += ["--hierarchical", "-CFLAGS", "-fPIC"] if design.hierarchical else []
    toolchain.run(command, work, f"Reading the Verilog of {design.top}")


def _forget_initial_values(verilog: str) -> str:
    """Declarations ``reg [7:0] x = 8'h00;`` without the value; contents of memories stay."""
    # The blank before the semicolon ends an escaped name.
    return re.sub(
        r"^(\s*(?:output\s+)?reg\b[^=;]*?)\s*=[^;]*;", r"\1 ;", verilog, flags=re.MULTILINE
    )


def _compile(
    design: Design, work: Path, common: Path, pool: ThreadPoolExecutor, report: Progress
) -> None:
    """Compile work/cpp and the binding in parts, and link them with the runtime."""
    _write_port_table(design, work)
    folders = sorted({path.parent for path in work.glob("cpp/**/*.cpp")})
    runs = design.program.source if design.program else DRIVER / "model.cpp"
    parts: list[tuple[Path, list[Path]]] = [(work / "cpp", [runs])]
    total = sum(path.stat().st_size for path in work.glob("cpp/**/*.cpp"))
    least, most = _PART_BYTES
    limit = min(max(total // (os.cpu_count() or 1), least), most)
    for folder in folders:
        sources = sorted(folder.glob("*.cpp"))
        slow = [source for source in sources if source.stem.endswith("__Slow")]
        fast = [source for source in sources if source not in slow]
        parts += [(folder, group) for group in (*_group(fast, limit), *_group(slow, limit))]

    def compile_part(index: int) -> None:
        folder, sources = parts[index]
        unit = work / f"part{index}.cpp"
        unit.write_text("".join(f'#include "{source}"\n' for source in sources))
        # Verilator keeps apart what runs once, at the start: making it fast takes time for nothing.
        slow = sources[0].stem.endswith("__Slow")
        flags = [*compile_flags(design.trace, common), "-O0" if slow else design.optimize]
        includes = [f"-I{folder}", f"-I{work}", f"-I{DRIVER}"]
        command = ["g++", *flags, *includes, "-c", unit.name]
        toolchain.run(command, work, f"Compiling {design.top}")

    for done, _ in enumerate(pool.map(compile_part, range(len(parts)))):
        report(f"{design.top}: compiled {done + 1} of {len(parts)}", 0.2 + 0.7 * done / len(parts))
    objects = [f"part{index}.o" for index in range(len(parts))]
    # Our own symbols first and only: models of many modules live in one process.
    link, unused = ["-shared", "-Wl,-Bsymbolic"], common / "verilated_vpi.o"
    if design.program:
        link, unused = list(design.program.link), common / "driver.o"
    objects += [str(path) for path in sorted(common.glob("*.o")) if path != unused]
    command = ["g++", *objects, *link, "-Wl,--gc-sections", "-s", "-o", design.result]
    toolchain.run(command, work, f"Linking {design.top}")
    shutil.rmtree(work / "cpp")
    for left in work.glob("part*"):
        left.unlink()


def _group(sources: Sequence[Path], limit: int) -> list[list[Path]]:
    """Neighbouring files in groups of at most ``limit`` bytes, but of one file at least."""
    groups: list[list[Path]] = []
    size = limit
    for source in sources:
        if size + source.stat().st_size > limit:
            groups.append([])
            size = 0
        groups[-1].append(source)
        size += source.stat().st_size
    return groups


def _write_port_table(design: Design, work: Path) -> None:
    """Write ports.h, by which model.cpp finds the signals of the top module."""
    names = " ".join(f"X({_member(name)})" for name in design.signals)
    (work / "ports.h").write_text(
        f'#define LAMINA_HEADER "{design.prefix}.h"\n'
        f"#define LAMINA_TOP {design.prefix}\n"
        f"#define LAMINA_SIGNALS(X) {names}\n"
    )


def _member(name: str) -> str:
    """Verilator's C++ name of a signal: a double underscore and odd characters are spelled out."""
    spelled = name.replace("__", "_\0")
    return re.sub(r"[^A-Za-z0-9_]", lambda match: f"__0{ord(match[0]) or ord('_'):02X}", spelled)
