"""Adder tree: the exact sum of many integers, one level of pairs a stage."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Signal, signed
from amaranth.lib import data

from lamina.arith.pipeline import Pipeline, PipelineParameters, Stage
from lamina.parameters import check_range

__all__ = ["AdderTree", "AdderTreeParameters"]


@dataclass(frozen=True, kw_only=True)
class AdderTreeParameters(PipelineParameters):
    """``inputs`` (2 to 256) integers of ``width`` (1 to 64) bits, beside `PipelineParameters`."""

    inputs: int = 8
    width: int = 16

    def __post_init__(self):
        super().__post_init__()
        check_range("inputs", self.inputs, 2, 256)
        check_range("width", self.width, 1, 64)

    @property
    def stages(self):
        stages, terms, width = [], self.inputs, self.width
        while terms > 1:
            stages.append(_level(terms, width))
            terms, width = (terms + 1) // 2, width + 1
        return tuple(stages)

    @property
    def operands(self):
        return {"values": data.ArrayLayout(signed(self.width), self.inputs)}

    @property
    def results(self):
        return {"sum": signed(self.width + len(self.stages))}


def _level(terms: int, width: int) -> Stage:
    """Return the stage that turns ``terms`` integers into half as many, one bit wider."""
    layout = data.ArrayLayout(signed(width), terms)

    def add_pairs(m, x):
        values = [*data.View(layout, x.values)]
        sums = []
        for pair in zip(values[::2], [*values[1::2], 0], strict=False):
            sums.append(Signal(signed(width + 1)))
            m.d.comb += sums[-1].eq(sum(pair))
        return {"values" if terms > 2 else "sum": Cat(sums)}

    return add_pairs


class AdderTree(Pipeline):
    """Adds ``inputs`` integers exactly.

    Members
    -------
    i : {values: inputs x signed(width), tag}
    o : {sum: signed(width + ceil(log2(inputs))), tag}

    Parameters: `AdderTreeParameters`. Timing: ceil(log2(inputs)) stages; see `Pipeline`.
    """
