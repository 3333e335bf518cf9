"""Block: a few columns of an array with all of its rows, as the array repeats them."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.array_column import ArrayColumn
from lamina.anda.block_parameters import BlockParameters
from lamina.anda.pairs import decode_pairs
from lamina.arith.pipeline import delayed
from lamina.cell import Cell
from lamina.formats.anda import (
    PAIRS,
    array_finish_layout,
    pair_table_layout,
)

__all__ = ["Block", "BlockParameters"]


class Block(wiring.Component):
    """Multiply the planes that pass by with the weights of a few columns.

    Members
    -------
    advance_next : In(1)
        In the next cycle all registers take what is before them; else nothing happens. If the
        trees have ranks, ``advances``, registers, in its place: they do so in this cycle; the
        first is the block's own, the others are its columns'.
    i_planes, o_planes : `BlockParameters.planes_layout`
        Planes come in, and leave one cycle later for the next block. With ``i_planes.load`` the
        weights' tables are taken; the corrections, if any, and scales follow later by
        `correction_delay` and `scale_delay`.
    i_finish, o_finish : `array_finish_layout`
        The same for what follows the planes of a group; the first step of it comes 1 + `ranks`
        cycles after the group's last planes, and its exponents `SumUnitParameters.group_delay`
        after that.
    weights : In(`BlockParameters.weights`)
    values : Out(ArrayLayout(ArrayLayout(unsigned(32), columns), units))
        Outputs of the rows of one step: finished where ``ends`` has it.
    ends : Out(sharing)
        Bit s: ``values`` are those of step s of a group with ``end``.
    """

    def __init__(self, parameters: BlockParameters):
        self.parameters = p = parameters
        planes = p.planes_layout
        finish = array_finish_layout(p.units, p.sharing)
        values = data.ArrayLayout(data.ArrayLayout(unsigned(32), p.columns), p.units)
        super().__init__(
            {
                **({"advances": In(1 + p.columns)} if p.ranked else {"advance_next": In(1)}),
                "i_planes": In(planes),
                "o_planes": Out(planes),
                "i_finish": In(finish),
                "o_finish": Out(finish),
                "weights": In(p.weights),
                "values": Out(values),
                "ends": Out(p.sharing),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        advance = Signal()
        if p.ranked:
            m.d.comb += advance.eq(self.advances[0])
        else:
            m.d.sync += advance.eq(self.advance_next)
        self._pass_on(m, advance)
        weights = self._hold_weights(m, advance)
        selects = [] if p.ranked else self._selects(m)
        mask = self._mask(m, advance)
        groups = self._groups(m)
        unit = p.sum_unit(0)
        # The columns have the last register of what starts their additions, and of `first`.
        fields = Cat(self.o_finish.steps, self.o_finish.begin, self.o_finish.end)
        arithmetic = unit.convert.latency + unit.multiply.latency
        coming = self._delayed(m, advance, fields, arithmetic - 1, "coming")
        done = self._delayed(m, advance, coming, unit.add.latency + 1, "done")
        first = self._delayed(m, advance, self.i_planes.first, p.ranks, "first")
        if p.ranked:
            last = self._delayed(m, advance, self.i_planes.last, p.ranks, "last")
        m.d.comb += self.ends.eq(done[: p.sharing] & done[-1].replicate(p.sharing))
        steps = self.i_finish.steps
        for number in range(p.columns):
            m.submodules[f"column_{number}"] = column = Cell(ArrayColumn, p)
            stored = weights.tables[number]
            if p.ranked:
                m.d.comb += [column.advance.eq(self.advances[1 + number]), column.i_last.eq(last)]
                taken = [column.weights.eq(stored), column.planes.eq(self.o_planes.planes)]
            else:
                m.d.comb += column.advance_next.eq(self.advance_next)
                taken = [
                    column.tables.eq(self._tables(m, stored, number)),
                    column.correction.eq(weights.corrections[number]),
                ]
            m.d.comb += [
                column.i_first.eq(first),
                column.i_steps.eq(steps),
                column.i_adds.eq(coming[: p.sharing]),
                column.i_begin.eq(coming[p.sharing]),
                *taken,
                column.scale.eq(weights.scales[number]),
                column.groups.eq(groups),
                column.mask.eq(mask),
            ]
            if p.triples:
                lowest = weights.scales[number][0]
                m.d.comb += column.triple.eq(Cat(lowest, weights.triples[number]))
            for row, decoded in enumerate(selects):
                m.d.comb += column.selects[row].eq(decoded)
            for place, value in enumerate(column.values):
                m.d.comb += self.values[place][number].eq(value)
        return m

    def _pass_on(self, m, advance):
        """Register what passes by; only what makes something happen needs a reset."""
        for here, there, acts in (
            (self.i_planes, self.o_planes, "load"),
            (self.i_finish, self.o_finish, "steps"),
        ):
            rank = Signal.like(there, name=f"{acts}_rank", reset_less=True)
            acting = Signal.like(there[acts], name=acts)
            m.d.comb += [there.eq(rank), there[acts].eq(acting)]
            with m.If(advance):
                m.d.sync += [rank.eq(here), acting.eq(here[acts])]

    def _hold_weights(self, m, advance):
        """Take each part of the weights when the groups before need the old ones no more."""
        p = self.parameters
        held = Signal(p.weights, reset_less=True)
        load = self.i_planes.load
        corrections = {} if p.ranked else {"corrections": p.correction_delay}
        delays = {"tables": 0, **corrections, "scales": p.scale_delay}
        delays |= {"triples": p.scale_delay} if p.triples else {}
        spent = 0
        for field, delay in delays.items():
            load, spent = self._delayed(m, advance, load, delay - spent, f"load_{field}"), delay
            with m.If(advance & load):
                m.d.sync += held[field].eq(self.weights[field])
        return held

    def _tables(self, m, stored, number):
        """Return the tables of a column, of which the lowest bits of ``both`` are not stored."""
        layout = data.ArrayLayout(pair_table_layout(self.parameters.entry_bits), PAIRS)
        tables = Signal(layout, name=f"tables_{number}")
        for table, pair in zip(tables, stored, strict=True):
            m.d.comb += [
                table.w0.eq(pair.w0),
                table.w1.eq(pair.w1),
                table.both.eq(Cat(pair.w0[0] ^ pair.w1[0], pair.high)),
            ]
        return tables

    def _selects(self, m):
        """Decode the planes of each row: only the even, only the odd, both bits of a pair."""
        p = self.parameters
        plane = data.ArrayLayout(unsigned(3), PAIRS)
        selects = []
        for row in range(p.rows):
            decoded = Signal(data.ArrayLayout(plane, p.planes), name=f"selects_{row}")
            selects.append(decoded)
            for bits, pairs in zip(self.o_planes.inverses[row], decoded, strict=True):
                m.d.comb += pairs.eq(decode_pairs(m, ~bits))
        return selects

    def _mask(self, m, advance):
        """Return which low bits count: a group of so many beats has pushed out so many."""
        p = self.parameters
        mask = Signal(p.beat_sum(0).low_bits, reset_less=True)
        with m.If(advance):
            for place in range(len(mask)):
                beats = -(-(len(mask) - place) // p.planes)
                m.d.sync += mask[place].eq(self.i_finish.beats >= beats)
        return mask

    def _groups(self, m):
        """Return what the units of each row take of its group, when they do."""
        unit = self.parameters.sum_unit(0)
        groups = Signal(self.parameters.groups)
        for group, exponent in zip(groups, self.o_finish.exponents, strict=True):
            m.d.comb += [group[name].eq(value) for name, value in unit.group_of(exponent).items()]
        return groups

    def _delayed(self, m, advance, value, cycles, name):
        """Return ``value``, which makes something happen, so many advances later."""
        return delayed(m, value, advance, cycles, name, reset_less=False)
