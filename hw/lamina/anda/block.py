"""Block: a few columns of an array with all of its rows, as the array repeats them."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.beat_sum import BeatSum, BeatSumParameters
from lamina.anda.sum_unit import SumUnit, SumUnitParameters
from lamina.cell import Cell
from lamina.formats.anda import (
    PAIRS,
    array_finish_layout,
    array_planes_layout,
    array_weights_layout,
)
from lamina.parameters import check_choice, check_range

__all__ = ["Block", "BlockParameters"]


@dataclass(frozen=True, kw_only=True)
class BlockParameters:
    """What a block is built for: see `ArrayParameters`. ``columns``: of the block."""

    rows: int
    columns: int
    planes: int
    sharing: int
    slots: int
    entry_bits: int
    format: str = "fp16"
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("rows", self.rows, 1, 64)
        check_range("columns", self.columns, 1, 16)
        check_choice("planes", self.planes, (1, 2, 4))
        check_range("sharing", self.sharing, 1, 16)
        check_range("slots", self.slots, 1, 64)
        check_range("entry_bits", self.entry_bits, 2, 9)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def units(self) -> int:
        """Sum units of a column; row r takes step r // units of unit r % units."""
        return -(-self.rows // self.sharing)

    def beat_sum(self, row: int) -> BeatSumParameters:
        """Parameters of a row's beat sums."""
        return BeatSumParameters(
            entry_bits=self.entry_bits,
            planes=self.planes,
            step=row // self.units,
            stages_per_rank=self.stages_per_rank,
        )

    def sum_unit(self, unit: int) -> SumUnitParameters:
        """Parameters of a unit: the last ones may have a row less."""
        return SumUnitParameters(
            entry_bits=self.entry_bits,
            planes=self.planes,
            elements=len(range(unit, self.rows, self.units)),
            slots=self.slots,
            format=self.format,
            stages_per_rank=self.stages_per_rank,
        )

    @property
    def ranks(self) -> int:
        """Ranks of registers in the trees."""
        return len(self.beat_sum(0).rank_rows)

    @property
    def correction_delay(self) -> int:
        """Cycles that the corrections come after their tables: the group before still needs its."""
        return self.sharing + self.ranks

    @property
    def scale_delay(self) -> int:
        """Cycles that the scales come after their tables."""
        return self.correction_delay + self.sum_unit(0).convert.latency

    @property
    def latency(self) -> int:
        """Cycles from a group's last planes to the first of its outputs."""
        return 1 + self.beat_sum(0).latency + self.sum_unit(0).latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one beat of planes a cycle"

    @property
    def storage_bits(self) -> int:
        """Planes and fields on their way, weights, and all sums and units."""
        passed = array_planes_layout(self.rows, self.planes).size
        passed += array_finish_layout(self.units, self.sharing).size
        weights = array_weights_layout(self.columns, self.entry_bits).size
        sums = sum(self.beat_sum(row).storage_bits for row in range(self.rows))
        units = [self.sum_unit(unit) for unit in range(self.units)]
        waiting = self.ranks + self.scale_delay + units[0].latency * (self.sharing + 2)
        ends = sum(unit.storage_bits for unit in units)
        return passed + weights + waiting + self.columns * (sums + ends)


class Block(wiring.Component):
    """Multiply the planes that pass by with the weights of a few columns.

    Members
    -------
    advance : In(1)
        All registers take what is before them; in other cycles nothing happens.
    i_planes, o_planes : `array_planes_layout`
        Planes come in, and leave one cycle later for the next block. With ``i_planes.load`` the
        weights' tables are taken; the corrections and scales follow later by `correction_delay`
        and `scale_delay`.
    i_finish, o_finish : `array_finish_layout`
        The same for what follows the planes of a group; the first step of it comes 1 + `ranks`
        cycles after the group's last planes.
    weights : In(array_weights_layout(columns, entry_bits))
    values : Out(ArrayLayout(ArrayLayout(unsigned(32), columns), units))
        Outputs of the rows of one step: finished where ``ends`` has it.
    ends : Out(sharing)
        Bit s: ``values`` are those of step s of a group with ``end``.
    """

    def __init__(self, parameters: BlockParameters):
        self.parameters = p = parameters
        planes = array_planes_layout(p.rows, p.planes)
        finish = array_finish_layout(p.units, p.sharing)
        values = data.ArrayLayout(data.ArrayLayout(unsigned(32), p.columns), p.units)
        super().__init__(
            {
                "advance": In(1),
                "i_planes": In(planes),
                "o_planes": Out(planes),
                "i_finish": In(finish),
                "o_finish": Out(finish),
                "weights": In(array_weights_layout(p.columns, p.entry_bits)),
                "values": Out(values),
                "ends": Out(p.sharing),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        self._pass_on(m)
        weights = self._hold_weights(m)
        selects = self._selects(m)
        mask = self._mask(m)
        unit = p.sum_unit(0)
        steps = self.o_finish.steps
        fields = Cat(steps, self.o_finish.begin, self.o_finish.end)
        adding = self._delayed(m, fields, unit.convert.latency + unit.multiply.latency, "adding")
        done = self._delayed(m, adding, unit.add.latency, "done")
        m.d.comb += self.ends.eq(done[: p.sharing] & done[-1].replicate(p.sharing))
        first = self._delayed(m, self.o_planes.first, p.ranks, "first")
        for column in range(p.columns):
            sums = [self._beat_sum(m, row, column, selects[row], first) for row in range(p.rows)]
            for part in sums:
                m.d.comb += part.tables.eq(weights.tables[column])
            for number in range(p.units):
                name = f"unit_{number}_{column}"
                m.submodules[name] = end = Cell(SumUnit, p.sum_unit(number))
                turns = sums[number :: p.units]
                m.d.comb += [
                    end.advance.eq(self.advance),
                    end.steps.eq(steps),
                    end.mask.eq(mask),
                    end.correction.eq(weights.corrections[column]),
                    end.exponent.eq(self.o_finish.exponents[number]),
                    end.scale.eq(weights.scales[column]),
                    end.add.eq(adding[: len(turns)].any()),
                    end.begin.eq(adding[p.sharing]),
                    self.values[number][column].eq(end.value),
                ]
                for step, turn in enumerate(turns):
                    m.d.comb += [end.high[step].eq(turn.high), end.low[step].eq(turn.low)]
        return m

    def _pass_on(self, m):
        """Register what passes by; only what makes something happen needs a reset."""
        for here, there, acts in (
            (self.i_planes, self.o_planes, "load"),
            (self.i_finish, self.o_finish, "steps"),
        ):
            rank = Signal.like(there, name=f"{acts}_rank", reset_less=True)
            acting = Signal.like(there[acts], name=acts)
            m.d.comb += [there.eq(rank), there[acts].eq(acting)]
            with m.If(self.advance):
                m.d.sync += [rank.eq(here), acting.eq(here[acts])]

    def _beat_sum(self, m, row, column, selects, first):
        """Add the beat sum of a row and column."""
        beat_sum = Cell(BeatSum, self.parameters.beat_sum(row))
        m.submodules[f"sum_{row}_{column}"] = beat_sum
        m.d.comb += [
            beat_sum.advance.eq(self.advance),
            beat_sum.selects.eq(selects),
            beat_sum.first.eq(first),
        ]
        if beat_sum.parameters.step:
            m.d.comb += beat_sum.take.eq(self.o_finish.steps[0])
        return beat_sum

    def _hold_weights(self, m):
        """Take each part of the weights when the groups before need the old ones no more."""
        p = self.parameters
        held = Signal(array_weights_layout(p.columns, p.entry_bits), reset_less=True)
        load = self.i_planes.load
        delays = {"tables": 0, "corrections": p.correction_delay, "scales": p.scale_delay}
        spent = 0
        for field, delay in delays.items():
            load, spent = self._delayed(m, load, delay - spent, f"load_{field}"), delay
            with m.If(self.advance & load):
                m.d.sync += held[field].eq(self.weights[field])
        return held

    def _selects(self, m):
        """Decode the planes of each row: only the even, only the odd, both bits of a pair."""
        p = self.parameters
        plane = data.ArrayLayout(unsigned(3), PAIRS)
        selects = []
        for row in range(p.rows):
            decoded = Signal(data.ArrayLayout(plane, p.planes), name=f"selects_{row}")
            selects.append(decoded)
            for bits, pairs in zip(self.o_planes.planes[row], decoded, strict=True):
                for pair in range(PAIRS):
                    even, odd = bits[2 * pair], bits[2 * pair + 1]
                    m.d.comb += pairs[pair].eq(Cat(even & ~odd, ~even & odd, even & odd))
        return selects

    def _mask(self, m):
        """Return which low bits count: a group of so many beats has pushed out so many."""
        p = self.parameters
        mask = Signal(p.beat_sum(0).low_bits)
        for place in range(len(mask)):
            beats = -(-(len(mask) - place) // p.planes)
            m.d.comb += mask[place].eq(self.o_finish.beats >= beats)
        return mask

    def _delayed(self, m, value, cycles, name):
        """Return ``value`` so many advances later."""
        for rank in range(cycles):
            before, value = value, Signal(len(value), name=f"{name}_{rank}")
            with m.If(self.advance):
                m.d.sync += value.eq(before)
        return value
