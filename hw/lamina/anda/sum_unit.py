"""Sum unit: the floating-point end of a few beat sums that take turns."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.beat_sum import BeatSumParameters
from lamina.arith import fp32_add
from lamina.arith.fp32_add import Fp32AddParameters
from lamina.arith.fp32_multiply import Fp32MultiplyParameters
from lamina.arith.int_to_fp32 import IntToFp32Parameters
from lamina.arith.pipeline import PipelineParameters
from lamina.arith.rounding import ROUND_NORMAL_STAGES, ROUND_STAGES, keep
from lamina.formats.anda import EXPONENT_BITS, FORMATS, MANTISSA_BITS_MAX
from lamina.formats.ieee import FP16, FP32
from lamina.parameters import check_choice, check_range

__all__ = ["ConvertParameters", "SumUnit", "SumUnitParameters"]


@dataclass(frozen=True, kw_only=True)
class ConvertParameters(IntToFp32Parameters):
    """`IntToFp32Parameters` of the sums of ``planes`` a beat, corrected before they are rounded."""

    planes: int = 1

    @property
    def stages(self):
        return (_correct, *super().stages)

    @property
    def operands(self):
        fraction = self.planes - 1
        high = self.width - MANTISSA_BITS_MAX
        return {
            "high": unsigned(high + fraction),
            "low": unsigned(MANTISSA_BITS_MAX - fraction),
            "mask": unsigned(MANTISSA_BITS_MAX - fraction),
            "correction": unsigned(high),
            "exponent": signed(self.exponent_bits),
            "nan": unsigned(1),
        }


def _correct(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Complete the sum: NOT of what the beat sum holds, plus what belongs to its top plane."""
    fraction = len(x.high) - len(x.correction)
    high = Signal(len(x.correction))
    m.d.comb += high.eq(x.correction + ~x.high[fraction:])
    value = Cat(~x.low & x.mask, ~x.high[:fraction], high)
    return {"value": value.as_signed(), "exponent": x.exponent, "nan": x.nan}


@dataclass(frozen=True, kw_only=True)
class _NormalMultiplyParameters(Fp32MultiplyParameters):
    """Without subnormal results: FP16 activations times FP16 scales are multiples of 2^-53."""

    @property
    def stages(self):
        return (*super().stages[: -len(ROUND_STAGES)], *ROUND_NORMAL_STAGES)


@dataclass(frozen=True, kw_only=True)
class _NormalAddParameters(Fp32AddParameters):
    """Without subnormal results: sums of such products are multiples of 2^-53 as well."""

    @property
    def stages(self):
        stages = super().stages
        place = stages.index(fp32_add.limit_shift)
        return (*stages[:place], _shift_all, *stages[place + 1 :])


def _shift_all(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Shift a sum to its normal form, wherever that is."""
    # The top bit is the carry, one place above the larger operand's leading one.
    return keep(x, "sign", "magnitude", "nan", "inf") | {
        "shift": x.zeros,
        "exponent": x.exponent + 1 - x.zeros,
    }


@dataclass(frozen=True, kw_only=True)
class SumUnitParameters:
    """What a sum unit is built for.

    ``entry_bits``, ``planes``: of the beat sums. ``elements``: how many of them take turns.
    ``slots``: outputs of each element under way. ``format``: "fp16" or "bf16", of the activations.
    ``stages_per_rank``: as in `PipelineParameters`; from 9 on the addition takes one cycle.
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
        return BeatSumParameters(entry_bits=self.entry_bits, planes=self.planes)

    @property
    def convert(self) -> ConvertParameters:
        """Parameters of the conversion."""
        lowest = 1 - FORMATS[self.format].bias - MANTISSA_BITS_MAX + 1
        return ConvertParameters(
            width=self.entry_bits + 6 + MANTISSA_BITS_MAX,
            exponent_bits=(-lowest - 1).bit_length() + 1,
            planes=self.planes,
            stages_per_rank=self.stages_per_rank,
        )

    @property
    def multiply(self) -> Fp32MultiplyParameters:
        """Parameters of the scaling."""
        kind = _NormalMultiplyParameters if self.format == "fp16" else Fp32MultiplyParameters
        return kind(b_format="fp16", stages_per_rank=self.stages_per_rank)

    @property
    def add(self) -> Fp32AddParameters:
        """Parameters of the addition."""
        kind = _NormalAddParameters if self.format == "fp16" else Fp32AddParameters
        return kind(stages_per_rank=self.stages_per_rank)

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
        ranks = sum(part.storage_bits - part.latency for part in parts)
        if self.add.latency == 1:
            return ranks + (self.words - 1) * FP32.width
        pointers = 2 * (self.words - 1).bit_length()
        return ranks + self.words * FP32.width + pointers


class SumUnit(wiring.Component):
    """Turn the sums of a few elements into FP32, scale them, and add them to their outputs.

    Members
    -------
    advance : In(1)
        All registers take what is before them; in other cycles nothing happens.
    steps : In(elements)
        Bit s: the sum of element s is read. One or none.
    high, low : In, one of each for each element
        Of `BeatSum`.
    mask : In(low_bits)
        Which bits of ``low`` count.
    correction : In(entry_bits + 6)
        Of the column, as in `array_weights_layout`.
    exponent : In(8)
        Of the group.
    scale : In(16)
        Of the group that was read ``convert.latency`` cycles before.
    add, begin : In(1)
        A product is added, ``multiply.latency`` cycles after that: ``begin``: to +0.
    value : Out(32)
        ``add.latency`` cycles later: the sum.

    Timing
    ------
    The sums are added to in turn: element 0 to elements - 1 of slot 0, then those of slot 1, and
    so on for ever. So they need no addresses: they wait in a queue. If the adder has one rank, the
    queue is a ring of registers that ends with that rank; else it is a memory with two pointers.

    Numerics
    --------
    f = FP32(P * 2^(E - bias - M + 1)), NaN where E is all ones; r = FP32(f * scale);
    acc = FP32(acc + r). Three roundings to nearest even, subnormals kept.
    """

    def __init__(self, parameters: SumUnitParameters):
        self.parameters = p = parameters
        sums = p.beat_sum
        super().__init__(
            {
                "advance": In(1),
                "steps": In(p.elements),
                "high": In(data.ArrayLayout(unsigned(sums.high_bits), p.elements)),
                "low": In(data.ArrayLayout(unsigned(sums.low_bits), p.elements)),
                "mask": In(unsigned(sums.low_bits)),
                "correction": In(unsigned(p.entry_bits + 6)),
                "exponent": In(EXPONENT_BITS),
                "scale": In(FP16.width),
                "add": In(1),
                "begin": In(1),
                "value": Out(FP32.width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        form = FORMATS[p.format]
        operands = Signal(p.convert.input_layout)
        m.d.comb += [
            operands.high.eq(self._selected(self.high)),
            operands.low.eq(self._selected(self.low)),
            operands.mask.eq(self.mask),
            operands.correction.eq(self.correction),
            operands.exponent.eq(self.exponent + (1 - form.bias) - MANTISSA_BITS_MAX),
            operands.nan.eq(self.exponent == form.exponent_ones),
        ]
        converted = self._pipeline(m, p.convert, "convert", operands)
        products = self._pipeline(
            m, p.multiply, "multiply", {"a": converted["value"], "b": self.scale}
        )
        augend = Signal(FP32.width)
        total = self._pipeline(
            m, p.add, "add",
            {"a": Mux(self.begin, 0, augend), "b": products["value"]},
            self.add if p.add.latency == 1 else None,
        )["value"]  # fmt: skip
        m.d.comb += self.value.eq(total)
        if p.add.latency == 1:
            self._ring(m, augend, total)
        else:
            self._queue(m, augend, total)
        return m

    def _selected(self, values) -> Value:
        """Return the one of ``values`` whose step it is."""
        selected: Value = 0
        for step, value in zip(self.steps, values, strict=True):
            selected |= value & step.replicate(len(value))
        return selected

    def _pipeline(
        self, m: Module, parameters: PipelineParameters, name: str, operands, enable=None
    ) -> dict[str, Value]:
        """Return the results of a unit whose ranks all move with ``advance``, and ``enable``."""
        moves = self.advance if enable is None else self.advance & enable
        beat = Signal(parameters.input_layout, name=name)
        fields = operands if isinstance(operands, dict) else {}
        m.d.comb += beat.eq(operands) if not fields else [
            beat[field].eq(value) for field, value in fields.items()
        ]  # fmt: skip

        def register(stage: str, values: dict[str, Value]) -> dict[str, Value]:
            ranks = {
                field: Signal(value.shape(), name=f"{name}_{stage}_{field}", reset_less=True)
                for field, value in values.items()
            }
            with m.If(moves):
                m.d.sync += [ranks[field].eq(value) for field, value in values.items()]
            return ranks

        return parameters.chain(m, beat, register)

    def _ring(self, m: Module, augend: Signal, total: Value) -> None:
        """Keep the sums in a ring of registers, of which the adder's rank is the last."""
        words = [
            Signal(FP32.width, name=f"sum_{place}", reset_less=True)
            for place in range(self.parameters.words - 1)
        ]
        m.d.comb += augend.eq((words or [total])[0])
        with m.If(self.advance & self.add):
            m.d.sync += [
                word.eq(behind) for word, behind in zip(words, [*words[1:], total], strict=True)
            ]

    def _queue(self, m: Module, augend: Signal, total: Value) -> None:
        """Keep the sums in a memory, and take them in turn."""
        p = self.parameters
        m.submodules.sums = sums = memory.Memory(
            shape=unsigned(FP32.width), depth=p.words, init=[], attrs={"ram_style": "distributed"}
        )
        read, write = sums.read_port(domain="comb"), sums.write_port()
        done = self.add
        for rank in range(p.add.latency):
            before, done = done, Signal(name=f"done_{rank}")
            with m.If(self.advance):
                m.d.sync += done.eq(before)
        m.d.comb += [
            augend.eq(read.data),
            write.en.eq(done & self.advance),
            write.data.eq(total),
        ]
        for port, moves in ((read, self.add), (write, done)):
            address = Signal(range(p.words), name=f"{'read' if port is read else 'write'}_address")
            m.d.comb += port.addr.eq(address)
            with m.If(moves & self.advance):
                m.d.sync += address.eq(Mux(address == p.words - 1, 0, address + 1))
