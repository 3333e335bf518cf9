"""Building: the cache, two builders at once, traces, blocks, and what goes wrong."""

import json
import subprocess
import sys

import numpy as np
import pytest

from lamina_sim import verilated
from lamina_sim.verilated import ToolError, toolchain
from tb.verilated import designs


@pytest.fixture
def adder(tmp_path):
    verilog, ports = designs.ADDER
    return designs.write(tmp_path, "adder", verilog, ports)


def run(model):
    return model.run({"i": {"a": [1, -2], "b": [3, 4]}})["o"].values.tolist()


def test_cache_hit_and_miss(adder, fresh_cache):
    lines = []
    first = verilated.build(adder, cache=fresh_cache, progress=lambda *step: lines.append(step))
    assert lines[-1] == ("adder: built", 1.0)
    assert [fraction for _, fraction in lines] == sorted(fraction for _, fraction in lines)
    assert len(lines) > 3
    made = first.library.stat().st_mtime_ns
    lines.clear()
    again = verilated.build(
        (adder.with_suffix(".v"), adder),
        cache=fresh_cache,
        progress=lambda *step: lines.append(step),
    )
    assert lines == [("adder: already built", 1.0)]
    assert again.library == first.library
    assert again.library.stat().st_mtime_ns == made
    # Another text, though of the same meaning, is another model.
    adder.with_suffix(".v").write_text(designs.ADDER[0].replace("+ bias", "- bias"))
    other = verilated.build(adder, cache=fresh_cache)
    assert other.library != first.library
    settings = {"inputs": {"i": {"a": [7], "b": [0]}}, "constants": {"bias": 2}}
    assert first.run(**settings)["o"].values == 9
    assert other.run(**settings)["o"].values == 5
    assert not list(fresh_cache.glob("*.part"))


def test_cache_folder_from_the_environment(adder, fresh_cache, monkeypatch):
    monkeypatch.setenv("LAMINA_CACHE", str(fresh_cache))
    assert verilated.build(adder).library.is_relative_to(fresh_cache)


def test_two_processes_build_the_same(adder, fresh_cache):
    program = (
        "import sys; from lamina_sim import verilated\n"
        "model = verilated.build(sys.argv[1], cache=sys.argv[2], jobs=1)\n"
        "print(model.run({'i': {'a': [1, -2], 'b': [3, 4]}})['o'].values.tolist())\n"
    )
    command = [sys.executable, "-c", program, str(adder), str(fresh_cache)]
    builders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for builder in builders:
        assert builder.communicate(timeout=300)[0] == "[4, 2]\n"
        assert builder.returncode == 0
    assert len(list(fresh_cache.glob("adder-*"))) == 1
    assert not list(fresh_cache.glob("*.part"))


def test_folder_with_a_blank(adder, fresh_cache):
    cache = fresh_cache.rename(fresh_cache.with_name("with a blank"))
    assert run(verilated.build(adder, cache=cache)) == [4, 2]


def test_trace_is_built_when_asked(model, tmp_path):
    adder = model("adder", designs.ADDER)
    inputs = {"i": {"a": [1, -2], "b": [3, 4]}}
    plain, traced = adder.run(inputs), adder.run(inputs, trace=tmp_path / "adder.vcd")
    assert np.array_equal(plain["o"].cycles, traced["o"].cycles)
    assert np.array_equal(plain["o"].words, traced["o"].words)
    text = (tmp_path / "adder.vcd").read_text()
    assert "i__payload" in text
    assert " sum " in text
    assert text.count("#") > 2 * plain.cycles


@pytest.mark.parametrize("trace", [False, True])
def test_blocks_are_verilated_once(model, tmp_path, trace):
    waivers = '`verilator_config\nhier_block -module "step"\n'
    path = tmp_path / "blocks.vcd" if trace else None
    flat = model("blocks", designs.BLOCKS)
    blocks = model("blocks", designs.BLOCKS, waivers=waivers)
    assert flat.library != blocks.library
    for number in (0, (1 << 100) - 2, 12345 << 64):
        expected = (number + 4) % (1 << 100)
        assert flat.run(constants={"a": number}).signals["q"] == expected
        assert blocks.run(constants={"a": number}, trace=path).signals["q"] == expected


def test_bad_verilog_is_one_sentence_and_leaves_nothing(tmp_path, fresh_cache):
    before = sorted(fresh_cache.iterdir())
    path = designs.write(tmp_path, "adder", "module adder(input clk; endmodule", designs.ADDER[1])
    with pytest.raises(ToolError, match=r"Reading the Verilog of adder failed: [^\n]*\n  %Error"):
        verilated.build(path, cache=fresh_cache)
    path = designs.write(tmp_path, "adder", "module adder(input clk); endmodule", designs.ADDER[1])
    with pytest.raises(ToolError, match="Compiling adder failed"):
        verilated.build(path, cache=fresh_cache)
    assert sorted(fresh_cache.iterdir()) == before


@pytest.mark.parametrize("program", ["g++", "make", "perl"])
def test_missing_program_is_named(adder, tmp_path, monkeypatch, program):
    real = toolchain.shutil.which

    def hidden(name, path=None):
        return None if name == program else real(name, path=path)

    monkeypatch.setattr(toolchain.shutil, "which", hidden)
    with pytest.raises(ToolError, match=rf"^{program.replace('+', '.')} must be installed .*\.$"):
        verilated.build(adder, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_missing_and_broken_files_are_named(adder, tmp_path):
    with pytest.raises(ValueError, match=r"none\.v must be a file"):
        verilated.build(tmp_path / "none.json")
    good = json.loads(adder.read_text())
    for text in ("{", "[]", "{}", json.dumps(good | {"ports": [{"name": "i"}]})):
        adder.write_text(text)
        with pytest.raises(ValueError, match=r"adder\.json must be the JSON that describes"):
            verilated.build(adder)
    for kind in ("axi4-stream", "stream"):
        port = good["ports"][0] | {"kind": kind, "signals": {"payload": "i__payload"}}
        adder.write_text(json.dumps(good | {"ports": [port]}))
        with pytest.raises(ValueError, match="Port i must "):
            verilated.build(adder)


def test_environment_repairs_what_it_finds(tmp_path, monkeypatch):
    monkeypatch.setenv("VERILATOR_ROOT", "/nowhere")
    monkeypatch.setenv("MAKEFLAGS", "-j2 --jobserver-auth=3,4")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    before = dict(toolchain.os.environ)
    environment = toolchain.environment()
    assert dict(toolchain.os.environ) == before
    assert "VERILATOR_ROOT" not in environment
    assert "MAKEFLAGS" not in environment
    assert toolchain.environment(environment) == environment
    version = subprocess.run(
        ["verilator", "--version"], env=environment, capture_output=True, text=True, check=True
    )
    assert "rev" in version.stdout
