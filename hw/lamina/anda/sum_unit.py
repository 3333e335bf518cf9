"""Sum unit: the floating-point end of a few beat sums that take turns."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.beat_sum import BeatSumParameters
from lamina.anda.bounded_add import BoundedAddParameters
from lamina.anda.sum_stages import (
    NORMALISED,
    ConvertParameters,
    ScaleParameters,
)
from lamina.arith.fp32_add import Fp32AddParameters
from lamina.arith.pipeline import PipelineParameters, Stage
from lamina.formats.anda import FORMATS, MANTISSA_BITS_MAX, WIDE_SCALE
from lamina.formats.ieee import FP32
from lamina.parameters import check_choice, check_range

__all__ = ["SumUnit", "SumUnitParameters"]

#: Adders of at most so many ranks have a ring of registers behind them.
_RING_LATENCY = 2


@dataclass(frozen=True, kw_only=True)
class SumUnitParameters:
    """What a sum unit is built for.

    ``entry_bits``, ``planes``: of the beat sums. ``elements``: how many of them take turns.
    ``slots``: outputs of each element under way. ``format``: "fp16" or "bf16", of the activations.
    ``stages_per_rank``: as in `PipelineParameters`; from 5 on the addition takes two cycles.
    """

    entry_bits: int
    planes: int
    elements: int
    slots: int
    format: str = "fp16"
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("elements", self.elements, 1, 16)
        check_range("slots", self.slots, 1, 64)
        check_choice("format", self.format, tuple(FORMATS))
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def beat_sum(self) -> BeatSumParameters:
        """Parameters of the first of the beat sums: for its widths."""
        return BeatSumParameters(
            entry_bits=self.entry_bits, planes=self.planes, stages_per_rank=self.stages_per_rank
        )

    @property
    def convert(self) -> ConvertParameters:
        """Parameters of the conversion."""
        lowest = 1 - FORMATS[self.format].bias - MANTISSA_BITS_MAX + 1
        return ConvertParameters(
            width=self.entry_bits + 6 + MANTISSA_BITS_MAX,
            exponent_bits=(-lowest - 1).bit_length() + 1,
            planes=self.planes,
            exact=self.beat_sum.chains,
            stages_per_rank=self.stages_per_rank,
        )

    @property
    def group(self) -> data.StructLayout:
        """What units take of a group: the exponent that sums, or FP32 made of them, begin with."""
        late = self.convert.late or self.convert.operands
        return data.StructLayout({name: late[name] for name in ("exponent", "nan")})

    @property
    def group_delay(self) -> int:
        """Cycles that it comes after the sums."""
        return self.convert.latency if self.convert.late else 0

    def group_of(self, exponent: Value) -> dict[str, Value]:
        """Return that of a group whose exponent field is ``exponent``."""
        form = FORMATS[self.format]
        # FP32's is that of the sum's top bit.
        top = FP32.bias + self.convert.width - 1 if self.convert.late else 0
        return {
            "exponent": exponent + (1 - form.bias - MANTISSA_BITS_MAX + top),
            "nan": exponent == form.exponent_ones,
        }

    @property
    def multiply(self) -> ScaleParameters:
        """Parameters of the scaling."""
        # On cells the full adders stay as they are, so nothing makes up for them behind: a rank is.
        cells = self.stages_per_rank > 1
        return ScaleParameters(
            bounded=self.bounded, multiples=cells, stages_per_rank=2 if cells else 1
        )

    @property
    def add(self) -> Fp32AddParameters:
        """Parameters of the addition."""
        kind = BoundedAddParameters if self.bounded else Fp32AddParameters
        return kind(stages_per_rank=self.stages_per_rank)

    @property
    def bounded(self) -> bool:
        """Whether no value is subnormal, or too large: see `ScaleParameters`."""
        return self.format == "fp16"

    @property
    def marked(self) -> bool:
        """Whether only the exponent of a NaN is right: see `BoundedAddParameters`."""
        return self.bounded and self.stages_per_rank > 1

    @property
    def ring(self) -> bool:
        """Whether the sums are kept in a ring of registers, and not in a memory."""
        return self.add.latency <= _RING_LATENCY

    @property
    def words(self) -> int:
        """Sums kept."""
        return self.elements * self.slots

    @property
    def latency(self) -> int:
        """Cycles from a beat sum read to the accumulated sum."""
        return self.convert.latency + self.multiply.latency + self.add.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one beat sum a cycle"

    @property
    def storage_bits(self) -> int:
        """All ranks but for their valid bits, and the sums; the last rank of a ring is one."""
        parts = (self.convert, self.multiply, self.add)
        ranks = sum(part.storage_bits - part.latency for part in parts) + self.add.latency - 1
        if self.ring:
            return ranks + (self.words - 1) * FP32.width
        pointers = 2 * (self.words - 1).bit_length() + 1
        return ranks + self.words * FP32.width + pointers


class SumUnit(wiring.Component):
    """Turn the sums of a few elements into FP32, scale them, and add them to their outputs.

    Members
    -------
    advance : In(1)
        All registers take what is before them; in other cycles nothing happens.
    steps : In(elements)
        Bit s: the sum of element s is read. One or none.
    high, low, and carries, if there are any : In, one of each for each element
        Of `BeatSum`.
    mask : In(low_bits)
        Which bits of ``low`` count.
    correction : In(entry_bits + 6), unless ``convert.exact``
        Of the column, as in `array_weights_layout`.
    group : In(`SumUnitParameters.group`)
        Of the group that was read `group_delay` cycles before.
    scale : In(17)
        `WIDE_SCALE` of the group that was read ``convert.latency`` cycles before.
    triple : In(13), if ``multiply.multiples``
        Three times its significand.
    add : In(1)
        A product is added, ``multiply.latency`` cycles after that.
    i_anew : In(1)
        In the cycle before that: to +0.
    value : Out(32)
        ``add.latency`` cycles later: the sum; if `SumUnitParameters.marked`, NaN in any form.

    Timing
    ------
    The sums are added to in turn: element 0 to elements - 1 of slot 0, then those of slot 1, and
    so on for ever. So they need no addresses: they wait in a queue. If the adder has one or two
    ranks, the queue is a ring of registers that ends with the last of them; else it is a memory
    with two pointers.

    Numerics
    --------
    f = FP32(P * 2^(E - bias - M + 1)), NaN where E is all ones; r = FP32(f * scale);
    acc = FP32(acc + r). Three roundings to nearest even, subnormals kept.
    """

    def __init__(self, parameters: SumUnitParameters):
        self.parameters = p = parameters
        sums = p.beat_sum
        multiply = p.multiply
        completing = {
            "carries": In(data.ArrayLayout(unsigned(len(sums.carry_places)), p.elements)),
            "correction": In(unsigned(p.entry_bits + 6)),
        }
        super().__init__(
            ({"triple": In(multiply.operands["triple"])} if multiply.multiples else {})
            | {
                "advance": In(1),
                "steps": In(p.elements),
                "high": In(data.ArrayLayout(unsigned(sums.high_bits), p.elements)),
                "low": In(data.ArrayLayout(unsigned(sums.low_bits), p.elements)),
                "mask": In(unsigned(sums.low_bits)),
                **({} if p.convert.exact else completing),
                "group": In(p.group),
                "scale": In(WIDE_SCALE.width),
                "add": In(1),
                "i_anew": In(1),
                "value": Out(FP32.width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        operands = Signal(p.convert.input_layout)
        m.d.comb += [
            operands.high.eq(self._selected(self.high)),
            operands.low.eq(self._selected(self.low)),
            operands.mask.eq(self.mask),
        ]
        if not p.convert.exact:
            m.d.comb += operands.correction.eq(self.correction)
            carries = self._selected(self.carries)
            for place, carry in zip(p.beat_sum.carry_places, carries, strict=True):
                m.d.comb += operands.carries[place].eq(carry)
        group = {name: self.group[name] for name in ("exponent", "nan")}
        if not p.convert.late:
            m.d.comb += [operands[name].eq(value) for name, value in group.items()]
        converted = self._pipeline(m, "convert", p.convert, operands)
        converted = group | converted
        normalised = {name: converted.get(name, Const(0)) for name in NORMALISED}
        factor = {"b": self.scale} | ({"triple": self.triple} if p.multiply.multiples else {})
        products = self._pipeline(
            m, "multiply", p.multiply, normalised | factor, stages=p.multiply.on(platform)
        )
        # Bit r: an addition began r cycles ago.
        adds = [self.add]
        for rank in range(p.add.latency):
            adds.append(Signal(name=f"added_{rank}"))
            with m.If(self.advance):
                m.d.sync += adds[-1].eq(adds[-2])
        augend, anew = Signal(FP32.width), Signal(reset_less=True)
        with m.If(self.advance):
            m.d.sync += anew.eq(self.i_anew)
        # What is not bounded is masked in front of the addition.
        start = {"a": augend, "anew": anew} if p.bounded else {"a": Mux(anew, 0, augend)}
        addends = start | {"b": products["value"]}
        enables = adds if p.ring else ()
        total = self._pipeline(m, "add", p.add, addends, enables)["value"]
        m.d.comb += self.value.eq(total)
        (self._ring if p.ring else self._queue)(m, augend, total, adds)
        return m

    def _selected(self, values) -> Value:
        """Return the one of ``values`` whose step it is."""
        selected: Value = 0
        for step, value in zip(self.steps, values, strict=True):
            selected |= value & step.replicate(len(value))
        return selected

    def _pipeline(
        self,
        m: Module,
        name: str,
        parameters: PipelineParameters,
        operands,
        enables: Sequence[Value] = (),
        stages: Sequence[Stage] | None = None,
    ) -> dict[str, Value]:
        """Return the results of a unit whose ranks move with ``advance``, rank r if enabled."""
        beat = Signal(parameters.input_layout, name=name)
        fields = operands if isinstance(operands, dict) else {}
        m.d.comb += beat.eq(operands) if not fields else [
            beat[field].eq(value) for field, value in fields.items()
        ]  # fmt: skip
        waiting = iter(enables)

        def register(stage: str, values: dict[str, Value]) -> dict[str, Value]:
            ranks = {
                field: Signal(value.shape(), name=f"{name}_{stage}_{field}", reset_less=True)
                for field, value in values.items()
            }
            with m.If(self.advance & next(waiting, 1)):
                m.d.sync += [ranks[field].eq(value) for field, value in values.items()]
            return ranks

        return parameters.chain(m, beat, register, stages)

    def _ring(self, m: Module, augend: Signal, total: Value, adds: Sequence[Value]) -> None:
        """Keep the sums in a ring of registers, of which the adder's last rank is one."""
        words = [
            Signal(FP32.width, name=f"sum_{place}", reset_less=True)
            for place in range(self.parameters.words - 1)
        ]
        places = [*words, total]
        following = places[1:]
        landing = adds[self.parameters.add.latency - 1]
        m.d.comb += augend.eq(places[0])
        if self.parameters.add.latency > 1 and len(words) > 1:
            # The first sum is the adder's in good time: its place moves as soon as it is taken,
            # while the sum before is in the adder still and the others are one place behind.
            head, ahead = words.pop(0), following.pop(0)
            with m.If(self.advance & adds[0]):
                m.d.sync += head.eq(Mux(landing, following[0], ahead))
        elif self.parameters.add.latency > 1:
            # Too short for that. A single sum is never waited for: its additions are far apart.
            m.d.comb += augend.eq(Mux(landing, total, places[0]))
        with m.If(self.advance & landing):
            m.d.sync += [word.eq(behind) for word, behind in zip(words, following, strict=True)]

    def _queue(self, m: Module, augend: Signal, total: Value, adds: Sequence[Value]) -> None:
        """Keep the sums in a memory, and take them in turn."""
        p = self.parameters
        m.submodules.sums = sums = memory.Memory(
            shape=unsigned(FP32.width), depth=p.words, init=[], attrs={"ram_style": "distributed"}
        )
        read, write = sums.read_port(domain="comb"), sums.write_port()
        m.d.comb += [
            augend.eq(read.data),
            write.en.eq(adds[-1] & self.advance),
            write.data.eq(total),
        ]
        for port, moves in ((read, adds[0]), (write, adds[-1])):
            address = Signal(range(p.words), name=f"{'read' if port is read else 'write'}_address")
            m.d.comb += port.addr.eq(address)
            with m.If(moves & self.advance):
                m.d.sync += address.eq(Mux(address == p.words - 1, 0, address + 1))
