"""Maximum exponent: what the 64 values of a group are aligned to."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import FORMATS, GROUP, aligned_group_layout, group_values_layout
from lamina.parameters import check_choice

__all__ = ["MaxExponent", "MaxExponentParameters"]

#: Elements whose largest exponent the first rank finds; the second finds the largest of those.
PART = 8


@dataclass(frozen=True, kw_only=True)
class MaxExponentParameters:
    """``format`` of the values: "fp16" or "bf16"."""

    format: str

    def __post_init__(self):
        check_choice("format", self.format, tuple(FORMATS))

    @property
    def part_maxima(self) -> data.ArrayLayout:
        """Largest exponent of each part."""
        return data.ArrayLayout(FORMATS[self.format].exponent_bits, GROUP // PART)

    @property
    def latency(self) -> int:
        """Cycles from a group accepted to the same group valid with its exponent."""
        return 2

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one group a cycle"

    @property
    def storage_bits(self) -> int:
        """Both ranks with their valid flags."""
        first = group_values_layout().size + self.part_maxima.size
        return first + aligned_group_layout().size + 2


class MaxExponent(wiring.Component):
    """Find the largest exponent of a group, at least 1.

    Members
    -------
    i : In(stream of `group_values_layout`)
    o : Out(stream of `aligned_group_layout`)
        The group and its exponent, two cycles later, one group a cycle.
    """

    def __init__(self, parameters: MaxExponentParameters):
        self.parameters = parameters
        super().__init__(
            {
                "i": In(stream.Signature(group_values_layout())),
                "o": Out(stream.Signature(aligned_group_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        form = FORMATS[self.parameters.format]
        group = Signal(group_values_layout(), reset_less=True)
        maxima = Signal(self.parameters.part_maxima, reset_less=True)
        found = Signal(aligned_group_layout(), reset_less=True)
        valid = Signal()
        forward = Signal()
        m.d.comb += [
            forward.eq(self.o.ready | ~self.o.valid),
            self.i.ready.eq(forward | ~valid),
            self.o.payload.eq(found),
        ]
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), group.eq(self.i.payload)]
            exponents = [form.layout(value).exponent for value in self.i.payload.values]
            for part in range(GROUP // PART):
                largest = _largest(m, exponents[part * PART : (part + 1) * PART])
                m.d.sync += maxima[part].eq(largest)
        with m.If(forward):
            largest = _largest(m, list(maxima))
            m.d.sync += [
                self.o.valid.eq(valid),
                found.group.eq(group),
                found.exponent.eq(Mux(largest == 0, 1, largest)),
            ]
        return m


def _largest(m, values):
    """Return the largest of ``values``, by a balanced tree."""
    while len(values) > 1:
        winners = [Signal.like(value, name="largest") for value in values[::2]]
        for winner, a, b in zip(winners, values[::2], values[1::2], strict=True):
            m.d.comb += winner.eq(Mux(a > b, a, b))
        values = winners
    return values[0]
