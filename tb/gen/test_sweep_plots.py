"""What is worth building: the front of a sweep's points, its axes, and plots that repeat."""

import os

from lamina_gen import plots
from lamina_gen.sweep import Axes, Row, front


def row(name, **figures):
    return Row(name, "arith.adder_tree", {"inputs": 4}, "cells", figures or None, None)


def test_front():
    axes = Axes(x="area", y="speed", maximize=("speed",))
    near = [row("a", area=1, speed=1), row("b", area=2, speed=3), row("c", area=4, speed=4.5)]
    beaten = [row("d", area=2, speed=2), row("e", area=3, speed=3), row("f", area=9)]
    failed = Row("g", "arith.adder_tree", {"area": 0, "speed": 9}, "cells", None, "No.")
    twin = row("h", area=1, speed=1)
    assert front([*beaten, failed, *near, twin], axes) == near


def test_axes_are_expressions():
    axes = Axes(x="area / inputs", y="use.lut4 * 2.5")
    assert axes.place(row("a", area=8, use={"lut4": 3})) is None, "only names"
    axes = Axes(x="area / inputs", y="use.lut4 * area / inputs")
    assert axes.place(row("a", area=8, use={"lut4": 3})) == (2, 6)
    assert axes.place(row("a", area=8)) is None
    assert Axes(x="area / none", y="area").place(row("a", area=8, none=0)) is None


def test_plots_repeat_to_the_byte(tmp_path):
    for name in ("a.svg", "b.svg"):
        chart, axes = plots.figure()
        axes.plot([1, 2, 3], label="something")
        axes.legend()
        plots.save(chart, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.svg", "b.svg"]
