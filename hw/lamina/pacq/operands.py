"""A step spread over its columns: one beat for as many columns as there are trees."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.packed import LANES, WORD_COLUMNS_MAX, weights_per_word
from lamina.pacq.layouts import aligned_step_layout, operand_layout, phase_bits
from lamina.parameters import check_power_of_two

__all__ = ["Operands", "OperandsParameters"]


@dataclass(frozen=True, kw_only=True)
class OperandsParameters:
    """``trees``: columns of a beat, 1, 2, 4 or 8."""

    trees: int = 2

    def __post_init__(self):
        check_power_of_two("trees", self.trees, 1, WORD_COLUMNS_MAX)

    def beats(self, bits: int) -> int:
        """Beats, and cycles, of a step with weights of ``bits`` bits (2 or 4)."""
        return max(1, weights_per_word(bits) // self.trees)

    @property
    def latency(self) -> int:
        """Cycles from a step to its first beat."""
        return 1

    @property
    def throughput(self) -> int:
        """Beats per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Flip-flops: the beat, its valid bit and the phase."""
        return operand_layout(self.trees).size + 1 + phase_bits(self.trees)


class Operands(wiring.Component):
    """Repeats a step's activations for its columns, and picks the columns' weights.

    Members
    -------
    i : In(stream) of `aligned_step_layout`
        Taken with the last beat made of it.
    o : Out(stream) of `operand_layout`
        Beats of ``trees`` columns in ascending order, without a gap within a step.

    Timing: latency one cycle, one beat a cycle.
    """

    def __init__(self, parameters: OperandsParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(aligned_step_layout())),
                "o": Out(stream.Signature(operand_layout(p.trees))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p, step, beat = self.parameters, self.i.p, self.o.p
        phase = Signal(phase_bits(p.trees))
        last_phase, advance = Signal(), Signal()
        m.d.comb += [
            advance.eq(self.o.ready | ~self.o.valid),
            last_phase.eq(phase == Mux(step.int2, p.beats(2) - 1, p.beats(4) - 1)),
            self.i.ready.eq(advance & last_phase),
        ]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(self.i.valid)
        with m.If(advance & self.i.valid):
            m.d.sync += phase.eq(Mux(last_phase, 0, phase + 1))
            names = ("infinite", "negative", "nan", "int2", "first", "last")
            m.d.sync += [beat[name].eq(step[name]) for name in names]
            m.d.sync += [beat.phase.eq(phase), *self._pairs(), *self._columns(phase)]
        return m

    def _pairs(self):
        for pair in range(LANES // 2):
            one, other = self.i.p.terms[2 * pair], self.i.p.terms[2 * pair + 1]
            table = self.o.p.pairs[pair]
            yield from [table.one.eq(one), table.other.eq(other), table.both.eq(one + other)]

    def _columns(self, phase):
        step, beat, trees = self.i.p, self.o.p, self.parameters.trees
        offsets = step.offsets.as_value().word_select(phase, 4 * trees)
        yield beat.offsets.eq(offsets)
        for lane in range(LANES):
            # Columns that only INT2 has are beyond the high digits.
            high = Cat(step.high[lane], Const(0, WORD_COLUMNS_MAX)).word_select(phase, 2 * trees)
            low = step.low[lane].word_select(phase, 2 * trees)
            for tree in range(trees):
                digits = Cat(low.word_select(tree, 2), high.word_select(tree, 2))
                yield beat.digits[tree][lane].eq(digits)
