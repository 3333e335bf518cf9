"""Proofs that a netlist of cells computes what the Verilog says: right, wrong, and in no time."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from lamina_gen.cli import main
from lamina_gen.synth import equivalence, tools
from lamina_gen.synth.equivalence import Verdict, prove
from lamina_gen.synth.liberty import Cell, Pin, read_liberty
from tb.bench import generate
from tb.gates import needs_library, netlist
from tb.gen.test_gates import SETTINGS
from tb.gen.test_synth import gate, library

#: What takes a second or a few; the others are as docs/gate-level.md has them.
PROVED = (
    "stream.skid_buffer",
    "stream.queue",
    "store.fetcher",
    "pacq.multiplier",
    "arith.adder_tree",
    "arith.leading_zeros",
    "arith.int_to_fp32",
    "arith.fp32_multiply",
    "arith.fp32_add",
    "arith.scale_accumulate",
    "baseline.fp_int",
    "baseline.fp_lane",
)

AND = gate("AND", 2.0, {"Z": "A B"}, "AB")
_ROLES = {"C": "clock", "E": "enable", "G": "out"}
CLOCK_GATE = Cell(
    name="GATE",
    area=9.0,
    pins={
        name: Pin(name=name, direction="output" if role == "out" else "input", clock_gate=role)
        for name, role in _ROLES.items()
    },
    integrated_clock_gate="latch_posedge",
)
PORTS = "  input clk;\n  input rst;\n  input a;\n  input b;\n  output y;\n"


def verdict(folder, verilog, cells, **options):
    """Compare two bodies of a module: of Verilog, and of cells of a small library."""
    gold, netlist = (
        f"module small(clk, rst, a, b, y);\n{PORTS}{body}endmodule\n" for body in (verilog, cells)
    )
    emission = SimpleNamespace(files={"v": gold}, entry=SimpleNamespace(top="small", name="small"))
    path = folder / "netlist.v"
    path.write_text(netlist)
    return prove(emission, path, library(AND, CLOCK_GATE), **options)


def register(name, data, initial=0):
    return f"  reg {name} = 1'b{initial};\n  always @(posedge clk) {name} <= {data};\n"


def cell(kind, name, **pins):
    return f"  {kind} {name} ({', '.join(f'.{pin}({wire})' for pin, wire in pins.items())});\n"


def flip_flop(wire, data):
    return f"  wire {wire};\n" + cell("DFF", f"{wire}_register", C="clk", D=data, Q=wire)


# Small circuits, whose truth is plain


def test_a_wrong_gate_is_shown_by_inputs_for_which_it_is_wrong(tmp_path):
    """The proof's own example, tried on the two functions: a xor b, and a and b."""
    verilog = register("r", "a ^ b") + "  assign y = r;\n"
    cells = "  wire n;\n" + cell("AND", "g", A="a", B="b", Z="n") + flip_flop("r", "n")
    found = verdict(tmp_path, verilog, cells + "  assign y = r;\n")
    assert found.verdict == "different"
    shown = re.fullmatch(r"next r is (\d) and not (\d) where 1 is (.*)", found.reason)
    a, b = (f"{name}[0]" in shown[3] for name in "ab")
    assert [int(shown[1]), int(shown[2])] == [a & b, a ^ b]


def test_the_same_function_of_other_gates(tmp_path):
    verilog = register("r", "a & ~(b & r)") + "  assign y = ~r;\n"
    cells = (
        "  wire n, m, k;\n",
        cell("AND", "g", A="r", B="b", Z="n"),
        cell("INV", "h", A="n", Z="m"),
        cell("AND", "i", A="m", B="a", Z="k"),
        flip_flop("r", "k"),
        cell("INV", "j", A="r", Z="y"),
    )
    found = verdict(tmp_path, verilog, "".join(cells))
    assert (found.verdict, found.registers, found.guessed) == ("proved", 1, 0)


KEPT = flip_flop("r", "a") + "  assign y = r;\n"


@pytest.mark.parametrize(
    ("verilog", "cells"),
    [
        # A register that does what another does, one that never leaves its 0, one without its name.
        (register("r", "a") + register("s", "a | a & b & r") + "  assign y = r & s;\n", KEPT),
        (register("r", "a") + register("s", "s & b") + "  assign y = r | s;\n", KEPT),
        (register("s", "a") + "  assign y = s & (s | b);\n", KEPT),
    ],
    ids=["equal", "constant", "nameless"],
)
def test_registers_that_no_name_pairs(tmp_path, verilog, cells):
    found = verdict(tmp_path, verilog, cells)
    assert found.verdict == "proved"
    assert found.guessed > 0


@pytest.mark.parametrize(
    ("verilog", "cells"),
    [
        # Two of one name in the netlist that start unequal; not always 0; not the same.
        (
            register("r", "b & r") + register("s", "b & s", 1) + "  assign y = r | s;\n",
            cell("AND", "g", A="b", B="r", Z="n") + flip_flop("r", "n")
            + "  wire n, s;\n  assign s = r;\n  assign y = r;\n",
        ),
        (register("r", "a") + register("s", "s & b", 1) + "  assign y = r | s;\n", KEPT),
        (register("r", "a") + register("s", "a & (b | ~r)") + "  assign y = r & s;\n", KEPT),
    ],
    ids=["unequal at the start", "not constant", "not equal"],
)  # fmt: skip
def test_registers_that_are_no_pair_are_no_proof(tmp_path, verilog, cells):
    found = verdict(tmp_path, verilog, cells)
    assert found.verdict == "not proved"
    assert found.reason


def test_a_latch_is_no_proof(tmp_path):
    latch = "  reg r;\n  always @* if (a) r = b;\n  assign y = r;\n"
    found = verdict(tmp_path, latch, KEPT)
    assert found.verdict == "not proved"
    assert "must be a flip-flop" in found.reason


def held(data, enable, clock="clk"):
    """A register behind a clock gate, as cells."""
    gated = "  wire g, r;\n" + cell("GATE", "i", C=clock, E=enable, G="g")
    return gated + cell("DFF", "r_register", C="g", D=data, Q="r")


HOLDS = "  reg r;\n  always @(posedge clk) if (a) r <= b;\n  assign y = r;\n"


def test_a_register_behind_a_clock_gate_holds(tmp_path):
    assert verdict(tmp_path, HOLDS, held("b", "a") + "  assign y = r;\n").verdict == "proved"
    found = verdict(tmp_path, HOLDS, held("b", "rst") + "  assign y = r;\n")
    assert found.verdict == "different"


@pytest.mark.parametrize(
    ("verilog", "cells"),
    [
        (HOLDS, held("b", "a") + "  assign y = g;\n"),
        (HOLDS, held("b", "a") + cell("AND", "k", A="r", B="g", Z="y")),
        (HOLDS, held("g", "a") + "  assign y = r;\n"),
        (HOLDS, held("b", "a", clock="rst") + "  assign y = r;\n"),
        # What was no clock gate at all would read as 0.
        ("  assign y = 0;\n", "  reg l;\n  always @* if (!clk) l = a;\n  assign y = l;\n"),
    ],
    ids=["put out", "in logic", "as data", "of another clock", "a latch alone"],
)
def test_a_gated_clock_is_no_data(tmp_path, verilog, cells):
    assert verdict(tmp_path, verilog, cells).verdict == "not proved"


# Generated modules


@needs_library
@pytest.mark.parametrize("module", PROVED)
def test_module(module):
    settings = SETTINGS.get(module, {})
    path, liberty, _ = netlist(module, settings)
    found = prove(generate(module, settings)[0], path, read_liberty(liberty), 300.0)
    assert (found.verdict, found.reason) == ("proved", None)
    assert found.outputs > found.registers > 0


@needs_library
def test_an_exchanged_gate_is_found(tmp_path):
    path, liberty, _ = netlist("arith.adder_tree", {})
    wrong = tmp_path / "netlist.v"
    text, count = re.subn(r"\bNOR2X1\b", "NAND2X1", path.read_text(), count=1)
    assert count == 1
    wrong.write_text(text)
    found = prove(generate("arith.adder_tree", {})[0], wrong, read_liberty(liberty), 300.0)
    assert found.verdict == "different"
    assert re.search(r" is [01] and not [01] where 1 is \w", found.reason)


# The limit


def children():
    return {path.read_text() for path in Path("/proc/self/task").glob("*/children")} - {""}


def test_no_time(tmp_path):
    before = children()
    found = verdict(tmp_path, register("r", "a") + "  assign y = r;\n", KEPT, limit_s=0.01)
    assert found.verdict == "not proved in time"
    assert "0.01 s" in found.reason
    assert children() == before


def test_what_takes_too_long_is_ended(tmp_path):
    before = children()
    with pytest.raises(tools.TimeLimitError):
        tools.call(["sleep", "1000"], tmp_path, "Sleep", "sleep.log", limit_s=0.2)
    assert tools.call(["echo", "done"], tmp_path, "Echo", "echo.log", limit_s=1000.0) == "done\n"
    assert children() == before


# The command


@needs_library
def test_command(capfd, monkeypatch):
    arguments = ["synth", "stream.skid_buffer", "--target", "cells", "--prove"]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["equivalence"] == "proved"
    assert result["equivalence_outputs"] > result["equivalence_registers"] > 0
    wrong = Verdict(
        verdict="different", reason="y is 1 and not 0 where 1 is a", registers=1, guessed=0,
        outputs=1, seconds=0.1,
    )  # fmt: skip
    monkeypatch.setattr(equivalence, "prove", lambda *_: wrong)
    assert main(arguments) == 1
    output, error = capfd.readouterr()
    assert re.search(r"^equivalence +different", output, re.M)
    assert error.splitlines()[-1].endswith("different: y is 1 and not 0 where 1 is a.")
    late = Verdict(
        verdict="not proved in time", reason="it may take 9 s", registers=1, guessed=0, outputs=1,
        seconds=9.0,
    )  # fmt: skip
    monkeypatch.setattr(equivalence, "prove", lambda *_: late)
    assert main(arguments) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--target", "ecp5", "--prove"], "A proof is for the target cells only."),
        (["--target", "cells", "--prove-limit", "9"], "give --prove too"),
        (["--target", "cells", "--prove", "--prove-limit", "0"], "must be above 0 s"),
    ],
)
def test_refusals(capfd, options, sentence):
    assert main(["synth", "stream.queue", *options]) == 2
    error = capfd.readouterr().err.strip().splitlines()
    assert error[-1].startswith("lamina: ")
    assert sentence in error[-1]
