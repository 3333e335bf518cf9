"""A step spread over its columns: one beat for as many columns as there are trees."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.packed import LANES, WORD_COLUMNS_MAX, weights_per_word
from lamina.pacq.layouts import aligned_step_layout, operand_layout, phase_bits
from lamina.pacq.rank import Rank, RankParameters
from lamina.parameters import check_power_of_two, check_range

__all__ = ["Operands", "OperandsParameters"]


@dataclass(frozen=True, kw_only=True)
class OperandsParameters:
    """``trees``: columns of a beat, 1, 2, 4 or 8; ``stages_per_rank``: 1 cuts the way back.

    ``single``: steps may have one column, see `dot_step_layout`.
    """

    trees: int = 2
    stages_per_rank: int = 1
    single: bool = False

    def __post_init__(self):
        check_power_of_two("trees", self.trees, 1, WORD_COLUMNS_MAX)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def rank(self) -> RankParameters:
        """Parameters of the rank that holds a beat."""
        shape = operand_layout(self.trees, single=self.single)
        return RankParameters(shape=shape, cut=self.stages_per_rank == 1)

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
        """Flip-flops: the rank and the phase."""
        return self.rank.storage_bits + phase_bits(self.trees)


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
                "i": In(stream.Signature(aligned_step_layout(single=p.single))),
                "o": Out(stream.Signature(operand_layout(p.trees, single=p.single))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p, step = self.parameters, self.i.p
        m.submodules.rank = rank = Rank(p.rank)
        wiring.connect(m, rank.o, wiring.flipped(self.o))
        beat, phase, last_phase = rank.i.p, Signal(phase_bits(p.trees)), Signal()
        names = ("infinite", "negative", "nan", "int2", "single", "first", "last")
        phases = Mux(step.int2, p.beats(2) - 1, p.beats(4) - 1)
        m.d.comb += [
            last_phase.eq(phase == Mux(step.single.any(), 0, phases)),
            self.i.ready.eq(rank.i.ready & last_phase),
            rank.i.valid.eq(self.i.valid),
            *(beat[name].eq(step[name]) for name in names),
            beat.phase.eq(phase),
            *self._pairs(beat),
            *self._columns(beat, phase),
        ]
        with m.If(rank.i.valid & rank.i.ready):
            m.d.sync += phase.eq(Mux(last_phase, 0, phase + 1))
        return m

    def _pairs(self, beat):
        for pair in range(LANES // 2):
            one, other = self.i.p.terms[2 * pair], self.i.p.terms[2 * pair + 1]
            table = beat.pairs[pair]
            yield from [table.one.eq(one), table.other.eq(other), table.both.eq(one + other)]

    def _columns(self, beat, phase):
        step, trees = self.i.p, self.parameters.trees
        offsets = step.offsets.as_value().word_select(phase, 4 * trees)
        yield beat.offsets.eq(offsets)
        for lane in range(LANES):
            # Columns that only INT2 has are beyond the high digits.
            high = Cat(step.high[lane], Const(0, WORD_COLUMNS_MAX)).word_select(phase, 2 * trees)
            low = step.low[lane].word_select(phase, 2 * trees)
            for tree in range(trees):
                digits = Cat(low.word_select(tree, 2), high.word_select(tree, 2))
                yield beat.digits[tree][lane].eq(digits)
