"""Synthesis: areas against Yosys's own sum, timing, FPGA flows, the cache, and every refusal."""

import json
import re
from pathlib import Path

import pytest

from lamina_gen import synth
from lamina_gen.cli import main
from lamina_gen.emit import emit
from lamina_gen.registry import find, make_parameters
from lamina_gen.synth import cells, nextpnr, sta, tools
from lamina_gen.synth.asic import DEFAULT_LIBERTY
from lamina_gen.synth.block_ram import with_output_registers
from lamina_gen.synth.cache import cached, synth_folder
from lamina_gen.synth.liberty import Cell, Library, Pin, Register
from lamina_gen.synth.netlist import plain
from lamina_gen.synth.source import split
from lamina_gen.synth.technology import check_usable, wrappers
from lamina_sim.verilated.toolchain import ToolError

needs_library = pytest.mark.skipif(
    not DEFAULT_LIBERTY.is_file(), reason="Debian's qflow-tech-osu018 is not installed"
)
needs_sta = pytest.mark.skipif(tools.find_sta() is None, reason="OpenSTA is not installed")


def gate(name, area, functions, inputs, **more):
    pins = {pin: Pin(name=pin, direction="input") for pin in inputs}
    pins |= {
        pin: Pin(name=pin, direction="output", function=text) for pin, text in functions.items()
    }
    return Cell(name=name, area=area, pins=pins, **more)


FLIP_FLOP = Register(
    kind="ff", state="I", inverse="N", clock="C", data="D", clear=None, preset=None,
    both=("X", "X"),
)  # fmt: skip
ADDER = {"S": "A^B^K", "T": "(A B)+(K (A+B))"}
SELECT = {"Z": "!((A1 A2)|(B1&B2)|(C1*C2))"}
SELECT_PINS = ("A1", "B1", "C1", "A2", "B2", "C2")


def library(*more):
    base = (
        gate("INV", 1.0, {"Z": "A'"}, "A"),
        gate("BUF", 2.0, {"Z": "A"}, "A"),
        gate("DFF", 5.0, {"Q": "I"}, ("C", "D"), registers=(FLIP_FLOP,)),
        *more,
    )
    return Library(name="small", cells={cell.name: cell for cell in base}, time_ps=1000.0)


# The technology cells


def test_wrappers_take_the_smallest_cell_of_the_function():
    text, found = wrappers(
        library(
            gate("BIG", 9.0, ADDER, "ABK"),
            gate("FA", 8.0, ADDER, "ABK"),
            gate("TINY", 1.0, ADDER, "ABK", dont_use=True),
            gate("INVERTED", 1.0, {"S": "A^B^K", "T": "!((A B)+(K (A+B)))"}, "ABK"),
            gate("AOI", 3.0, SELECT, SELECT_PINS),
        )
    )
    assert found == {"lamina_full_adder": "FA", "lamina_and_or_select": "AOI"}
    pins = dict(re.findall(r"\.(\w+)\((\w+)", re.search(r"AOI gate .*", text)[0]))
    pairs = {frozenset((pins[f"{group}1"], pins[f"{group}2"])) for group in "ABC"}
    assert pairs == {frozenset((f"s{i}", f"v{i}")) for i in range(3)}
    # What the library lacks stays behavioural.
    assert "module lamina_half_adder" in text
    assert "assign carry = a & b;" in text


def test_library_must_have_what_mapping_needs():
    check_usable(library(), "small.lib")
    poor = Library(name="poor", cells={"INV": library().cells["INV"]}, time_ps=1.0)
    with pytest.raises(ValueError, match=r"poor\.lib must have a buffer and a flip-flop"):
        check_usable(poor, "poor.lib")


# Hierarchy, netlists, cache


def test_source_keeps_definitions_apart_and_memories_out():
    entry = find("anda.element")
    source = split(emit(entry, make_parameters(entry, {"columns": 2})))
    assert source.definitions[0] == "anda_element"
    assert len(source.definitions) == 3
    assert sum(source.macro_bits.values()) == 4096
    assert "module lamina_full_adder" not in source.logic


def test_area_counts_every_instance(tmp_path):
    counts = {
        "\\top": {"\\pair": 3, "\\INV": 1},
        "\\pair": {"\\leaf": 2, "\\BUF": 1},
        "\\leaf": {"\\DFF": 4, "\\INV": 2},
    }
    modules = {name: {"num_cells_by_type": kinds} for name, kinds in counts.items()}
    (tmp_path / "cells.json").write_text(json.dumps({"modules": modules}))
    mapped = cells.Mapped("top", library(), tmp_path)
    assert mapped.instances == {"top": 1, "pair": 3, "leaf": 6}
    assert mapped.total_area == (1 + 3 * 2 + 6 * 2, 6 * 4 * 5)


def test_plain_assigns_one_bit_at_a_time():
    text = (
        "module m(a, y);\n  input [3:0] a;\n  output [3:0] y;\n  wire signed [3:0] y;\n"
        "  wire \\b.c ;\n  assign { y[3:2], y[0] } = { a[1:0], \\b.c  };\n"
        "  assign y[1] = 1'b0;\nendmodule\n"
    )
    lines = plain(text).splitlines()
    assert "  wire [3:0] y;" in lines
    assert [line.split(" ", 3)[3] for line in lines if "assign" in line] == [
        "y[3] = a[1];", "y[2] = a[0];", "y[0] = \\b.c ;", "y[1] = 1'b0;",
    ]  # fmt: skip


def test_cache_keeps_only_what_is_complete(tmp_path, monkeypatch):
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path))

    def fail(work):
        (work / "half").write_text("")
        raise ToolError("no")

    with pytest.raises(ToolError):
        cached("step", ("a",), fail)
    assert list(synth_folder().iterdir()) == []
    first = cached("step", ("a",), lambda work: (work / "whole").write_text("1"))
    assert cached("step", ("a",), fail) == first
    with pytest.raises(ToolError):
        cached("step", ("b",), fail)


# The flows, on small modules


@needs_library
def test_cells_agree_with_yosys_and_are_kept(tmp_path, monkeypatch):
    report = synth.synthesize("stream.queue", {"depth": 4}, "cells", clock_ps=5000)
    figures = report.to_json()
    parts = figures["area_logic_um2"], figures["area_registers_um2"]
    assert min(parts) > 0
    best = "area_at_clock_um2" if tools.find_sta() else "area_um2"
    assert figures["area_um2"] == pytest.approx(sum(parts), abs=0.02)
    # Yosys's own sum over the netlist, flat.
    script = (
        f"read_verilog {report.netlist}\nread_liberty -lib {report.liberty}\n"
        f"hierarchy -check -top {report.top}\nflatten\nstat -liberty {report.liberty}\n"
    )
    area = re.findall(r"Chip area for .*: +([\d.]+)", tools.run_yosys(script, tmp_path, "Area"))
    assert float(area[-1]) == pytest.approx(figures[best], abs=0.02)
    monkeypatch.setattr(tools, "run_yosys", lambda *_: pytest.fail("it was synthesized again"))
    again = synth.synthesize("stream.queue", {"depth": 4}, "cells", clock_ps=5000)
    assert again == report


@needs_library
@needs_sta
def test_period_follows_the_logic_between_registers():
    def period(stages):
        settings = {"stages_per_rank": stages}
        return synth.synthesize("arith.int_to_fp32", settings, "cells").to_json()

    short, long = period(1), period(8)
    assert long["min_period_ps"] > 1.5 * short["min_period_ps"]
    assert long["area_registers_um2"] < short["area_registers_um2"]
    assert short["worst_path"]["from"].endswith("_register")
    assert short["area_time_um2_ns"] == pytest.approx(
        short["area_um2"] * short["min_period_ps"] / 1000, abs=0.01
    )


@needs_library
def test_without_opensta_the_reason_is_told(monkeypatch):
    monkeypatch.setattr(tools, "find_sta", lambda: None)
    report = synth.synthesize("stream.queue", {"depth": 4}, "cells")
    assert report.to_json()["min_period_ps"] is None
    assert sta.MISSING in report.notes


def test_ports_get_registers():
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "a": {"direction": "input", "bits": [3, 4]},
        "y": {"direction": "output", "bits": [5, "0"]},
    }
    gates = {"g": {"type": "LUT4", "connections": {"A": [3], "Z": [5]}}}
    design = {"modules": {"m": {"ports": ports, "cells": gates, "netnames": {}}}}
    found = nextpnr.with_port_registers(design, "m")["modules"]["m"]["cells"]
    wires = {name: cell["connections"] for name, cell in found.items() if name != "g"}
    assert {name: (w["DI"], w["Q"]) for name, w in wires.items()} == {
        "port.a[0]": ([6], [3]),  # a[1] goes nowhere
        "port.y[0]": ([5], [7]),
        "port.y[1]": (["0"], [8]),
    }
    assert ports["a"]["bits"] == [6, 4]
    assert all(w["CLK"] == [2] for w in wires.values())


ENABLED = {"CEMUX": "CE", "CE": [7]}


@pytest.mark.parametrize(
    ("changed", "enable"),
    [
        (({}, {}), "1"),
        ((ENABLED, ENABLED), 7),
        ((ENABLED, {**ENABLED, "CE": [9]}), None),
        (({}, ENABLED), None),
        (({}, {"CEMUX": "INV"}), None),
        (({}, {"LSR": [9]}), None),
        (({}, {"CLK": [9]}), None),
        (({}, {"REGSET": "SET"}), None),
        (({}, {}, {"RSTB": [9]}), None),
        (({}, {}, {"CLKAMUX": "INV"}), None),
    ],
)
@pytest.mark.parametrize("looked_at", [False, True])
def test_registers_behind_block_ram_become_its_own(changed, enable, looked_at):
    """Not if one has another enable or a reset, or somebody looks at what comes before it; nor if
    the block RAM has a reset, or another edge.
    """
    plain = {"CEMUX": "1 ", "CLKMUX": "CLK", "REGSET": "RESET"}
    directions = dict.fromkeys(("CE", "CLK", "DI", "LSR"), "input") | {"Q": "output"}
    cells = {"ram": {"type": "DP16KD", "parameters": {}, "connections": {}}}
    wires = {"CLKA": [2], "CLKB": [2], "DOA0": [3], "DOB1": [4], "DOB2": [8], "OCEA": ["0"]}
    *changed, of_ram = (*changed, {})[:3]
    for name, value in of_ram.items():
        (cells["ram"]["parameters"] if name.endswith("MUX") else wires)[name] = value
    settings = dict(cells["ram"]["parameters"])
    cells["ram"]["connections"] = wires
    cells["ram"]["port_directions"] = {
        name: "output" if name.startswith("DO") else "input" for name in wires
    }
    for n, bit in enumerate((3, 4)):
        connections = {"CE": ["x"], "CLK": [2], "DI": [bit], "LSR": ["0"], "Q": [bit + 2]}
        parameters = dict(plain)
        for name, value in changed[n].items():
            (parameters if name in plain else connections)[name] = value
        cells[f"ff_{n}"] = {
            "type": "TRELLIS_FF",
            "parameters": parameters,
            "connections": connections,
            "port_directions": directions,
        }
    bits = [5, 6, *([4] if looked_at else [])]
    ports = {"clk": {"direction": "input", "bits": [2]}, "y": {"direction": "output", "bits": bits}}
    design = {"modules": {"m": {"ports": ports, "cells": cells, "netnames": {}}}}
    found = with_output_registers(design, "m")["modules"]["m"]["cells"]
    if enable and not looked_at:
        assert set(found) == {"ram"}
        assert (wires["DOA0"], wires["DOB1"], wires["DOB2"]) == ([5], [6], [8])
        assert found["ram"]["parameters"] == {"REGMODE_A": "OUTREG", "REGMODE_B": "OUTREG"}
        assert (wires["OCEA"], wires["OCEB"]) == ([enable], [enable])
    else:
        assert len(found) == 3
        assert found["ram"]["parameters"] == settings


def test_ecp5_gives_resources_and_the_median_frequency(capfd):
    assert main(["synth", "stream.queue", "--set", "depth=4", "--target", "ecp5", "--json"]) == 0
    figures = json.loads(capfd.readouterr().out)
    assert figures["ff"] > 0
    assert figures["lut4"] > 0
    assert len(figures["fmax_seeds"]) == 3
    assert figures["fmax_mhz"] == sorted(figures["fmax_seeds"])[1]
    assert 50 < figures["fmax_mhz"] < 1000
    assert figures["worst_path"]["ns"] == pytest.approx(1000 / figures["fmax_mhz"], abs=0.02)
    assert "-nodsp" in figures["tools"]["command"]


@pytest.mark.parametrize("target", ["ice40", "xilinx", "gowin"])
def test_other_fpgas_give_resources(target, capfd):
    assert main(["synth", "stream.skid_buffer", "--target", target]) == 0
    assert re.search(r"(SB_DFF\w*|FDRE|DFFR?E?) +\d", capfd.readouterr().out)


# Refusals: one sentence each, exit code 2


def refused(capfd, *arguments):
    assert main(["synth", "stream.queue", *arguments]) == 2
    output, error = capfd.readouterr()
    assert output == ""
    last = error.strip().splitlines()[-1]
    assert last.startswith("lamina: ")
    return last


def test_refusals(capfd, tmp_path):
    bad = tmp_path / "bad.lib"
    bad.write_text("no library\n")
    assert "ecp5" in refused(capfd, "--target", "asic")
    assert "there is no file" in refused(capfd, "--target", "cells", "--liberty", "none.lib")
    assert "must be a Liberty file" in refused(capfd, "--target", "cells", "--liberty", str(bad))
    assert "for the target cells only" in refused(capfd, "--target", "ecp5", "--clock-ps", "9")
    assert "above 0 ps" in refused(capfd, "--target", "cells", "--clock-ps", "0")
    assert "DSP blocks" in refused(capfd, "--target", "gowin", "--dsp")


def test_unwritable_folder(capfd, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "file"))
    assert "LAMINA_CACHE names another" in refused(capfd, "--target", "ice40")


def test_missing_tools(capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path))
    monkeypatch.setattr(tools.util, "find_spec", lambda name: None)
    assert "pip install" in refused(capfd, "--target", "ice40")
    monkeypatch.setattr("lamina_gen.synth.asic.DEFAULT_LIBERTY", Path("none.lib"))
    assert "qflow-tech-osu018" in refused(capfd, "--target", "cells")


def test_a_failing_tool_is_quoted(tmp_path):
    with pytest.raises(ToolError, match=r"Reading failed with code 1\.\n(.*\n)*.*none\.v"):
        tools.run_yosys("read_verilog none.v\n", tmp_path, "Reading")
    if tools.find_sta():
        with pytest.raises(ToolError, match=r"Timing failed\.\n(.*\n)*.*none\.lib"):
            sta.run_sta("read_liberty none.lib\nexit\n", "Timing")
