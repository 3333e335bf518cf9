"""Sweeps: every point once, whatever is killed; one bad point stops nothing."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import distributed
import pytest

from lamina_gen.cli import main
from lamina_gen.registry import MODULES
from lamina_gen.sweep import read_spec

ROOT = Path(__file__).resolve().parents[2]
LAMINA = [sys.executable, "-c", "import sys; from lamina_gen.cli import main; sys.exit(main())"]
SPEC = """
[[space]]
module = "arith.adder_tree"
targets = ["tb.gen.sweep_points:{evaluator}"]
[space.parameters]
inputs = {inputs}
width = {widths}
[pareto."tb.gen.sweep_points:{evaluator}"]
x = "cost"
y = "delay"
"""
INPUTS, WIDTHS = [2, 3, 4, 5, 6, 300], [1, 2, 3, 4]  # 5: the evaluator refuses; 300: the module


@pytest.fixture
def spec(tmp_path):
    def write(evaluator="slow", inputs=INPUTS, widths=WIDTHS):
        path = tmp_path / "spec.toml"
        path.write_text(SPEC.format(evaluator=evaluator, inputs=inputs, widths=widths))
        return path

    return write


@pytest.fixture
def environment(tmp_path):
    notes = {"SWEEP_NOTES": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return os.environ | notes


def rows(folder):
    """Return the rows sorted by key, without times and host; none while there is no file."""
    columns = "key, module, parameters, target, options, figures, sentence, tools"
    path = folder / "results.sqlite"
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        try:
            return connection.execute(f"SELECT {columns} FROM points ORDER BY key").fetchall()
        except sqlite3.OperationalError:  # the table is not made yet
            return []


def let_pass(tmp_path, evaluations=None):
    """Let so many evaluations of the slow points end, by default all: see `sweep_points.slow`."""
    gate, new = tmp_path / "gate", tmp_path / "gate.new"
    if evaluations is None:
        gate.unlink()
    else:
        new.write_text(str(evaluations))
        new.replace(gate)


def wait_until(condition, process=None, patience=60):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "it took too long"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def sweep(environment, *arguments, **options):
    command = [*LAMINA, "sweep", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        **options,
    )  # fmt: skip


def finish(process):
    output, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return output


def address_in(file):
    """Return the address that a scheduler's file names, None until it is written to its end."""
    try:
        return json.loads(file.read_text())["address"]
    except (FileNotFoundError, json.JSONDecodeError):
        return None


@contextlib.contextmanager
def cluster(environment, workers, tmp_path):
    """Run a Dask scheduler on loopback and ``workers`` of one thread; yield address, processes."""
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    started = []

    def start(*command):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen([*dask, *command], env=environment, cwd=tmp_path, **quiet))
        return started[-1]

    try:
        place = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        scheduler = start("scheduler", *place, "--scheduler-file", str(file))
        wait_until(lambda: address_in(file), scheduler)
        address = address_in(file)
        one = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        processes = [start("worker", address, *one) for _ in range(workers)]
        with distributed.Client(address) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address, scheduler, processes
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_killed_sweep_ends_as_an_undisturbed_one(spec, environment, tmp_path):
    """Kill -9 a worker, then the driver in the middle; the next run does only what is missing."""
    path, whole, killed = spec(), tmp_path / "whole", tmp_path / "killed"
    assert "24 points, 24 of them evaluated now, 8 failed" in finish(
        sweep(environment, path, "-o", whole)
    )
    notes = tmp_path / "evaluations"
    notes.unlink()
    let_pass(tmp_path, 6)
    with cluster(environment, 2, tmp_path) as (address, _, workers):
        arguments = [path, "-o", killed, "--scheduler", address]
        driver = sweep(environment, *arguments)
        wait_until(lambda: len(rows(killed)) == 6, driver)
        # Only while it works on a point does a worker's death matter.
        wait_until(lambda: len(notes.read_text().splitlines()) > 6, driver)
        held = int(notes.read_text().splitlines()[6].split()[0])
        next(worker for worker in workers if worker.pid == held).send_signal(signal.SIGKILL)
        let_pass(tmp_path, 14)
        wait_until(lambda: len(rows(killed)) >= 10, driver)
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
        kept = rows(killed)
        assert 10 <= len(kept) < 24, "not killed in the middle"
        notes.write_text("")
        let_pass(tmp_path)
        output = finish(sweep(environment, *arguments))
    assert f"24 points, {24 - len(kept)} of them evaluated now, 8 failed" in output
    assert rows(killed) == rows(whole)
    assert set(kept) <= set(rows(killed))
    again = [tuple(line.split()[1:]) for line in notes.read_text().splitlines()]
    done = [json.loads(row[2]) for row in kept if row[5]]
    assert not {(str(p["inputs"]), str(p["width"])) for p in done} & set(again)
    name = "pareto-tb.gen.sweep_points-slow.svg"
    assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_killed_driver_of_local_processes(spec, environment, tmp_path):
    """Workers of its own go with it, and the next run goes on."""
    arguments = [spec(inputs=[2, 3, 4, 6]), "-o", tmp_path / "out", "--workers", "2"]
    let_pass(tmp_path, 5)
    driver = sweep(environment, *arguments)
    wait_until(lambda: len(rows(tmp_path / "out")) >= 3, driver)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    kept = len(rows(tmp_path / "out"))
    let_pass(tmp_path)
    output = finish(sweep(environment, *arguments))
    assert f"16 points, {16 - kept} of them evaluated now, 0 failed" in output
    workers = {int(line.split()[0]) for line in (tmp_path / "evaluations").read_text().splitlines()}
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_point_that_kills_its_workers(spec, environment, tmp_path):
    """It is evaluated first, while the others wait on the same worker: they are not to blame."""
    path = spec(evaluator="deadly", inputs=[4, 2, 3], widths=[1])
    output = finish(sweep(environment, path, "-o", tmp_path / "out", "--workers", "1"))
    assert "3 points, 3 of them evaluated now, 1 failed" in output
    assert "Every worker that tried this point died" in output


def test_point_that_kills_the_last_worker(spec, environment, tmp_path):
    """Nobody is waited for for ever; what was finished is kept."""
    path = spec(evaluator="deadly", inputs=[4, 2, 3], widths=[1])
    with cluster(environment, 2, tmp_path) as (address, _, workers):
        driver = sweep(environment, path, "-o", tmp_path / "out", "--scheduler", address)
        _, error = driver.communicate(timeout=120)
        assert all(worker.wait(timeout=30) is not None for worker in workers)
    assert driver.returncode == 2
    assert "No Dask worker is left" in error


def test_example_of_the_documentation(capfd, tmp_path):
    folder = tmp_path / "out"
    arguments = ["sweep", str(ROOT / "docs/examples/adder_tree.toml"), "-o", str(folder)]
    assert main(arguments) == 0
    output = capfd.readouterr().out
    assert "24 points, 24 of them evaluated now, 0 failed" in output
    assert all(json.loads(row[5])["latency"] >= 1 for row in rows(folder))
    chart = (folder / "pareto-describe.svg").read_bytes()
    assert main(arguments) == 0
    assert "24 points, 0 of them evaluated now, 0 failed" in capfd.readouterr().out
    assert (folder / "pareto-describe.svg").read_bytes() == chart


def test_example_that_places_the_library():
    """Whoever adds a module adds its row."""
    points = read_spec(ROOT / "docs/examples/ecp5.toml").points
    assert [point.target for point in points] == ["ecp5"] * len(MODULES)
    assert {point.module for point in points} == MODULES.keys()


BAD_SPECS = {
    "no file": (None, "No such file"),
    "no TOML": ("[broken", "valid TOML"),
    "nothing": ("", "at least one"),
    "unknown table": ("[spaces]\n[[space]]\n", "not 'spaces'"),
    "no module": ('[[space]]\ntargets = ["cells"]', "must name its module"),
    "unknown module": ('[[space]]\nmodule = "no.module"\ntargets = ["cells"]', "no module"),
    "no target": ('[[space]]\nmodule = "stream.queue"', "must be a list"),
    "unknown target": ('[[space]]\nmodule = "stream.queue"\ntargets = ["asic"]', "'asic' must be"),
    "no such function": (
        '[[space]]\nmodule = "stream.queue"\ntargets = ["nowhere:f"]',
        "function to import",
    ),
    "unknown parameter": (
        '[[space]]\nmodule = "stream.queue"\ntargets = ["cells"]\nparameters.size = [1]',
        "no parameter 'size'",
    ),
    "no values": (
        '[[space]]\nmodule = "stream.queue"\ntargets = ["cells"]\nparameters.depth = []',
        "at least one value",
    ),
    "value of another type": (
        '[[space]]\nmodule = "stream.queue"\ntargets = ["cells"]\nparameters.depth = [1.5]',
        "integers, booleans or texts",
    ),
    "no Liberty": (
        '[synth]\nliberty = "none.lib"\n[[space]]\nmodule = "stream.queue"\ntargets = ["cells"]',
        "must be a Liberty file",
    ),
    "clock": (
        '[synth]\nclock_ps = -1\n[[space]]\nmodule = "stream.queue"\ntargets = ["cells"]',
        "clock_ps must be",
    ),
    "axes of no target": (
        '[[space]]\nmodule = "stream.queue"\ntargets = ["cells"]\n[pareto.ecp5]\nx = "lut4"',
        "not 'ecp5'",
    ),
    "one axis": (
        '[[space]]\nmodule = "stream.queue"\ntargets = ["cells"]\n[pareto.cells]\nx = "area_um2"',
        "x and y",
    ),
}


def refused(capfd, *arguments):
    """Check that a sweep is refused with one sentence; return it."""
    assert main(["sweep", *map(str, arguments)]) == 2
    output, error = capfd.readouterr()
    assert not output
    assert error.startswith("lamina: ")
    assert error.endswith(".\n")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("case", BAD_SPECS)
def test_bad_specification(capfd, tmp_path, case):
    text, expected = BAD_SPECS[case]
    path = tmp_path / "spec.toml"
    if text is not None:
        path.write_text(text)
    sentence = refused(capfd, path, "-o", tmp_path / "out")
    assert expected in sentence
    assert str(path) in sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:1"])
def test_no_scheduler(spec, environment, tmp_path, address):
    """The sentence is all, at the end of the process too: Dask's client is gone by then."""
    impatient = "import sys, lamina_gen.sweep.driver as driver; driver._PATIENCE = '1s'"
    command = [sys.executable, "-c", f"{impatient}; {LAMINA[-1]}", "sweep", str(spec())]
    command += ["-o", str(tmp_path / "out"), "--scheduler", address]
    tried = subprocess.run(
        command, env=environment, text=True, capture_output=True, timeout=120, check=False
    )
    assert tried.returncode == 2
    assert "No Dask cluster" in tried.stderr
    assert address in tried.stderr
    assert not tried.stdout
    assert tried.stderr.startswith("lamina: ")
    assert tried.stderr.endswith(".\n")
    assert tried.stderr.count("\n") == 1


def test_refusals(capfd, spec, tmp_path, monkeypatch):
    monkeypatch.setattr("lamina_gen.sweep.driver._PATIENCE", "1s")
    path, out = spec(), tmp_path / "out"
    for address in ("nonsense", "tcp://127.0.0.1:1"):
        sentence = refused(capfd, path, "-o", out, "--scheduler", address)
        assert "No Dask cluster" in sentence
        assert address in sentence
    both = ["--scheduler", "tcp://127.0.0.1:1", "--workers", "2"]
    assert "must not be given with" in refused(capfd, path, "-o", out, *both)
    (tmp_path / "file").write_text("")
    refused(capfd, path, "-o", tmp_path / "file" / "out")
    out.mkdir(exist_ok=True)
    (out / "results.sqlite").write_text("something else" * 100)
    assert "results of a sweep" in refused(capfd, path, "-o", out)


def test_lost_scheduler_keeps_what_is_finished(spec, environment, tmp_path):
    environment |= {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"}
    let_pass(tmp_path, 5)
    with cluster(environment, 1, tmp_path) as (address, scheduler, _):
        driver = sweep(environment, spec(), "-o", tmp_path / "out", "--scheduler", address)
        wait_until(lambda: len(rows(tmp_path / "out")) >= 3, driver)
        scheduler.kill()
        output, error = driver.communicate(timeout=120)
    assert driver.returncode == 2, error
    assert not output
    assert "scheduler was lost" in error.splitlines()[-1]
    assert len(rows(tmp_path / "out")) >= 3
