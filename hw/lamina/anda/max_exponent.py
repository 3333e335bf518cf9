"""Maximum exponent: what the 64 values of a group are aligned to."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Mux, Signal

from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.formats.anda import EXPONENT_BITS, FORMATS, group_values_layout
from lamina.parameters import check_choice

__all__ = ["MaxExponent", "MaxExponentParameters"]

#: Exponents of which a stage finds the largest: 64 are down to one in three stages.
RADIX = 4


@dataclass(frozen=True, kw_only=True)
class MaxExponentParameters(PipelineParameters):
    """``format`` of the values, "fp16" or "bf16", beside `PipelineParameters`."""

    format: str

    def __post_init__(self):
        super().__post_init__()
        check_choice("format", self.format, tuple(FORMATS))

    @property
    def stages(self):
        return (self._first, self._second, self._third)

    @property
    def operands(self):
        return {"group": group_values_layout()}

    @property
    def results(self):
        return {"group": group_values_layout(), "exponent": EXPONENT_BITS}

    def _first(self, m, x):
        group = group_values_layout()(x.group)
        exponents = [FORMATS[self.format].layout(value).exponent for value in group.values]
        return {"group": x.group, "maxima": Cat(_maxima(m, exponents))}

    def _second(self, m, x):
        return {"group": x.group, "maxima": Cat(_maxima(m, self._split(x.maxima)))}

    def _third(self, m, x):
        (largest,) = _maxima(m, self._split(x.maxima))
        # At least 1; beside the search, not behind it.
        return {"group": x.group, "exponent": Cat(largest[0] | (x.maxima == 0), largest[1:])}

    def _split(self, maxima):
        bits = FORMATS[self.format].exponent_bits
        return [maxima[place : place + bits] for place in range(0, len(maxima), bits)]


class MaxExponent(Pipeline):
    """Find the largest exponent of a group, at least 1.

    Members
    -------
    i : {group: `group_values_layout`}
    o : {group: the same, exponent: 8}

    Parameters: `MaxExponentParameters`. Timing: three stages; see `Pipeline`.
    """


def _maxima(m, values):
    """Return the largest of each four of ``values``.

    All pairs are compared at once: a tree of comparisons would be twice as deep.
    """
    return [_largest(m, *values[k : k + RADIX]) for k in range(0, len(values), RADIX)]


def _largest(m, *values):
    # Signals: Amaranth takes a part out of the whole at each use.
    a, b, c, d = (Signal.like(value, name=f"part_{n}") for n, value in enumerate(values))
    first, second = a >= b, c >= d
    largest = Signal.like(a, name="largest")
    ahead = Mux(first, Mux(second, a >= c, a >= d), Mux(second, b >= c, b >= d))
    m.d.comb += [
        *(part.eq(value) for part, value in zip((a, b, c, d), values, strict=True)),
        largest.eq(Mux(ahead, Mux(first, a, b), Mux(second, c, d))),
    ]
    return largest
