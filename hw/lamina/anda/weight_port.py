"""Weight port: sets of weights become what the blocks of an array take."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.multiples import triple_of
from lamina.arith.compressor_tree import Inverse, carry_save, compress
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

    ``correction_delay``, ``scale_delay``, ``triples``: as of `BlockParameters`. ``chains``: carry
    chains take the weights: there are no sums of them.
    """

    columns: int
    weight_bits: int
    zero_points: bool
    correction_delay: int
    scale_delay: int
    triples: bool = False
    chains: bool = False

    def __post_init__(self):
        check_range("columns", self.columns, 1, 16)
        check_range("weight_bits", self.weight_bits, 2, 8)
        check_flag("zero_points", self.zero_points)
        check_range("correction_delay", self.correction_delay, 1, 64)
        check_range("scale_delay", self.scale_delay, 2, 128)
        check_flag("triples", self.triples)

    @property
    def entry_bits(self) -> int:
        """Bits of a weight B = code - zero point."""
        return self.weight_bits + self.zero_points

    @property
    def weights(self) -> data.StructLayout:
        """Weights as blocks take them."""
        return array_weights_layout(
            self.columns, self.entry_bits, triples=self.triples, chains=self.chains
        )

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
        """The tables on their way, and what follows them later: corrections are two rows first."""
        cycles = self.correction_delay + (self.correction_delay > 1)
        corrections = 0 if self.chains else (self.entry_bits + 6) * cycles
        weights = 2 * PAIRS * self.entry_bits
        scales = 2 * FP16.width + 4 + WIDE_SCALE.width * (self.scale_delay - 1)
        return 1 + self.columns * (weights + corrections + scales)

    def correction_columns(self, entries: Sequence[Value]) -> list[list[Value | Inverse]]:
        """Sort the bits of the sums of pairs by weight, all inverted but for the top ones."""
        columns: list[list[Value | Inverse]] = [[] for _ in range(self.entry_bits + 6)]
        for entry in entries:
            for weight, bit in enumerate(entry):
                top = weight == len(entry) - 1
                columns[weight].append(bit if top else Inverse(bit))
        return columns


def _widened(m: Module, scale: Value, zeros: Value) -> Value:
    """Return a finite FP16 scale as `WIDE_SCALE`: subnormal ones become normal, once for all.

    ``zeros``: those that lead its significand.
    """
    x = unpack(FP16, scale)
    exponent = Signal(WIDE_SCALE.exponent_bits)
    m.d.comb += exponent.eq(Mux(x.zero, 0, x.exponent + (WIDE_SCALE.bias - FP16.bias) - zeros))
    fraction = shift_left(m, x.significand, zeros)[: FP16.fraction_bits]
    return Cat(fraction, exponent, x.sign)


class WeightPort(wiring.Component):
    """Take zero points off; on cells add weights up, those of pairs and of columns, once for all.

    Members
    -------
    i : In(stream of `column_weights_layout`)
    advance : In(1)
        The array moves.
    taken_next : In(1)
        In the next cycle a block takes its tables, which is not unless ``valid_next``.
    valid_next : Out(1)
        There are tables on ``weights`` in the next cycle.
    weights : Out(`WeightPortParameters.weights`)
        Corrections, if any, and scales follow their tables by so many advances as the
        parameters say.
    """

    def __init__(self, parameters: WeightPortParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(column_weights_layout(p.columns, p.weight_bits))),
                "advance": In(1),
                "taken_next": In(1),
                "valid_next": Out(1),
                "weights": Out(p.weights),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        # A register, because all tables wait for it.
        free = Signal(init=1)
        m.d.comb += [
            self.i.ready.eq(free),
            self.valid_next.eq(~free | self.i.valid),
        ]
        m.d.sync += free.eq(~self.valid_next | self.taken_next)
        for column in range(p.columns):
            sums = self._pairs(m, column)
            values = {}
            if not p.chains:
                values["corrections"] = self._correction(m, platform, sums, column)
            values["scales"] = self._scale(m, column)
            m.d.comb += [self.weights[name][column].eq(value) for name, value in values.items()]
            if p.triples:
                scale = unpack(WIDE_SCALE, self.weights.scales[column])
                triple = triple_of(m, platform, scale.significand)
                m.d.comb += self.weights.triples[column].eq(triple[1:])
        return m

    def _pairs(self, m, column):
        """Subtract the zero point; return the sums of each pair of weights, if they are needed."""
        p, payload = self.parameters, self.i.payload
        weights = []
        for number, code in enumerate(payload.codes[column]):
            weight = Signal(signed(p.entry_bits), name=f"weight_{column}_{number}")
            m.d.comb += weight.eq(code - payload.zeros[column] if p.zero_points else code)
            weights.append(self._held(m, weight, weight.name))
        sums = []
        tables = self.weights.tables[column]
        for table, w0, w1 in zip(tables, weights[::2], weights[1::2], strict=True):
            m.d.comb += [table.w0.eq(w0), table.w1.eq(w1)]
            if not p.chains:
                both = Signal(signed(p.entry_bits + 1), name=f"both_{column}_{len(sums)}")
                m.d.comb += [both.eq(w0 + w1), table.high.eq(both[1:])]
                sums.append(both)
        return sums

    def _held(self, m, value, name):
        """Return the register that takes ``value`` with a beat."""
        held = Signal.like(value, name=f"{name}_held", reset_less=True)
        with m.If(self.i.ready):
            m.d.sync += held.eq(value)
        return held

    def _scale(self, m, column):
        """Return the scale as `WIDE_SCALE`, so many advances after its tables."""
        scale = self._held(m, self.i.payload.scales[column], f"raw_scale_{column}")
        zeros = count_leading_zeros(m, unpack(FP16, scale).significand)
        scale, zeros = (
            delayed(m, value, self.advance, 1, f"{name}_{column}")
            for name, value in (("scale", scale), ("zeros", zeros))
        )
        rest = self.parameters.scale_delay - 1
        return delayed(m, _widened(m, scale, zeros), self.advance, rest, f"scales_{column}")

    def _correction(self, m, platform, sums, column):
        """Return 2 * c - sum(B), so many advances after its tables.

        With all bits but the top one inverted, the sums of pairs add to c - sum(B).
        """
        p = self.parameters
        columns = p.correction_columns(sums)
        constant = PAIRS * ((1 << p.entry_bits) - 1)
        correction = Signal(len(columns))
        if p.correction_delay == 1:
            m.d.comb += correction.eq(compress(m, platform, columns) + constant)
            return delayed(m, correction, self.advance, 1, f"corrections_{column}")
        # The carries run in a cycle of their own.
        rows = Cat(carry_save(m, platform, columns))
        rows = delayed(m, rows, self.advance, 1, f"correction_rows_{column}")
        width = len(correction)
        m.d.comb += correction.eq(rows[:width] + rows[width:] + constant)
        rest = p.correction_delay - 1
        return delayed(m, correction, self.advance, rest, f"corrections_{column}")
