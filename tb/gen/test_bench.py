"""`lamina bench pe`: operands against the hardware, sums of parts, ratios, the page of results."""

import json

import numpy as np
import pytest

from lamina_gen.bench import energy, operands, pe, results
from lamina_gen.bench.contenders import CONTENDERS, Part
from lamina_gen.bench.flow import Parts
from lamina_gen.cli import main
from lamina_gen.synth import Report, tools
from lamina_sim.golden import anda
from lamina_sim.verilated.toolchain import ToolError
from tb.bench import bulk_model, parameters
from tb.gates import needs_library, needs_sta, netlist

#: An element or lane each, built by its own tests already.
ELEMENTS = {
    "anda.element": {"columns": 2},
    "baseline.figna": {"mantissa_bits": 4, "structure": "plain", "zero_points": False},
    "baseline.ifpu": {"mantissa_bits": 4, "zero_points": False},
}
LANES = {
    "baseline.fp_lane": {"stages_per_rank": 9},
    "baseline.fp_dot": {"lanes": 4, "stages_per_rank": 16},
    "baseline.fp_int": {"stages_per_rank": 9},
    "baseline.tree_dot": {"stages_per_rank": 9},
}


# Operands


def run(module, settings, given, **options):
    model = bulk_model(module, **settings)
    result = model.run(given.inputs, outputs={"o": given.outputs}, **options)
    given.check(result["o"].values)
    return result


@pytest.mark.parametrize("module", ELEMENTS)
def test_elements_give_the_sums_of_the_product(module):
    p = parameters(module, **ELEMENTS[module])
    given = operands.element(module, {"columns": p.columns}, 4)
    result = run(module, ELEMENTS[module], given)
    # In the cycles that the table says, but for the start.
    cycles = given.macs / (p.macs_per_cycle(4) if module == "anda.element" else p.macs_per_cycle)
    assert 0 <= result["o"].cycles[-1] - cycles <= p.latency + 9


@pytest.mark.parametrize("module", LANES)
def test_lanes_give_the_sums_of_the_product(module):
    p = parameters(module, **LANES[module])
    given = operands.lane(module, p)
    result = run(module, LANES[module], given)
    cycles = given.macs / p.macs_per_cycle
    assert 0 <= result["o"].cycles[-1] - cycles <= p.latency + 9


def test_accumulators_give_the_product():
    settings = {"columns": 2, "index_bits": 5}
    given = operands.accumulator(2, 6)
    run("anda.accumulator", settings, given, stall={"i": 0.5}, seed=1)
    product = operands.layer_operands()[0]
    whole = anda.gemm(
        product["activations"][: operands.ROWS],
        product["codes"][:, :8],
        product["scales"][:, :8],
        mantissa_bits=6,
        scale_group=product["scale_group"],
    )
    # By block of 2 columns, turn of 4 rows, row, column.
    due = whole.reshape(-1, 4, 4, 2).transpose(2, 0, 1, 3)
    assert np.array_equal(given.expected["value"], due.view(np.uint32).ravel())


def test_a_wrong_result_is_not_counted():
    given = operands.lane("baseline.fp_int", parameters("baseline.fp_int", stages_per_rank=9))
    found = {name: due.copy() for name, due in given.expected.items()}
    given.check(found)
    found["value"][7] ^= 1
    with pytest.raises(RuntimeError, match="beat 7 of"):
        given.check(found)


@needs_library
def test_netlist_is_counted_and_right():
    """A counted run of cells gives the golden sums at the rate that the table says."""
    part = Part("baseline.fp_int", LANES["baseline.fp_int"])
    path, liberty, _ = netlist(part.module, part.settings)
    report = Report(
        module=part.module, parameters={}, target="cells", top="baseline_fp_int", tools={},
        figures={}, netlist=path, liberty=liberty,
    )  # fmt: skip
    contender = next(one for one in CONTENDERS if one.name == "FP-INT")
    given, idle = energy.stimulus(contender, part)
    activity = energy.count(part, report, given, idle)
    assert given.macs <= activity.cycles <= 1.01 * given.macs
    assert 0.01 < activity.rates.mean() < 0.6


@needs_library
@needs_sta
@pytest.mark.parametrize("module", ["stream.queue", "baseline.fp_int"])
def test_power_of_a_module(module, capfd, monkeypatch):
    settings = {"stream.queue": "depth=4", "baseline.fp_int": "stages_per_rank=9"}[module]
    arguments = ["synth", module, "--set", settings, "--target", "cells", "--power", "--json"]
    assert main(arguments) == 0
    figures = json.loads(capfd.readouterr().out)
    parts = [figures[f"power_{part}_mw"] for part in ("internal", "switching", "leakage")]
    assert figures["power_mw"] == pytest.approx(sum(parts), rel=1e-3)
    assert min(parts[:2]) > 0
    assert figures["power_clock_ps"] == figures["min_period_ps"]
    product = module == "baseline.fp_int"
    assert ("a product of the bundled model" in figures["notes"][-1]) == product
    monkeypatch.setattr(tools, "find_sta", lambda: None)
    assert main(arguments) == 2
    assert "apt-get install opensta" in capfd.readouterr().err


# Contenders


@pytest.mark.parametrize("target", ["cells", "ecp5"])
@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda one: f"{one.name}-{one.mantissa_bits}")
def test_accumulators_keep_up(contender, target):
    element, *accumulators = contender.parts(target)
    assert bool(accumulators) == (contender.mantissa_bits is not None and not contender.whole)
    for part in accumulators:
        p = part.parameters
        assert part.count * p.columns == element.settings["columns"]
        assert p.columns <= contender.cycles(target), "slower than the element"
        # Nor is a sum wanted again before it is there.
        period = max(p.columns, contender.cycles(target)) << p.index_bits
        assert period >= p.accumulate_latency
        assert p.index_bits == element.settings["index_bits"]
        if target == "cells":
            assert 1 << p.index_bits == operands.ROWS_IN_TURN


def test_choose():
    assert pe.choose(()) == list(CONTENDERS)
    assert {one.name for one in pe.choose(["Anda"])} == {"Anda", "FP-FP lane"}
    with pytest.raises(ValueError, match=r"must be one of FP-FP lane, .* not 'anda'"):
        pe.choose(["anda"])


# Arithmetic


def report(**figures):
    return Report(module="m", parameters={}, target="cells", top="m", tools={}, figures=figures)


def test_parts_are_added_by_instances():
    two = [(Part("a", {}), report(area=3.0, slow=5)), (Part("b", {}, 4), report(area=2.5, slow=7))]
    parts = Parts(two)
    assert parts.total("area") == 13.0
    assert parts.choose("slow", max) == 7
    assert parts.total("none") is None
    assert parts.listed(["slow"])[1] == {
        "module": "b", "parameters": {}, "instances": 4, "slow": 7,
    }  # fmt: skip
    missing = Parts([*two, (Part("c", {}), None)])
    assert missing.total("area") is None
    assert missing.complete is None
    assert Parts([]).total("area") == 0


def row(name="Anda", module="anda.element", bits=8, **figures):
    names = [name for names in pe.FIGURES.values() for name in names]
    identity = {"name": name, "module": module, "mantissa_bits": bits, "parameters": {}}
    return dict.fromkeys(names) | identity | {"paper": None} | figures


def test_ratios_are_to_the_lane():
    rows = [
        row(area_um2_per_mac_per_cycle=50.0, energy_pj_per_mac=4.0),
        row("FP-FP lane", "baseline.fp_lane", None, area_um2_per_mac_per_cycle=200.0),
    ]
    pe.ratios(rows)
    assert rows[0]["area_ratio"] == 4.0
    assert rows[1]["area_ratio"] == 1.0
    assert rows[0]["energy_ratio"] is None, "the lane's is not known"


# Missing tools


def test_what_is_missing_is_noted(monkeypatch, tmp_path):
    def missing(module, settings, target, **options):
        raise ToolError(f"No tool for {target}. Install one.")

    monkeypatch.setattr("lamina_gen.bench.flow.synthesize", missing)
    library = tmp_path / "cells.lib"
    library.write_text("")
    result = pe.measure(liberty=library, elements=["Anda"])
    assert result["notes"] == ["No tool for cells. Install one.", "No tool for ecp5. Install one."]
    assert {row["area_um2"] for row in result["rows"]} == {None}
    assert [row["mantissa_bits"] for row in result["rows"]] == [None, 11, 8, 6, 4]
    monkeypatch.setattr("lamina_gen.synth.asic.DEFAULT_LIBERTY", tmp_path / "none.lib")
    result = pe.measure(targets=["cells"])
    assert "qflow-tech-osu018" in " ".join(result["notes"])


def test_refusals(capfd, tmp_path):
    def refused(*arguments):
        assert main(["bench", "pe", *arguments]) == 2
        output, error = capfd.readouterr()
        assert not output
        return error.strip().splitlines()[-1]

    assert "cells or ecp5, not 'ice40'" in refused("--target", "ice40")
    assert "not 'FIGNA'" in refused("--element", "FIGNA")
    assert "--element must not" in refused("--element", "Anda", "--docs", str(tmp_path))
    assert main(["synth", "stream.queue", "--target", "ecp5", "--power"]) == 2
    assert "for the target cells only" in capfd.readouterr().err
    (tmp_path / "bad.lib").write_text("no library\n")
    bad = ("--target", "cells", "--liberty", str(tmp_path / "bad.lib"))
    assert "must be a Liberty file" in refused(*bad)


# The page


def measured(targets=("cells", "ecp5")):
    rows = [
        row("FP-FP lane", "baseline.fp_lane", None, area_um2_per_mac_per_cycle=200.0, lut4=900,
            lut4_per_mac_per_cycle=900.0),
        row("FIGNA dense", "baseline.figna", 8, area_um2_per_mac_per_cycle=10.0,
            area_at_clock_um2_per_mac_per_cycle=8.0, energy_pj_per_mac=2.0),
        row(area_um2_per_mac_per_cycle=25.0, area_at_clock_um2_per_mac_per_cycle=20.0,
            energy_pj_per_mac=1.0, meets_clock=False, lut4_per_mac_per_cycle=90.0),
    ]  # fmt: skip
    rows[0]["area_at_clock_um2_per_mac_per_cycle"] = 200.0
    rows[1]["paper"], rows[2]["paper"] = "FIGNA-M8", "Anda M8"
    pe.ratios(rows)
    return {
        "targets": list(targets), "library": "my cells 1.8V", "clock_ps": 9000.0,
        "tools": {"yosys": "1"}, "notes": ["A note."], "rows": rows,
    }  # fmt: skip


@pytest.fixture
def docs(tmp_path):
    page = "# Title\n<!-- pe: made by `make bench` -->\nold\n<!-- end of pe -->\nafter\n"
    (tmp_path / "results.md").write_text(page)
    return tmp_path


def test_page_is_made_of_what_was_measured(docs):
    results.record(measured(), docs)
    text = (docs / "results.md").read_text()
    assert text.startswith("# Title\n<!-- pe: made by `make bench` -->\n\n### ECP5")
    assert text.endswith("<!-- end of pe -->\nafter\n")
    assert "old" not in text
    lines = {line.split(" | ")[0]: line for line in text.splitlines() if " | " in line}
    # No period was measured; it misses the clock; the paper's figures stand beside.
    assert "not measured | 8.00 | (10.00)" in lines["| Anda"]
    assert "7.72" in lines["| Anda"]
    assert "plain FIGNA at M = 8: 1 : 0.040 at the equal clock, 1 : 0.050 by" in text
    # Dense FIGNA wins by area, Anda by energy.
    assert "| 2.50 | 2.50 | 0.50 |" in lines["| 8"]
    assert sorted(path.name for path in (docs / "plots").iterdir()) == [
        "pe-ecp5-lut4.svg", "pe-my_cells_1_8v-area.svg",
    ]  # fmt: skip
    assert "lut4" not in json.loads((docs / "results/pe-my_cells_1_8v.json").read_text())["rows"][0]


def test_a_later_measurement_leaves_the_other_target(docs):
    results.record(measured(), docs)
    before = {path: path.read_bytes() for path in docs.rglob("*") if path.is_file()}
    results.record(measured(["ecp5"]), docs)
    assert {path: path.read_bytes() for path in docs.rglob("*") if path.is_file()} == before
    results.record(measured(["cells"]) | {"library": None}, docs)
    assert len(results.load(docs)) == 2, "without a library there is nothing to keep"


def test_page_needs_its_markers(docs):
    with pytest.raises(ValueError, match="must have the markers"):
        results.render("# Title\n", {})
    page = (docs / "results.md").read_text()
    assert "Nothing measured yet." in results.render(page, {})


def test_paper_lines_exist():
    assert {one.paper for one in CONTENDERS if one.paper} <= set(results.PAPER)
