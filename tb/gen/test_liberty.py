import gzip

import pytest

from lamina_gen.synth.liberty import read_liberty

TEXT = r"""
/* braces in a comment: } { */
library (small) {
  time_unit : "10ps";
  capacitive_load_unit (1, pf);
  cell ("AO21") {
    area : 2.5;
    pg_pin (VDD) { pg_type : primary_power; }
    pin (A1, A2) { direction : input; capacitance : 0.1
    }
    pin (B) { direction : "input"; }
    pin (Y) {
      direction : output; max_capacitance : 1.5;
      function : "((A1 A2)+B)";
      timing () { related_pin : "A1"; cell_rise (t) { values ("1, 2", \
        "3, 4"); } function : "wrong"; }
    }
  }
  cell (DFFR) {
    area : 7
    ff (IQ,IQN) { clocked_on : "CK"; next_state : "D"; clear : "R'"; preset : "!S";
      clear_preset_var1 : L; clear_preset_var2 : H; }
    pin (CK) { direction : input; clock : true; }
    pin (D) { direction : input; }
    pin (Q) { direction : output; function : "IQ"; }
    test_cell () { ff (T,TN) { next_state : "X"; } }
  }
  cell (GATE) {
    clock_gating_integrated_cell : "latch_posedge";
    pin (E) { direction : input; clock_gate_enable_pin : true; }
    pin (G) { direction : output; clock_gate_out_pin : true; state_function : "CK*M"; }
    dont_use : true;
  }
}
"""


@pytest.fixture(params=["lib", "lib.gz"])
def library(request, tmp_path):
    path = tmp_path / f"small.{request.param}"
    text = TEXT.encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return read_liberty(path)


def test_cells(library):
    assert (library.name, library.time_ps) == ("small", 10.0)
    gate = library.cells["AO21"]
    assert (gate.area, gate.inputs, gate.outputs) == (2.5, ["A1", "A2", "B"], ["Y"])
    assert gate.pins["Y"].function == "((A1 A2)+B)"
    assert [pin.capacitance for pin in gate.pins.values()] == [0.1, 0.1, 0.0, 0.0]
    assert [pin.max_capacitance for pin in gate.pins.values()] == [None, None, None, 1.5]
    assert not gate.sequential


def test_registers(library):
    cell = library.cells["DFFR"]
    (register,) = cell.registers
    assert (register.kind, register.state, register.inverse) == ("ff", "IQ", "IQN")
    assert (register.clock, register.data) == ("CK", "D")
    assert (register.clear, register.preset, register.both) == ("R'", "!S", ("L", "H"))
    assert cell.pins["CK"].clock
    assert cell.sequential


def test_clock_gate(library):
    cell = library.cells["GATE"]
    assert cell.integrated_clock_gate == "latch_posedge"
    assert cell.dont_use
    assert [cell.pins[name].clock_gate for name in "EG"] == ["enable", "out"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("module x; endmodule", "line 1 cannot be understood"),
        ("library (x) { cell (a) { area : 1; }", "library is not closed"),
        ("library (x) { } }", "a brace too many"),
        ("library (x) { }", "has none"),
        ("library (x) { cell (a) { area : big; } }", "area of cell a must be a number"),
        (
            "library (x) { cell (a) { pin (b) { capacitance : big; } } }",
            "capacitance of pin b must be a number",
        ),
        ("library (x) { time_unit : 1; cell (a) { area : 1; } }", "time_unit"),
        ("", "hold one library, not 0"),
    ],
)
def test_bad_files(tmp_path, text, why):
    path = tmp_path / "bad.lib"
    path.write_text(text)
    with pytest.raises(ValueError, match=why):
        read_liberty(path)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        read_liberty(tmp_path / "none.lib")
    broken = tmp_path / "broken.lib.gz"
    broken.write_bytes(b"not gzip")
    with pytest.raises(ValueError, match="must be a Liberty file"):
        read_liberty(broken)
