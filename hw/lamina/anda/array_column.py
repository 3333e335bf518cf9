"""Array column: one set of weights with all rows of an array, to FP32."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.beat_sum import BeatSum
from lamina.anda.block_parameters import BlockParameters
from lamina.anda.chain_sum import ChainSum
from lamina.anda.sum_unit import SumUnit
from lamina.cell import Cell
from lamina.formats.anda import GROUP, PAIRS, WIDE_SCALE, pair_table_layout, weight_pair_layout

__all__ = ["ArrayColumn"]


class ArrayColumn(wiring.Component):
    """Multiply the planes of all rows with one column, and add up the outputs.

    Members
    -------
    advance_next : In(1)
        In the next cycle all registers take what is before them; else nothing happens. If the
        trees have ranks, ``advance``, a register, in its place: they do so in this cycle.
    i_first, i_steps, i_adds, i_begin : In
        What goes to every gate of a column comes a cycle early, to a register of the column:
        `BeatSum`'s ``first``; `SumUnit`'s ``steps``, of all units; ``add`` by step; ``begin``.
    selects, tables, correction : In
        Of each row's planes and of the weights, as `BeatSum` and `SumUnit` take them. If the trees
        have ranks: ``planes``, ``weights``, as `ChainSum` does, and ``i_last``, early as others.
    scale, and triple, if `BlockParameters.triples` : In
        Of the weights.
    groups, mask : In
        Of the rows whose sums are read, by unit; of `SumUnit`.
    values : Out(ArrayLayout(unsigned(32), units))
    """

    def __init__(self, parameters: BlockParameters):
        self.parameters = p = parameters
        selects = data.ArrayLayout(data.ArrayLayout(unsigned(3), PAIRS), p.planes)
        unit = p.sum_unit(0)
        if p.ranked:
            beat = data.ArrayLayout(unsigned(GROUP), p.planes)
            moves = {"advance": In(1), "i_last": In(1)}
            sums = {
                "planes": In(data.ArrayLayout(beat, p.rows)),
                "weights": In(data.ArrayLayout(weight_pair_layout(p.entry_bits), PAIRS)),
            }
        else:
            moves = {"advance_next": In(1)}
            sums = {
                "selects": In(data.ArrayLayout(selects, p.rows)),
                "tables": In(data.ArrayLayout(pair_table_layout(p.entry_bits), PAIRS)),
                "correction": In(unit.convert.operands["correction"]),
            }
        super().__init__(
            ({"triple": In(unit.multiply.operands["triple"])} if p.triples else {})
            | moves
            | {
                "i_first": In(1),
                "i_steps": In(p.sharing),
                "i_adds": In(p.sharing),
                "i_begin": In(1),
                **sums,
                "scale": In(WIDE_SCALE.width),
                "groups": In(p.groups),
                "mask": In(unit.convert.operands["mask"]),
                "values": Out(data.ArrayLayout(32, p.units)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        advance, first = Signal(), Signal(reset_less=True)
        steps, adds = Signal(p.sharing), Signal(p.sharing)
        if p.ranked:
            m.d.comb += advance.eq(self.advance)
        else:
            m.d.sync += advance.eq(self.advance_next)
        with m.If(advance):
            m.d.sync += [
                first.eq(self.i_first),
                steps.eq(self.i_steps),
                adds.eq(self.i_adds),
            ]
            if p.ranked:
                last = Signal(reset_less=True)
                m.d.sync += last.eq(self.i_last)
        sums, kind = [], ChainSum if p.ranked else BeatSum
        for row in range(p.rows):
            m.submodules[f"sum_{row}"] = part = Cell(kind, p.beat_sum(row))
            sums.append(part)
            m.d.comb += part.advance.eq(advance)
            if p.ranked:
                m.d.comb += [
                    part.planes.eq(self.planes[row]),
                    part.weights.eq(self.weights),
                    part.last.eq(last),
                ]
            else:
                m.d.comb += [part.selects.eq(self.selects[row]), part.tables.eq(self.tables)]
            m.d.comb += part.first.eq(first)
            if part.parameters.step:
                m.d.comb += part.take.eq(steps[0])
        for number in range(p.units):
            m.submodules[f"unit_{number}"] = end = Cell(SumUnit, p.sum_unit(number))
            turns = sums[number :: p.units]
            m.d.comb += [
                end.advance.eq(advance),
                end.steps.eq(steps),
                end.mask.eq(self.mask),
                *([] if p.ranked else [end.correction.eq(self.correction)]),
                end.group.eq(self.groups[number]),
                end.scale.eq(self.scale),
                end.add.eq(adds[: len(turns)].any()),
                end.i_anew.eq(self.i_begin),
                self.values[number].eq(end.value),
            ]
            if p.triples:
                m.d.comb += end.triple.eq(self.triple)
            for step, turn in enumerate(turns):
                m.d.comb += [end.high[step].eq(turn.high), end.low[step].eq(turn.low)]
                if not p.ranked:
                    m.d.comb += end.carries[step].eq(turn.carries)
        return m
