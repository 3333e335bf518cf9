"""How every test meets the hardware: generate it, then bench it in cocotb or drive it in bulk.

Both work on the Verilog that users get. Builds live under build/tb, one folder per content, so an
unchanged module is built once.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import random
from pathlib import Path

import numpy as np
from cocotb_tools import config, runner

import lamina
import lamina_gen
from lamina_gen.emit import Emission, emit
from lamina_gen.registry import find, make_parameters
from lamina_sim import verilated
from lamina_sim.verilated.build import Program, build_design, cache_folder, read_design

BUILD = Path(os.environ.get("LAMINA_TB_BUILD", "build/tb")).resolve()

#: What runs a bench instead of the driver: cocotb's own, and the library that it is written for.
COCOTB = Program(
    source=config.share_dir / "lib" / "verilator" / "verilator.cpp",
    link=(f"-L{config.libs_dir}", f"-Wl,-rpath,{config.libs_dir}", "-lcocotbvpi_verilator"),
)

#: Bytes of Verilog from which on a test is over sooner if the compiler optimises less.
LARGE = 300_000
#: Option of g++ for the driver's models in place of those that go by size: for runs that are short.
OPTIMIZE = os.environ.get("LAMINA_TB_OPTIMIZE")

#: Every run draws the same, so that a test that fails does so for what was changed. LAMINA_SEED=7
#: draws others, LAMINA_SEED=random ever new ones. Each is printed, and replays.
SEED = os.environ.setdefault("LAMINA_SEED", "1")
if SEED == "random":
    SEED = os.environ["LAMINA_SEED"] = str(random.SystemRandom().randrange(1 << 31))
SEED = int(SEED)


def seeds(*path):
    """Return the seed of one test, made of LAMINA_SEED (printed) and the names in ``path``."""
    seed = int.from_bytes(hashlib.sha256(repr((SEED, *path)).encode()).digest()[:4], "big")
    print(f"LAMINA_SEED={SEED} (seed {seed} for {path})")
    return seed


@contextlib.contextmanager
def _alone(path: Path):
    """Hold the lock ``path``: tests in parallel may want the same build."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def _generator() -> str:
    """Return a hash of all that decides what is generated."""
    folders = (Path(package.__path__[0]) for package in (lamina, lamina_gen))
    found = (path for folder in folders for path in sorted(folder.rglob("*")))
    files = (path for path in found if path.is_file() and path.suffix != ".pyc")
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def generate(module: str, settings: dict) -> tuple[Emission, dict[str, Path]]:
    """Generate ``module`` into a folder named by its content; return it and its paths by suffix.

    Each is generated once: a link, named by what it is made from, leads to it.
    """
    entry = find(module)
    made_from = repr((_generator(), module, sorted(settings.items())))
    link = BUILD / "generated" / hashlib.sha256(made_from.encode()).hexdigest()[:24]
    with _alone(link.with_suffix(".lock")):
        if not link.exists():
            # Tests run for a moment only: what matters is how long Verilator builds.
            given = make_parameters(entry, settings)
            emission = emit(entry, given, hier_bytes=0, block_most=1 << 18)
            digest = hashlib.sha256("".join(emission.files.values()).encode()).hexdigest()[:12]
            folder = BUILD / f"{entry.top}-{digest}"
            files = [folder / f"{entry.top}.{suffix}" for suffix in emission.files]
            # Left alone when it is there: a rewritten file would make Verilator build again.
            with _alone(folder / ".lock"):
                if not all(path.exists() for path in files):
                    emission.write(folder)
            link.unlink(missing_ok=True)  # the folder may have been removed
            link.symlink_to(folder)
    folder = link.resolve()
    paths = {path.suffix[1:]: path for path in folder.glob(f"{entry.top}.*")}
    return Emission(entry, {suffix: path.read_text() for suffix, path in paths.items()}), paths


def parameters(module: str, **settings):
    """Return the parameters that a bench asks for latency, cycles and widths."""
    return make_parameters(find(module), settings)


@functools.cache
def bulk_model(module: str, random_initial: bool = False, **settings):
    """Build ``module`` for the bulk driver and return its `verilated` model.

    ``random_initial``: its registers start with whatever a run draws.
    """
    emission, paths = generate(module, settings)
    optimize = OPTIMIZE or ("-O1" if len(emission.files["v"]) > LARGE else "-O2")
    with _alone(paths["v"].parent / "bulk.lock"):
        return verilated.build(paths["json"], random_initial=random_initial, optimize=optimize)


def check_outputs(model, inputs, expected, **options):
    """Run ``inputs`` until all that is ``expected`` left ``o``: arrays over its beats, by field.

    Fails if a field differs. ``options`` and what is returned are those of `Model.run`.
    """
    beats = len(next(iter(expected.values())))
    result = model.run(inputs, outputs={"o": beats}, **options)
    for name, values in expected.items():
        assert np.array_equal(result["o"].values[name], values), name
    return result


def run_bench(module: str, bench: str, settings: dict | None = None, **environment):
    """Run the cocotb coroutines of ``bench`` ("tb.anda.element_tb") on ``module`` in Verilator.

    ``environment`` reaches the bench as environment variables (as text). Fails as pytest expects if
    a coroutine fails or none ran. Waveforms: WAVES=1.
    """
    settings = settings or {}
    emission, paths = generate(module, settings)
    waves = os.environ.get("WAVES") == "1"
    # Benches are short: what a faster model saves it takes to build.
    design = read_design(paths["json"], trace=waves, optimize="-O0", program=COCOTB)
    folder = paths["v"].parent / "cocotb"
    with _alone(folder / ".lock"):
        build = build_design(design, cache_folder()).parent
    results = runner.get_runner("verilator").test(
        hdl_toplevel=emission.entry.top,
        hdl_toplevel_lang="verilog",
        test_module=bench,
        seed=seeds(module, bench, *settings.items()),
        build_dir=build,
        test_dir=folder,
        results_xml=str(folder / f"results-{bench}-{os.getpid()}.xml"),
        extra_env={
            "LAMINA_MODULE": module,
            "LAMINA_SETTINGS": repr(settings),
            "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]),
            **{name: str(value) for name, value in environment.items()},
        },
        waves=waves,
    )
    ran, failed = runner.get_results(results)
    assert ran > 0, f"{bench} ran no coroutine"
    assert failed == 0, f"{bench}: {failed} of {ran} coroutines failed"


def bench_parameters():
    """Return, inside a cocotb bench, the parameters that `run_bench` generated the module with."""
    import ast

    settings = ast.literal_eval(os.environ["LAMINA_SETTINGS"])
    return make_parameters(find(os.environ["LAMINA_MODULE"]), settings)
