"""Weight port: sets of weights become what the blocks of an array take."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.multiples import triple_of
from lamina.arith.compressor_tree import Inverse, compress
from lamina.arith.leading_zeros import count_leading_zeros
from lamina.arith.pipeline import delayed
from lamina.arith.rounding import shift_left
from lamina.arith.unpack import unpack
from lamina.formats.anda import PAIRS, WIDE_SCALE, array_weights_layout, column_weights_layout
from lamina.formats.ieee import FP16
from lamina.parameters import check_flag, check_range

__all__ = ["WeightPort", "WeightPortParameters"]


@dataclass(frozen=True, kw_only=True)
class WeightPortParameters:
    """``columns`` of a block; ``weight_bits``, ``zero_points``: as in `ArrayParameters`.

    ``correction_delay``, ``scale_delay``, ``triples``: as of `BlockParameters`.
    """

    columns: int
    weight_bits: int
    zero_points: bool
    correction_delay: int
    scale_delay: int
    triples: bool = False

    def __post_init__(self):
        check_range("columns", self.columns, 1, 16)
        check_range("weight_bits", self.weight_bits, 2, 8)
        check_flag("zero_points", self.zero_points)
        check_range("correction_delay", self.correction_delay, 1, 64)
        check_range("scale_delay", self.scale_delay, 1, 128)
        check_flag("triples", self.triples)

    @property
    def entry_bits(self) -> int:
        """Bits of a weight B = code - zero point."""
        return self.weight_bits + self.zero_points

    @property
    def weights(self) -> data.StructLayout:
        """Weights as blocks take them."""
        return array_weights_layout(self.columns, self.entry_bits, triples=self.triples)

    @property
    def latency(self) -> int:
        """Cycles from a beat to its tables."""
        return 1

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "the weights of one block a cycle"

    @property
    def storage_bits(self) -> int:
        """The tables on their way, and what follows them later."""
        corrections = (self.entry_bits + 6) * self.correction_delay
        tables = self.weights["tables"].width
        return tables + 1 + self.columns * (corrections + WIDE_SCALE.width * (1 + self.scale_delay))


def _widened(m: Module, scale: Value) -> Value:
    """Return a finite FP16 scale as `WIDE_SCALE`: subnormal ones become normal, once for all."""
    x = unpack(FP16, scale)
    zeros = Signal(range(FP16.precision + 1))
    exponent = Signal(WIDE_SCALE.exponent_bits)
    m.d.comb += [
        zeros.eq(count_leading_zeros(m, x.significand)),
        exponent.eq(Mux(x.zero, 0, x.exponent + (WIDE_SCALE.bias - FP16.bias) - zeros)),
    ]
    fraction = shift_left(m, x.significand, zeros)[: FP16.fraction_bits]
    return Cat(fraction, exponent, x.sign)


class WeightPort(wiring.Component):
    """Add the pairs of weights, once for all rows and blocks, and all weights of each column.

    Members
    -------
    i : In(stream of `column_weights_layout`)
    advance : In(1)
        The array moves.
    need : In(1)
        In this cycle a block takes its tables; the array must not move unless ``valid``.
    valid, valid_next : Out(1)
        There are tables on ``weights``; there are in the next cycle.
    weights : Out(`WeightPortParameters.weights`)
        Corrections and scales follow their tables by so many advances as the parameters say.
    """

    def __init__(self, parameters: WeightPortParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(column_weights_layout(p.columns, p.weight_bits))),
                "advance": In(1),
                "need": In(1),
                "valid": Out(1),
                "valid_next": Out(1),
                "weights": Out(p.weights),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        tables = Signal(self.weights.tables.shape(), reset_less=True)
        scales = Signal(self.weights.scales.shape(), reset_less=True)
        m.d.comb += [
            self.i.ready.eq(~self.valid | (self.need & self.advance)),
            self.weights.tables.eq(tables),
            self.valid_next.eq(Mux(self.i.ready, self.i.valid, self.valid)),
        ]
        m.d.sync += self.valid.eq(self.valid_next)
        with m.If(self.i.ready):
            for column in range(p.columns):
                self._pair(m, tables[column], column)
                m.d.sync += scales[column].eq(_widened(m, self.i.payload.scales[column]))
        for column in range(p.columns):
            correction = self._correction(m, platform, tables[column])
            for field, value, delay in (
                ("corrections", correction, p.correction_delay),
                ("scales", scales[column], p.scale_delay),
            ):
                later = delayed(m, value, self.advance, delay, f"{field}_{column}")
                m.d.comb += self.weights[field][column].eq(later)
            if p.triples:
                scale = unpack(WIDE_SCALE, self.weights.scales[column])
                triple = triple_of(m, platform, scale.significand)
                m.d.comb += self.weights.triples[column].eq(triple)
        return m

    def _pair(self, m, tables, column):
        """Subtract the zero point, and add the weights of each pair."""
        p = self.parameters
        weights = [
            Signal(signed(p.entry_bits), name=f"weight_{column}_{k}") for k in range(2 * PAIRS)
        ]
        payload = self.i.payload
        for weight, code in zip(weights, payload.codes[column], strict=True):
            m.d.comb += weight.eq(code - payload.zeros[column] if p.zero_points else code)
        for table, w0, w1 in zip(tables, weights[::2], weights[1::2], strict=True):
            m.d.sync += [table.w0.eq(w0), table.w1.eq(w1), table.both.eq(w0 + w1)]

    def _correction(self, m, platform, tables):
        """Return 2 * c - sum(B): with all bits but the top one inverted, entries add to c - sum."""
        p = self.parameters
        width = p.entry_bits + 1
        columns: list[list[Value | Inverse]] = [[] for _ in range(p.entry_bits + 6)]
        for table in tables:
            for weight in range(width):
                bit = table.both[weight]
                columns[weight].append(bit if weight == width - 1 else Inverse(bit))
        constant = PAIRS * ((1 << p.entry_bits) - 1)
        correction = Signal(len(columns))
        m.d.comb += correction.eq(compress(m, platform, columns) + constant)
        return correction
