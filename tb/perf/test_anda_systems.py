"""The paper's systems: sizes, its own design point, and traffic counted loop by loop."""

import pytest

from lamina_sim.perf import anda
from lamina_sim.perf.anda import _evaluation as systems
from lamina_sim.workload.precision import llama_macs, opt_macs

#: One plane a cycle on 16 x 16 elements: cycles M + 1, as in the paper.
PAPER = anda.Engine(
    rows=16, columns=16, block_columns=4, planes=1, sharing=1, slots=4,
    weight_bits=4, depth=1 << 14, latency=1,
)  # fmt: skip

#: 16 * sum(macs) / sum(macs * (M + 1)) of each model at either loss, by hand.
EXPECTED = {
    "0.1%": (2.34, 2.46, 2.59, 1.77, 1.75, 2.43, 1.68, 1.62, 2.59),
    "1%": (2.49, 2.70, 2.74, 2.21, 2.21, 2.67, 2.23, 2.12, 2.74),
}


@pytest.mark.parametrize("model", anda.MODELS, ids=lambda model: model.name)
def test_products(model):
    macs = llama_macs if model.gated else opt_macs
    assert tuple(n * k for n, k in model.products) == macs(model.hidden, model.inner)


@pytest.mark.parametrize("tolerance", EXPECTED)
def test_the_papers_design(tolerance):
    """Its tiles take all of 2,048 rows, and every width is a multiple of 16."""
    for model, expected in zip(anda.MODELS, EXPECTED[tolerance], strict=True):
        assert anda.speedup(PAPER, model, tolerance) == pytest.approx(expected, rel=0.005)


def blocks(size, most):
    """Lengths of the parts of ``size``, all but the last one ``most``."""
    return [min(most, size - start) for start in range(0, size, most)]


@pytest.mark.parametrize(("n", "k", "bits"), [(300, 512, 16), (5000, 2048, 7), (640, 8192, 5)])
def test_traffic(n, k, bits):
    """Loop by loop: one operand's tile stays in a megabyte while all of the other one passes."""
    rows, row, column = systems.SEQUENCE, k * bits / 8, k * 4.125 / 8
    activations_stay = sum(tile * row + n * column for tile in blocks(rows, int((1 << 20) // row)))
    weights_stay = sum(tile * column + rows * row for tile in blocks(n, int((1 << 20) // column)))
    on_chip = sum(
        height * row + width * column for height in blocks(rows, 16) for width in blocks(n, 16)
    )
    outputs = 2 * rows * n
    dram, chip = systems.traffic(n, k, bits)
    assert dram == pytest.approx(min(activations_stay, weights_stay) + outputs)
    assert chip == pytest.approx(on_chip + outputs)


@pytest.mark.parametrize("bits", [4, 6, 11])
def test_engine_reads(bits):
    """Turn by turn: 8 rows of 32 columns, four turns to each set of weights."""
    engine = anda.Engine(
        rows=8, columns=32, block_columns=4, planes=2, sharing=3, slots=4,
        weight_bits=4, depth=1 << 14, latency=1,
    )  # fmt: skip
    n, k, cycles = 320, 512, max(-(-(bits + 1) // 2), 3)
    activations = weights = 0
    for row in range(0, systems.SEQUENCE, 8):
        for _ in range(0, n, 32):
            for _ in range(0, k, 64):
                activations += 8 * (cycles * 2 * 64 // 8 + 1)  # planes, and a byte of exponent
                if row % 32 == 0:
                    weights += 32 * (65 * 4 + 16) // 8  # codes, zero point, scale
    reads = systems.engine_reads(engine, n, k, bits)
    assert reads == activations + weights + 2 * systems.SEQUENCE * n


def test_efficiencies():
    """With FP-FP's area and energy, area efficiency is speedup; less data is less energy."""
    engine = PAPER
    same = anda.Figures(area=1.0, energy=dict.fromkeys(range(1, 17), 1.0))
    for row in anda.evaluate(engine, "1%", same):
        assert row["area_efficiency"] == row["speedup"]
        assert 1 < row["energy_efficiency"] < 2
    free = anda.Figures(area=0.0)
    row = anda.evaluate(engine, "1%", free)[0]
    assert row["area_efficiency"] == pytest.approx(row["speedup"] * 3.513 / 1.73)
    assert "energy_efficiency" not in row


def test_geomean():
    assert anda.geomean([2.0, 8.0]) == pytest.approx(4.0)
