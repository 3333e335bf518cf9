"""Bulk runs of the arithmetic units, whose beats all carry a tag."""

import numpy as np


def run(model, operands: dict, **options) -> dict:
    """Run ``operands`` (arrays by field) through a unit and return the fields of its results.

    The tag, where the unit has one, is the number of the beat and must come back with it.
    """
    count = len(next(iter(operands.values())))
    tag_bits = int(model.description["parameters"]["tag_bits"])
    tag = np.arange(count, dtype=np.int64) & ((1 << min(tag_bits, 62)) - 1)
    options = {"outputs": {"o": count}} | options
    result = model.run({"i": operands | {"tag": tag}}, **options)
    fields = dict(result["o"].values)
    assert np.array_equal(fields.pop("tag"), tag)
    return fields


def check_timing(model, operands: dict, parameters) -> None:
    """Check that results come ``parameters.latency`` cycles after their operands, one a cycle."""
    count = len(next(iter(operands.values())))
    result = model.run({"i": operands | {"tag": 0}}, outputs={"o": count})
    assert np.all(result["o"].cycles - result.accepted["i"] == parameters.latency)
    assert parameters.throughput == 1
    assert np.all(np.diff(result["o"].cycles) == 1)
