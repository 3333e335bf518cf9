"""What FIGNA and iFPU share: whole aligned groups in, exact group sums out, as `anda.element`."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import PipelineParameters
from lamina.formats.anda import (
    EXPONENT_BITS,
    GROUP,
    MANTISSA_BITS_MAX,
    column_weights_layout,
    group_sum_layout,
)
from lamina.formats.baseline import aligned_integers_layout
from lamina.parameters import check_flag, check_range
from lamina.stream.buffer import SkidBuffer, SkidBufferParameters

__all__ = ["IntegerElement", "IntegerElementParameters"]


@dataclass(frozen=True, kw_only=True)
class IntegerElementParameters:
    """What an integer element is built for.

    ``mantissa_bits`` M of an activation, 1 to 16. ``columns``: columns of weights that share the
    activations, 1 to 64. ``weight_bits`` of a code, 2 to 8. ``index_bits`` of an output row index.
    ``zero_points``: whether weights have zero points; without, the ``zeros`` of the weights are
    ignored. ``stages_per_rank``: registers in the sum, as in `PipelineParameters`.
    """

    mantissa_bits: int = 13
    columns: int = 1
    weight_bits: int = 4
    index_bits: int = 6
    zero_points: bool = True
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("mantissa_bits", self.mantissa_bits, 1, 16)
        check_range("columns", self.columns, 1, 64)
        check_range("weight_bits", self.weight_bits, 2, 8)
        check_range("index_bits", self.index_bits, 1, 24)
        check_flag("zero_points", self.zero_points)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def entry_bits(self) -> int:
        """Bits of a weight B = code - zero point."""
        return self.weight_bits + self.zero_points

    @property
    def steps(self) -> int:
        """Cycles per group."""
        raise NotImplementedError

    @property
    def dot(self) -> PipelineParameters:
        """Parameters of each column's sum over a step."""
        raise NotImplementedError

    @property
    def macs_per_cycle(self) -> float:
        """Multiply-accumulates a cycle, of all columns."""
        return GROUP * self.columns / self.steps

    @property
    def slice(self) -> SkidBufferParameters | None:
        """Of the register slice behind long sums, so that what stalls them starts at a register."""
        if self.dot.latency <= 2:
            return None
        layout = group_sum_layout(self.columns, self.weight_bits, self.index_bits)
        return SkidBufferParameters(shape=layout)

    @property
    def slice_latency(self) -> int:
        """Cycles that the slice adds."""
        return self.slice.latency if self.slice else 0

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return f"one group in {self.steps} cycle{'s' if self.steps > 1 else ''}"

    @property
    def beside_layout(self) -> data.StructLayout:
        """What travels beside the sums of a group."""
        return data.StructLayout(
            {
                "scales": data.ArrayLayout(unsigned(16), self.columns),
                "exponent": unsigned(EXPONENT_BITS),
                "index": unsigned(self.index_bits),
                "begin": unsigned(1),
                "end": unsigned(1),
            }
        )

    @property
    def operand_bits(self) -> int:
        """Flip-flops that hold a group with what is beside it, and the weights with their scales;
        and those of the slice.

        A scale is part of the weights and of what is beside the group, but one register.
        """
        group = aligned_integers_layout(self.mantissa_bits, self.index_bits)["values"].width
        sliced = self.slice.storage_bits if self.slice else 0
        return group + self.columns * GROUP * self.entry_bits + self.beside_layout.size + sliced


class IntegerElement(wiring.Component):
    """Base of the integer elements: their ports, and how groups and weights come in.

    Members
    -------
    i : In(stream of `aligned_integers_layout`)
        Groups, aligned to their exponent and in two's complement.
    i_weights : In(stream of `column_weights_layout`)
        A set is taken with each group that has ``load`` set, which waits for it. The first group
        after reset must have ``load`` set.
    o : Out(stream of `group_sum_layout`)
        One beat per group, in order.

    Numerics: P = sum over i of values[i] * (codes[c][i] - zeros[c]), an exact integer;
    sums[c] = P * 2^(16 - M).
    """

    def __init__(self, parameters: IntegerElementParameters):
        self.parameters = p = parameters
        weights = column_weights_layout(p.columns, p.weight_bits)
        sums = group_sum_layout(p.columns, p.weight_bits, p.index_bits)
        super().__init__(
            {
                "i": In(stream.Signature(aligned_integers_layout(p.mantissa_bits, p.index_bits))),
                "i_weights": In(stream.Signature(weights)),
                "o": Out(stream.Signature(sums)),
            }
        )

    def _admit(self, m: Module, free: Value) -> tuple[Signal, Signal]:
        """Take a group when ``free``, with weights if it wants them; return when, and with."""
        take, load = Signal(), Signal()
        wants, served = self.i.payload.load, self.i_weights.valid
        # Each from ``free`` by itself: what has many registers behind it is one gate away.
        m.d.comb += [
            self.i.ready.eq(free & (~wants | served)),
            self.i_weights.ready.eq(free & self.i.valid & wants),
            take.eq(free & self.i.valid & (~wants | served)),
            load.eq(free & self.i.valid & wants & served),
        ]
        return take, load

    def _entries(self, m: Module, column: int) -> list[Signal]:
        """Return B = code - zero point for each weight on ``i_weights``."""
        weights = self.i_weights.payload
        zero = weights.zeros[column] if self.parameters.zero_points else 0
        entries = [Signal(signed(self.parameters.entry_bits)) for _ in range(GROUP)]
        m.d.comb += [
            entry.eq(code - zero)
            for entry, code in zip(entries, weights.codes[column], strict=True)
        ]
        return entries

    def _describe(self, m: Module, take: Value, load: Value) -> Signal:
        """Hold what goes beside the group that is being summed."""
        held = Signal(self.parameters.beside_layout, reset_less=True)
        with m.If(take):
            for field in ("exponent", "index", "begin", "end"):
                m.d.sync += held[field].eq(self.i.payload[field])
        with m.If(load):
            m.d.sync += held.scales.eq(self.i_weights.payload.scales)
        return held

    def _results(self, m: Module):
        """Return the stream to put the results on: ``o``, or what leads there by the slice."""
        if self.parameters.slice is None:
            return self.o
        m.submodules.slice = slice_ = SkidBuffer(self.parameters.slice)
        wiring.connect(m, slice_.o, wiring.flipped(self.o))
        return slice_.i

    def _put_out(self, m: Module, payload, sums: list[Value], beside: Signal) -> None:
        """Drive the payload of the results."""
        spare = MANTISSA_BITS_MAX - self.parameters.mantissa_bits
        m.d.comb += [
            target.eq(value << spare) for target, value in zip(payload.sums, sums, strict=True)
        ]
        for field in self.parameters.beside_layout.members:
            m.d.comb += payload[field].eq(beside[field])
