"""The command line: what it writes where, and how it refuses bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina_gen import configurations
from lamina_gen.bench import BENCHES
from lamina_gen.cli import COMMANDS, main
from lamina_gen.registry import MODULES, STAGES

LAMINA = Path(sys.executable).with_name("lamina")


def run(capfd, *arguments):
    """Run a command line; return exit code, standard output and standard error."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as exit:
        code = exit.code
    return code, *capfd.readouterr()


def refused(capfd, *arguments):
    """Check that a command line is refused with one sentence; return the sentence."""
    code, output, error = run(capfd, *arguments)
    assert code == 2
    assert not output
    lines = error.splitlines()
    assert len(lines) == 1, error
    assert lines[0].startswith("lamina: ")
    assert lines[0].endswith(".")
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(capfd, command):
    code, output, _ = run(capfd, command, "--help")
    assert code == 0
    assert "Example:" in output
    assert f"lamina {command}" in output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_agrees_with_the_overview(capfd, command):
    """The overview quotes each command's first sentence without importing it."""
    _, output, _ = run(capfd, command, "--help")
    assert COMMANDS[command] in " ".join(output.split())


def test_overview(capfd):
    code, output, _ = run(capfd, "--help")
    assert code == 0
    assert all(command in output for command in COMMANDS)


def test_overview_imports_no_heavy_package():
    """What is slow to import is what makes help slow."""
    script = "import sys; from lamina_gen.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {"amaranth", "numpy", "rich", "lamina_gen.emit", "lamina_sim.golden"}


def test_console_script_exit_code():
    done = subprocess.run([LAMINA, "describe", "no.module"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_list(capfd):
    code, output, _ = run(capfd, "list")
    assert code == 0
    rows = [line.split()[:2] for line in output.splitlines()[1:]]
    assert sorted(name for name, _ in rows) == sorted(MODULES)
    stages = [STAGES.index(stage) for _, stage in rows]
    assert stages == sorted(stages), "not in the order of the stages"


@pytest.mark.parametrize("module", MODULES)
def test_describe(capfd, module):
    code, output, _ = run(capfd, "describe", module, "--json")
    assert code == 0
    description = json.loads(output)
    assert description["module"] == module
    assert description["summary"] in description["contract"].replace("``", "")
    assert isinstance(description["latency"], int)
    assert isinstance(description["storage_bits"], int)
    assert description["throughput"]
    assert description["ports"]
    for parameter in description["parameters"]:
        assert parameter["meaning"], f"the docstring does not say what {parameter['name']} is"
    code, table, _ = run(capfd, "describe", module)
    assert code == 0
    names = [row["name"] for row in [*description["parameters"], *description["ports"]]]
    assert all(name in table for name in names)


def test_describe_with_settings(capfd):
    code, output, _ = run(capfd, "describe", "arith.adder_tree", "--set", "inputs=5", "--json")
    assert code == 0
    parameters = {row["name"]: row for row in json.loads(output)["parameters"]}
    assert parameters["inputs"]["value"] == 5


def test_generate(capfd, tmp_path):
    folder = tmp_path / "made" / "on" / "the" / "way"
    arguments = ["generate", "arith.adder_tree", "--set", "inputs=3", "--set", "width=4"]
    code, output, _ = run(capfd, *arguments, "-o", folder)
    assert code == 0
    names = [f"arith_adder_tree.{suffix}" for suffix in ("v", "json", "core", "vlt")]
    assert sorted(os.listdir(folder)) == sorted(names)
    assert output.split() == [str(folder / name) for name in names]
    parameters = json.loads((folder / "arith_adder_tree.json").read_text())["parameters"]
    assert (parameters["inputs"], parameters["width"]) == (3, 4)


def test_generate_with_configuration(capfd, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('["arith.adder_tree"]\ninputs = 6\nwidth = 9\n')
    arguments = ["generate", "arith.adder_tree", "--config", mine, "--set", "width=7"]
    code, _, _ = run(capfd, *arguments, "-o", tmp_path)
    assert code == 0
    parameters = json.loads((tmp_path / "arith_adder_tree.json").read_text())["parameters"]
    assert (parameters["inputs"], parameters["width"]) == (6, 7)


@pytest.mark.parametrize("config", configurations.names())
def test_configurations_build(capfd, config):
    tables = configurations.read(config)
    assert tables
    for module in tables:
        code, _, error = run(capfd, "describe", module, "--config", config)
        assert code == 0, error


BAD_GENERATE = {
    "unknown module": (["no.module"], "no module 'no.module'"),
    "unknown parameter": (["arith.adder_tree", "--set", "depth=3"], "no parameter 'depth'"),
    "out of range": (["arith.adder_tree", "--set", "inputs=1000"], "inputs must be between"),
    "not a number": (["arith.adder_tree", "--set", "inputs=many"], "must be an integer"),
    "no value": (["arith.adder_tree", "--set", "inputs"], "NAME=VALUE"),
    "unknown configuration": (["arith.adder_tree", "--config", "huge"], "must be one of"),
    "missing file": (["arith.adder_tree", "--config", "none.toml"], "No such file"),
    "no module": ([], "Missing argument"),
    "unknown option": (["arith.adder_tree", "--color"], "No such option"),
}


@pytest.mark.parametrize("case", BAD_GENERATE)
def test_generate_refuses(capfd, tmp_path, case):
    arguments, expected = BAD_GENERATE[case]
    assert expected in refused(capfd, "generate", *arguments, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text", [b"inputs = 3", b"[broken", b'["arith.adder_tree"]\ndepth = 3', b"\xff = 1"]
)
def test_generate_refuses_configuration(capfd, tmp_path, text):
    (tmp_path / "mine.toml").write_bytes(text)
    config = ["--config", tmp_path / "mine.toml"]
    refused(capfd, "generate", "arith.adder_tree", *config, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_generate_refuses_unwritable_folder(capfd, tmp_path):
    # A file in the way: permissions would not stop root.
    (tmp_path / "file").write_text("")
    refused(capfd, "generate", "stream.memory", "-o", tmp_path / "file" / "out")
    refused(capfd, "generate", "stream.memory", "-o", tmp_path / "file")


def test_generate_leaves_nothing_half_written(capfd, tmp_path, monkeypatch):
    def no_space(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", no_space)
    sentence = refused(capfd, "generate", "stream.memory", "-o", tmp_path / "out")
    assert "No space left" in sentence
    assert not os.listdir(tmp_path / "out")


@pytest.mark.parametrize(
    "arguments",
    [["explode"], ["describe", "no.module"], ["bench", "nothing"], ["list", "more"], ["--colour"]],
    ids=" ".join,
)
def test_other_commands_refuse(capfd, arguments):
    refused(capfd, *arguments)


def test_debug_shows_the_traceback(capfd):
    assert main(["--debug", "describe", "no.module"]) == 2
    error = capfd.readouterr().err
    assert error.startswith("Traceback")
    assert error.splitlines()[-1].startswith("lamina: There is no module 'no.module'")


def test_defect_has_a_code_of_its_own(capfd, monkeypatch):
    """Not 1: that says that hardware and golden model disagree."""
    monkeypatch.setitem(BENCHES, "broken", ("tb.gen.test_cli:broken_bench", "for this test"))
    assert main(["bench", "broken"]) == 70
    assert "ZeroDivisionError" in capfd.readouterr().err


def broken_bench():
    return {"ratio": 1 / 0}


def test_bench_prints_one_object(capfd, monkeypatch):
    monkeypatch.setitem(BENCHES, "quick", ("tb.gen.test_cli:quick_bench", "for this test"))
    code, output, _ = run(capfd, "bench", "quick", "--json")
    assert code == 0
    assert json.loads(output) == quick_bench()
    code, output, _ = run(capfd, "bench", "quick")
    assert code == 0
    assert "12.5" in output


def quick_bench():
    return {"speed": 12.5, "by_planes": {"1": 2, "2": 4}, "rows": [{"a": 1, "b": "x"}]}
