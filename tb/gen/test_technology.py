"""ECP5's own technology cells against the behavioural ones: proved for every input."""

import pytest

from lamina_gen.synth import tools
from lamina_gen.synth.technology import behavioural, with_own_cells

_SCRIPT = """\
read_verilog +/lattice/common_sim.vh +/lattice/ccu2c_sim.vh
read_verilog gate.v
chparam -set WIDTH {width} lamina_{kind}
hierarchy -top lamina_{kind}
flatten
rename -top gate
write_rtlil gate.il
design -reset
read_verilog gold.v
chparam -set WIDTH {width} lamina_{kind}
hierarchy -top lamina_{kind}
rename -top gold
read_rtlil gate.il
proc
miter -equiv -flatten gold gate miter
sat -verify -prove trigger 0 -show-inputs miter
"""


@pytest.mark.parametrize("width", [2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("kind", ["add_gated", "add_inverted"])
def test_carry_cells_add(kind, width, tmp_path):
    plain = behavioural()[f"lamina_{kind}"]
    own = with_own_cells(plain, "ecp5")
    assert own != plain
    assert "CCU2C" in own
    (tmp_path / "gold.v").write_text(plain)
    (tmp_path / "gate.v").write_text(own)
    tools.run_yosys(_SCRIPT.format(kind=kind, width=width), tmp_path, f"Proof of {kind}")


def test_others_stay_as_they_are():
    verilog = behavioural()["lamina_add_gated"]
    assert with_own_cells(verilog, "ice40") == verilog
    gates = behavioural()["lamina_full_adder"]
    assert with_own_cells(gates, "ecp5") == gates
