"""Array head: beats of words become planes, and what follows them, for the first block."""

from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.row_head import RowHead, RowHeadParameters
from lamina.arith.pipeline import delayed
from lamina.cell import Cell
from lamina.copies import copies
from lamina.formats.anda import (
    EXPONENT_BITS,
    GROUP,
    MANTISSA_BITS_MAX,
    array_finish_layout,
    array_planes_layout,
    array_words_layout,
    units_of,
)
from lamina.parameters import check_range

__all__ = ["ArrayHead", "ArrayHeadParameters"]


_FIELDS = ("exponents", "begin", "end")


@dataclass(frozen=True, kw_only=True)
class ArrayHeadParameters:
    """``rows``, ``planes``, ``sharing``: as in `ArrayParameters`. ``blocks`` of the chain.

    ``finish_delay``: ranks of registers in the blocks' trees. ``exponent_delay``: cycles that
    exponents follow the steps by. ``copies`` of what moves the rows. ``chains``: planes are as
    carry chains take them.
    """

    rows: int
    planes: int
    sharing: int
    blocks: int
    finish_delay: int = 0
    exponent_delay: int = 0
    copies: int = 1
    chains: bool = False

    def __post_init__(self):
        check_range("rows", self.rows, 1, 64)
        check_range("sharing", self.sharing, 1, 16)
        check_range("blocks", self.blocks, 1, 256)
        check_range("finish_delay", self.finish_delay, 0, 3)
        check_range("exponent_delay", self.exponent_delay, 0, 16)

    @property
    def units(self) -> int:
        """Rows whose sums are read in the same step."""
        return units_of(self.rows, self.sharing)

    @property
    def row(self) -> RowHeadParameters:
        """Parameters of each row's head."""
        return RowHeadParameters(planes=self.planes)

    @property
    def planes_layout(self) -> data.StructLayout:
        """Planes as they leave."""
        return array_planes_layout(self.rows, self.planes, chains=self.chains)

    @property
    def latency(self) -> int:
        """Cycles from a group's last beat accepted to its last planes."""
        return 1 + self.row.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one beat in and one beat out a cycle"

    @property
    def storage_bits(self) -> int:
        """Of the rows, the fields of the groups that come and go, and the counters."""
        finish = array_finish_layout(self.units, self.sharing).size
        fields = 2 * (self.rows * EXPONENT_BITS + 2) + MANTISSA_BITS_MAX.bit_length()
        words = array_words_layout(self.rows, self.planes).size + 5 + 3 * self.copies
        return (
            words
            + self.state.size
            + self.rows * self.row.storage_bits
            + fields
            + self.sharing
            + self.finish_delay * finish
            + self.exponent_delay * self.units * EXPONENT_BITS
        )

    @property
    def state(self) -> data.StructLayout:
        """What the head knows of the group whose words come, and of the blocks that load.

        ``opening``: a group is here of which no planes have left yet, and ``load`` its flag;
        ``closing``: the last of its beats is here, so its planes can leave; ``begun``: some have
        left; ``beats`` that have. ``sweep``: blocks that have still to load.
        """
        return data.StructLayout(
            {
                "opening": 1,
                "closing": 1,
                "begun": 1,
                "load": 1,
                "beats": range(MANTISSA_BITS_MAX + 1),
                "sweep": range(self.blocks + 1),
            }
        )


def _group_layout(rows: int) -> data.StructLayout:
    """Return the fields of `array_words_layout` that belong to the group."""
    members = array_words_layout(rows, 1).members
    return data.StructLayout({name: members[name] for name in _FIELDS})


class ArrayHead(wiring.Component):
    """Turn beats of words into planes for all rows in lockstep, and say what is to be done.

    Members
    -------
    i : In(stream of `array_words_layout`)
    advance, moves, advance_next : In(1)
        Everything moves: what is on ``o_planes`` and ``o_finish`` is taken. Two registers of the
        same, or one: the state waits for the first, all that is wide for the second. And what it
        is in the next cycle.
    starved_next : Out(1)
        In the next cycle a group that has begun lacks words: nothing must move.
    loading_next : Out(1)
        Some block takes its tables in the next cycle, if it moves.
    o_planes : Out(`ArrayHeadParameters.planes_layout`)
    o_finish : Out(array_finish_layout(units, sharing))
        From ``1 + finish_delay`` advances after the last planes on: ``sharing`` steps.
    """

    def __init__(self, parameters: ArrayHeadParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(array_words_layout(p.rows, p.planes))),
                "advance": In(1),
                "moves": In(1),
                "advance_next": In(1),
                "starved_next": Out(1),
                "loading_next": Out(1),
                "o_planes": Out(p.planes_layout),
                "o_finish": Out(array_finish_layout(p.units, p.sharing)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        words = Signal(self.i.payload.shape(), reset_less=True)
        there, there_next = Signal(), Signal()
        state, after = Signal(p.state), Signal(p.state)
        group = Signal(_group_layout(p.rows), reset_less=True)
        # Known a cycle before, as much waits for them: a group that opens cannot load, because
        # blocks have still to; and that block 0 loads.
        blocked, load = Signal(), Signal()
        # So are words taken: there, everything moves, and they are not blocked.
        take, take_next, ready = Signal(), Signal(), Signal(init=1)
        takes = copies(m, "take", [take_next], Const(1), p.copies)
        first, *firsts = copies(m, "first", [self.i.payload.first], ready, 1 + p.copies)
        closings = copies(m, "closing", [after.closing], Const(1), p.copies)
        emits, leaves, opens, sweeps = (Signal() for _ in range(4))
        goes_next = self.advance_next & ~(after.opening & after.load & sweeps)
        m.d.comb += [
            emits.eq(state.closing | (there & ~first)),
            leaves.eq(emits & ~blocked),
            self.i.ready.eq(ready),
            there_next.eq(self.i.valid | (there & ~take)),
            take_next.eq(there_next & goes_next),
            self.o_planes.first.eq(state.opening),
            self.o_planes.load.eq(load),
            after.eq(state),
            self.starved_next.eq(after.begun & ~after.closing & ~there_next),
            # A group that opens has its other beats next, if it has any.
            opens.eq(after.opening & after.load & (after.closing | there_next)),
            sweeps.eq(after.sweep != 0),
            self.loading_next.eq(opens | sweeps),
        ]
        m.d.sync += [
            there.eq(there_next),
            state.eq(after),
            blocked.eq(after.opening & after.load & sweeps),
            load.eq(opens & ~sweeps),
            take.eq(take_next),
            ready.eq(~there_next | goes_next),
        ]
        with m.If(self.i.ready):
            m.d.sync += words.eq(self.i.payload)
        with m.If(self.advance):
            m.d.comb += after.sweep.eq(Mux(state.sweep == 0, 0, state.sweep - 1))
            with m.If(self.o_planes.load):
                m.d.comb += after.sweep.eq(p.blocks - 1)
            with m.If(leaves):
                m.d.comb += [
                    after.opening.eq(0),
                    after.closing.eq(0),
                    after.begun.eq(~state.closing),
                    after.beats.eq(state.beats + 1),
                ]
            with m.If(take):
                m.d.comb += after.closing.eq(words.last)
                with m.If(first):
                    m.d.comb += [after.opening.eq(1), after.beats.eq(0), after.load.eq(words.load)]
        with m.If(takes[0] & firsts[0]):
            for name in _FIELDS:
                m.d.sync += group[name].eq(words[name])
        for row in range(p.rows):
            m.submodules[f"row_{row}"] = head = Cell(RowHead, p.row)
            m.d.comb += [
                head.words.eq(words.words[row]),
                head.take.eq(takes[row % p.copies]),
                head.first.eq(firsts[row % p.copies]),
                head.closing.eq(closings[row % p.copies]),
            ]
            if p.chains:
                # Of the last beat the top plane is the sign plane, which is inverted already.
                top = closings[row % p.copies].replicate(GROUP) << GROUP * (p.planes - 1)
                m.d.comb += self.o_planes.planes[row].eq(~(head.inverses.as_value() ^ top))
            else:
                m.d.comb += self.o_planes.inverses[row].eq(head.inverses)
        if p.chains:
            m.d.comb += self.o_planes.last.eq(state.closing)
        self._finish(m, group, state.beats, leaves & state.closing)
        return m

    def _finish(self, m, group, beats, done):
        """After the last planes of ``group``: read its sums, those of some rows in each step."""
        p = self.parameters
        leaving = Signal.like(group, reset_less=True)
        steps = Signal(p.sharing)
        pushed = Signal.like(beats, reset_less=True)
        with m.If(self.moves):
            m.d.sync += steps.eq(Mux(done, 1, steps << 1))
            with m.If(done):
                m.d.sync += [leaving.eq(group), pushed.eq(beats)]
        finish = Signal(array_finish_layout(p.units, p.sharing))
        m.d.comb += [
            finish.steps.eq(steps),
            finish.beats.eq(pushed),
            finish.begin.eq(leaving.begin),
            finish.end.eq(leaving.end),
        ]
        for unit in range(p.units):
            chosen = 0
            for step, row in enumerate(range(unit, p.rows, p.units)):
                chosen |= Mux(steps[step], leaving.exponents[row], 0)
            exponent = Signal(EXPONENT_BITS, name=f"exponent_{unit}")
            m.d.comb += exponent.eq(chosen)
            later = delayed(m, exponent, self.moves, p.exponent_delay, f"exponent_{unit}")
            m.d.comb += finish.exponents[unit].eq(later)
        later = delayed(m, finish, self.moves, p.finish_delay, "finish", reset_less=False)
        m.d.comb += self.o_finish.eq(later)
