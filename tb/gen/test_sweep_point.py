"""A sweep's points and their outcomes, without a cluster."""

from lamina_gen.sweep import Outcome, Point, Results, read_spec
from lamina_gen.sweep.point import evaluate


def test_retry_only_what_failed(tmp_path):
    point = Point(module="arith.adder_tree", parameters={}, target="describe")
    other = Point(module="stream.queue", parameters={}, target="describe")
    with Results(tmp_path / "results.sqlite") as results:
        results.add(point, Outcome(sentence="No."))
        results.add(other, Outcome(figures={"latency": 1}))
        assert results.finished() == {point.key, other.key}
        assert results.finished(failed=False) == {other.key}


def test_outcome_is_plain_data_or_a_sentence():
    target = "tb.gen.sweep_points:odd"
    outcome = evaluate(Point(module="arith.adder_tree", parameters={}, target=target))
    assert outcome.figures is None
    assert "JSON serializable" in outcome.sentence
    refused = Point(module="arith.adder_tree", parameters={"inputs": 300}, target="describe")
    assert evaluate(refused).sentence == "inputs must be between 2 and 256, not 300."


def test_key_is_content(tmp_path):
    spec = tmp_path / "spec.toml"
    head = '[synth]\nliberty = "cells.lib"\n'
    space = '[[space]]\nmodule = "stream.queue"\ntargets = ["cells", "ecp5"]\n'
    (tmp_path / "cells.lib").write_text("library (a) {}")
    spec.write_text(head + space)
    cells, ecp5 = (point.key for point in read_spec(spec).points)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "cells.lib").write_text("library (a) {}")
    spec.write_text(head.replace("cells.lib", "moved/cells.lib") + space + space)
    assert [point.key for point in read_spec(spec).points] == [cells, ecp5], "path or repetition"
    (tmp_path / "other.lib").write_text("library (b) {}")
    spec.write_text(head.replace("cells.lib", "other.lib") + space)
    other, same = (point.key for point in read_spec(spec).points)
    assert other != cells
    assert same == ecp5, "the Liberty file does not concern it"
