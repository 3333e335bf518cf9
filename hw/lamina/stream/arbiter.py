"""Several streams into one, each in its turn."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Shape, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.parameters import check_range

__all__ = ["Arbiter", "ArbiterParameters"]


@dataclass(frozen=True, kw_only=True)
class ArbiterParameters:
    """``shape`` of a beat; ``inputs``: streams."""

    shape: ShapeLike = 32
    inputs: int = 2

    def __post_init__(self):
        check_range("inputs", self.inputs, 2, 8)

    @property
    def latency(self) -> int:
        """Cycles from a beat accepted to the beat valid on ``o``."""
        return 1

    @property
    def throughput(self) -> str:
        """Beats a cycle."""
        return "1 beat per cycle"

    @property
    def storage_bits(self) -> int:
        """The beat that leaves, its valid bit, and who comes next."""
        return Shape.cast(self.shape).width + 1 + (self.inputs - 1).bit_length()


class Arbiter(wiring.Component):
    """Passes beats of several streams on to one, round robin: no stream waits forever.

    Members: ``i_0`` to ``i_{n-1}`` and ``o``, streams of ``shape``. Latency one cycle.
    """

    def __init__(self, parameters: ArbiterParameters):
        self.parameters = p = parameters
        inputs = {f"i_{n}": In(stream.Signature(p.shape)) for n in range(p.inputs)}
        super().__init__(inputs | {"o": Out(stream.Signature(p.shape))})

    def elaborate(self, platform):
        m = Module()
        count = self.parameters.inputs
        inputs = [getattr(self, f"i_{n}") for n in range(count)]
        turn, advance = Signal(range(count)), Signal()
        granted = Signal(count)  # those before which nobody is, whether they want to or not
        m.d.comb += advance.eq(self.o.ready | ~self.o.valid)
        with m.Switch(turn):
            for first in range(count):
                order = [(first + n) % count for n in range(count)]
                with m.Case(first):
                    for place, n in enumerate(order):
                        before = [inputs[k].valid for k in order[:place]]
                        m.d.comb += granted[n].eq(~Cat(before).any())
        with m.If(advance):
            # Without a beat the payload is anyone's: so nothing but ``advance`` is its enable.
            m.d.sync += [
                self.o.valid.eq(Cat(source.valid for source in inputs).any()),
                self.o.payload.eq(inputs[-1].payload),
            ]
            for n, source in enumerate(inputs):
                with m.If(granted[n] & source.valid):
                    m.d.sync += [self.o.payload.eq(source.payload), turn.eq((n + 1) % count)]
        for n, source in enumerate(inputs):
            m.d.comb += source.ready.eq(granted[n] & advance)
        return m
