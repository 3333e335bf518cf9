"""What the floating-point baselines share: operand registers, exact products, FP32 sums."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.arith.rounding import count_zeros
from lamina.baseline.ring import Ring, RingParameters
from lamina.formats.baseline import lane_step_layout
from lamina.formats.ieee import FP32, FP32_NAN
from lamina.parameters import check_range
from lamina.stream.buffer import sliced

__all__ = ["EXACT_STAGES", "Lane", "LaneParameters"]


@dataclass(frozen=True, kw_only=True)
class LaneParameters:
    """``stages_per_rank``: a register after so many stages, as in `PipelineParameters`.

    1 suits FPGAs. 9 leave one rank for the product and one for the sum, as a lane in silicon has.
    """

    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def product(self) -> PipelineParameters:
        """Parameters of the step from operands to an FP32 term; ``tag`` is the term's place."""
        raise NotImplementedError

    @property
    def ring(self) -> RingParameters:
        """Parameters of the sums."""
        return RingParameters(stages_per_rank=self.stages_per_rank)

    @property
    def tag_bits(self) -> int:
        """Width of a step's place: index, begin and end."""
        return self.ring.index_bits + 2

    @property
    def slots(self) -> int:
        """Sums that are worked on in turn."""
        return self.ring.slots

    @property
    def macs_per_cycle(self) -> float:
        """Multiply-accumulates a cycle."""
        return 1.0

    @property
    def input_layout(self) -> data.StructLayout:
        """Payload of ``i``."""
        return lane_step_layout(self.product.operands, self.ring.index_bits)

    @property
    def latency(self) -> int:
        """Cycles from a step with ``end`` accepted to its sum, which comes by just in time.

        It may come by up to ``slots`` - 1 cycles later.
        """
        return 1 + self.product.sliced_latency + self.ring.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return f"one step a cycle, of {self.slots} sums in turn"

    @property
    def storage_bits(self) -> int:
        """Operands, products, the slice and sums."""
        parts = [part for part in (self.product, self.product.slice, self.ring) if part]
        return 1 + self.input_layout.size + sum(part.storage_bits for part in parts)


class Lane(wiring.Component):
    """Base of the floating-point lanes.

    Members
    -------
    i : In(stream of `lane_step_layout` with the operands of ``parameters.product``)
        A group of 64 is 64 steps, the first with ``begin`` and the last with ``end``; those of
        ``parameters.slots`` groups take turns, ``index`` 0, 1, .., slots - 1, 0, ..
    o : Out(stream of ``parameters.ring.output_layout``)
        Finished FP32 sums.

    Timing: one step a cycle if the indices go round; any other order is right, and waits.
    """

    def __init__(self, parameters: LaneParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.input_layout)),
                "o": Out(stream.Signature(p.ring.output_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.product = product = Pipeline(p.product)
        m.submodules.ring = ring = Ring(p.ring)
        valid, step = Signal(), Signal(p.input_layout, reset_less=True)
        m.d.comb += self.i.ready.eq(product.i.ready | ~valid)
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), step.eq(self.i.payload)]
        m.d.comb += product.i.valid.eq(valid)
        for name in p.product.operands:
            m.d.comb += product.i.payload[name].eq(step[name])
        products = sliced(m, "slice", product.o, product.parameters.slice)
        # The ring compares indices and wants a begin: that is what the tag is for.
        place = Cat(ring.i.payload.index, ring.i.payload.begin, ring.i.payload.end)
        m.d.comb += [
            product.i.payload.tag.eq(Cat(step.index, step.begin, step.end)),
            place.eq(products.payload.tag),
            ring.i.payload.value.eq(products.payload.value),
            ring.i.valid.eq(products.valid),
            products.ready.eq(ring.i.ready),
        ]
        wiring.connect(m, ring.o, wiring.flipped(self.o))
        return m


def pack_exact(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Normalise a product and pack it: it has no more than 24 bits and is in the normal range."""
    shifted = Signal.like(x.magnitude)
    m.d.comb += shifted.eq(x.magnitude << x.zeros)
    leading = shifted[-1]
    field = (x.exponent - x.zeros)[: FP32.exponent_bits] & leading.replicate(FP32.exponent_bits)
    fraction = Cat(Const(0, FP32.precision - len(shifted)), shifted[:-1])
    magnitude = Signal(FP32.width - 1)
    m.d.comb += magnitude.eq(Cat(fraction, field))
    with m.If(x.nan):
        m.d.comb += magnitude.eq(FP32_NAN)
    with m.Elif(x.inf):
        m.d.comb += magnitude.eq(FP32.exponent_ones << FP32.fraction_bits)
    return {"value": Cat(magnitude, x.sign & ~x.nan)}


#: From {sign, magnitude, exponent, nan, inf} to {value}, where nothing has to be rounded;
#: ``exponent`` is the exponent field of the magnitude's top bit.
EXACT_STAGES = (count_zeros, pack_exact)
