"""The model of DRAM against counts made otherwise: addresses of planes, and arithmetic by hand."""

from fractions import Fraction

import pytest

from lamina_sim.golden import store
from lamina_sim.perf import dram


@pytest.mark.parametrize("bits", [2, 5, 8, 16])
@pytest.mark.parametrize("blocks", [1, 100, 128, 500])
def test_a_stream_opens_each_row_once(bits, blocks):
    for keep in range(1, bits + 1):
        addresses = [
            int(store.plane_address(block, plane, bits))
            for block in range(blocks)
            for plane in range(keep)
        ]
        rows = dram.OpenRows()
        opened = rows.all(addresses)
        assert opened == len({address // 8192 for address in addresses})
        assert dram.stream(keep, blocks) == dram.Accesses(len(addresses), opened)


def test_banks_hold_one_row_each():
    rows = dram.OpenRows(row_bytes=1024, banks=2)
    assert rows.all([0, 64, 1024, 2048, 0, 1024]) == 4
    assert rows.activations == 4


def test_energy_is_the_formula_of_the_note():
    """By hand: (IDD - background) V t, over the devices that take part."""
    ddr5 = dram.Ddr5()
    burst = 4 * (Fraction("1.1") * (286 - 111) + Fraction("1.8") * 2) * 8 * Fraction("0.312")
    row = 8 * (Fraction("1.1") * 4 + Fraction("1.8") * 2) * Fraction("0.312") * 154
    assert ddr5.burst_pj == pytest.approx(float(burst))
    assert ddr5.activation_pj == pytest.approx(float(row))
    assert ddr5.energy_pj(dram.Accesses(3, 2)) == pytest.approx(float(3 * burst + 2 * row))


def test_energy_falls_with_planes():
    """Rows and bursts both fall with k; were planes side by side, only bursts would."""
    ddr5, whole = dram.Ddr5(), dram.stream(8, 1024)
    for keep in range(1, 9):
        part = ddr5.energy_pj(dram.stream(keep, 1024)) / ddr5.energy_pj(whole)
        assert part == pytest.approx(keep / 8)
        beside = dram.Accesses(dram.stream(keep, 1024).bursts, whole.activations)
        assert ddr5.energy_pj(beside) / ddr5.energy_pj(whole) > keep / 8 or keep == 8
