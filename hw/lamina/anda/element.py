"""Element: groups of activations times columns of integer weights, one bit-plane a cycle."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.column import Column, ColumnParameters
from lamina.anda.operand import OperandBuffer, OperandBufferParameters
from lamina.anda.plane_sum import PlaneSum, PlaneSumParameters
from lamina.anda.row import Row, RowParameters
from lamina.arith.pipeline import delayed
from lamina.cell import Cell
from lamina.copies import COPIES_MAX, copies
from lamina.formats.anda import (
    GROUP,
    MANTISSA_BITS_MAX,
    column_weights_layout,
    group_descriptor_layout,
    group_sum_layout,
    group_word_layout,
    plane_layout,
)
from lamina.parameters import check_flag, check_range
from lamina.stream.buffer import SkidBufferParameters, sliced

__all__ = ["Element", "ElementParameters"]


@dataclass(frozen=True, kw_only=True)
class ElementParameters:
    """What an element is built for.

    ``columns``: columns of weights that share the activations, 1 to 64. ``weight_bits`` of a code,
    2 to 8. ``index_bits`` of an output row index. ``zero_points``: whether weights have zero
    points; without, the ``zeros`` of the weights are ignored and each table is a bit narrower.
    ``stages_per_rank``: registers in the sum of a plane, as in `PlaneSumParameters`.
    """

    columns: int = 1
    weight_bits: int = 4
    index_bits: int = 6
    zero_points: bool = True
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("columns", self.columns, 1, 64)
        check_range("weight_bits", self.weight_bits, 2, 8)
        check_range("index_bits", self.index_bits, 1, 24)
        check_flag("zero_points", self.zero_points)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    def cycles(self, mantissa_bits: int) -> int:
        """Cycles that a group takes in steady state: one per word, one per plane."""
        return mantissa_bits + 1

    def macs_per_cycle(self, mantissa_bits: int) -> float:
        """Multiply-accumulates a cycle in steady state, of all columns."""
        return GROUP * self.columns / self.cycles(mantissa_bits)

    @property
    def operands(self) -> OperandBufferParameters:
        """Parameters of the operand buffer."""
        return OperandBufferParameters(index_bits=self.index_bits)

    @property
    def ranked(self) -> bool:
        """Whether the plane sums have ranks."""
        return bool(self.plane_sum.rank_rows)

    @property
    def copies(self) -> int:
        """Of the registers that all columns read, if there are ranks: for two columns, or more."""
        return min(4, -(-self.columns // 2)) if self.ranked else 1

    @property
    def loads(self) -> int:
        """Copies of what loads and moves a column, if it has ranks: one for each, if it can be."""
        return min(self.columns, COPIES_MAX) if self.ranked else 1

    @property
    def ends(self) -> tuple[int, ...]:
        """Copies of a plane's flags in each rank: in the end for a column each, if it can be."""
        counts = [1]
        for _ in self.plane_sum.rank_rows:
            counts.append(min(self.columns, COPIES_MAX * counts[-1]))
        return tuple(counts[1:])

    @property
    def late(self) -> dict[str, int]:
        """Attributes of what is known late: mappers to LUTs share gates where they see no hurry."""
        return {"keep": 1} if self.ranked else {}

    @property
    def planes(self) -> SkidBufferParameters | None:
        """Of the register slice behind the operand buffer, if there are ranks."""
        if not self.ranked:
            return None
        return SkidBufferParameters(shape=plane_layout(self.index_bits))

    @property
    def row(self) -> RowParameters:
        """Parameters of the row."""
        return RowParameters(index_bits=self.index_bits, copies=self.copies, rank=self.ranked)

    @property
    def column(self) -> ColumnParameters:
        """Parameters of each column."""
        return ColumnParameters(
            weight_bits=self.weight_bits, zero_points=self.zero_points, rank=self.ranked
        )

    @property
    def plane_sum(self) -> PlaneSumParameters:
        """Parameters of each plane sum."""
        return PlaneSumParameters(
            entry_bits=self.weight_bits + self.zero_points, stages_per_rank=self.stages_per_rank
        )

    def group_latency(self, mantissa_bits: int) -> int:
        """Cycles from the sign word of a lone group accepted to its sums valid."""
        planes = self.planes.latency if self.planes else 0
        row = self.operands.group_latency(mantissa_bits) + planes + self.row.latency
        return row + mantissa_bits + self.plane_sum.latency

    @property
    def latency(self) -> int:
        """`group_latency` of the longest group."""
        return self.group_latency(MANTISSA_BITS_MAX)

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one group in M + 1 cycles"

    @property
    def storage_bits(self) -> int:
        """Of all parts, the scales and fields of each group under way, and the valid flags."""
        ranks = self.plane_sum.latency
        column = self.column.storage_bits + self.plane_sum.storage_bits + (1 + ranks) * 16
        column += 16 if self.ranked else 0
        fields = (
            ranks * (1 + group_descriptor_layout(self.index_bits).size) + 2 * sum(self.ends) + 1
        )
        fields += 3 + 4 * self.loads + self.planes.storage_bits if self.ranked else 0
        shared = self.operands.storage_bits + self.row.storage_bits + fields
        return shared + self.columns * column


class Element(wiring.Component):
    """Multiply groups of 64 activations by columns of 64 weights: the exact sums P_g.

    Members
    -------
    i : In(stream of `group_word_layout`)
        Groups of 1 to 16 mantissa words, in stored order; the lengths may differ.
    i_weights : In(stream of `column_weights_layout`)
        A set is taken by each group that has ``load`` set, as its first plane enters the row; such
        a group waits for it. The first group after reset must have ``load`` set.
    o : Out(stream of `group_sum_layout`)
        One beat per group, in order.

    Timing
    ------
    ``parameters.cycles(M)`` = M + 1 cycles per group in steady state, new weights included. The
    result waits in a snapshot while the next group is summed; if it is still there at the end of
    that group, everything above stalls and nothing is lost.

    Numerics
    --------
    P = sum over i of (-1)^s_i * m_i * (codes[c][i] - zeros[c]), an exact integer;
    sums[c] = P * 2^(16 - M).

    Source: Anda, HPCA 2025, section IV: bit-serial processing element. Planes run LSB first here,
    over tables of pair sums, where the paper shifts left over sign and magnitude.
    """

    def __init__(self, parameters: ElementParameters):
        self.parameters = p = parameters
        weights = column_weights_layout(p.columns, p.weight_bits)
        sums = group_sum_layout(p.columns, p.weight_bits, p.index_bits)
        super().__init__(
            {
                "i": In(stream.Signature(group_word_layout(p.index_bits))),
                "i_weights": In(stream.Signature(weights)),
                "o": Out(stream.Signature(sums)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.operands = operands = OperandBuffer(self.parameters.operands)
        m.submodules.row = row = Row(self.parameters.row)
        wiring.connect(m, wiring.flipped(self.i), operands.i)
        advance, finish = Signal(init=1), Signal()
        going = Signal(attrs=self.parameters.late)  # what ``advance`` is in the next cycle
        advances = [advance]
        if self.parameters.ranked:  # hundreds of registers of each column wait for it
            advances = copies(m, "advance", [going], 1, self.parameters.loads)
        # A plane may wait for weights.
        planes = sliced(m, "planes", operands.o, self.parameters.planes)
        takes, loads = self._admit(m, planes, row, going)
        coming, ending, group, valid, ends = self._delayed(m, row, advance)
        blocked = Signal()
        m.d.comb += [
            row.o.ready.eq(advance),
            finish.eq(ending & advance),
            blocked.eq(finish | (self.o.valid & ~self.o.ready)),
        ]
        # All ranks from the row on move together. What stops them has far to go, so it is found
        # out a cycle before: a last plane waits until the sums before it are seen to be taken.
        m.d.comb += going.eq(~(blocked & (coming | ~advance)))
        m.d.sync += advance.eq(going)
        with m.If(finish):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        self._describe(m, group, finish)
        for index in range(self.parameters.columns):
            selects = row.selects[index * self.parameters.copies // self.parameters.columns]
            take, load = takes[index % len(takes)], loads[index % len(loads)]
            own = advances[index % len(advances)]
            plane_sum, scale = self._add_column(m, index, selects, take, load, own)
            m.d.comb += [
                Cat(plane_sum.first, plane_sum.last).eq(ends[index % len(ends)]),
                plane_sum.enable.eq(valid & own),
            ]
            self._put_out(m, index, plane_sum, scale, own & plane_sum.last)
        return m

    def _admit(self, m, planes, row, going):
        """Pass planes to the row; one that begins a group with ``load`` brings its weights.

        Return what lets weights into the columns' ranks, and what loads the tables, in copies. That
        reaches every bit of them: so a plane waits a rank before the row, and a register says that
        it moves on.
        """
        plane, weights = planes.payload, self.i_weights
        late = self.parameters.late
        wants, there, admitted, brings = Signal(), Signal(), Signal(), Signal(attrs=late)
        m.d.comb += [
            wants.eq(plane.first & plane.group.load),
            admitted.eq(~wants | there),
            row.i.payload.eq(plane),
            row.i.valid.eq(planes.valid & admitted),
            planes.ready.eq(row.i.ready & admitted),
            brings.eq(row.i.valid & wants),
        ]
        if not self.parameters.ranked:
            load = weights.ready
            m.d.comb += [there.eq(weights.valid), load.eq(brings & row.i.ready)]
            return [Const(0)], [load]
        # A group has two planes at least: its weights are gone before the next one asks for some.
        waits, moves = Signal(), Signal(attrs=late)
        with m.If(row.i.ready):
            m.d.sync += waits.eq(brings)
        m.d.comb += moves.eq(going & Mux(row.i.ready, brings, waits))
        loads = copies(m, "load", [moves], 1, self.parameters.loads)
        # Weights wait in the columns until they are loaded; then the next ones come.
        stays, comes = Signal(), Signal()
        m.d.comb += [comes.eq(weights.valid & weights.ready), stays.eq(comes | (there & ~loads[0]))]
        m.d.sync += [there.eq(stays), weights.ready.eq(moves | ~stays)]
        takes = []
        for number, load in enumerate(loads):
            # Each by itself, for its columns: what comes and goes is all that it hears from afar.
            full, kept = Signal(name=f"there_{number}"), Signal(name=f"stays_{number}")
            take = Signal(name=f"take_{number}", init=1)
            m.d.comb += kept.eq(comes | (full & ~load))
            m.d.sync += [full.eq(kept), take.eq(moves | ~kept)]
            takes.append(take)
        return takes, loads

    def _delayed(self, m, row, advance):
        """Delay planes as the ranks in the plane sums do.

        Return whether a last plane comes next, and whether one is behind all ranks; of the plane
        that is there its group, whether it is valid, and whether it is first, and last and valid,
        in copies for the columns.
        """
        coming, ending = row.i.valid & row.i.payload.last, row.o.valid & row.o.payload.last
        valid, group = row.o.valid, row.o.payload.group
        ends = [Cat(row.o.payload.first, ending)]
        for rank, count in enumerate(self.parameters.ends):
            coming, ending = ending, Signal(name=f"ending_{rank}")
            was_valid, valid = valid, Signal(name=f"valid_{rank}")
            before, group = group, Signal.like(group, name=f"group_{rank}", reset_less=True)
            ends = copies(m, f"ends_{rank}", ends, advance, count)
            with m.If(advance):
                m.d.sync += [ending.eq(coming), valid.eq(was_valid), group.eq(before)]
        return coming, ending, group, valid, ends

    def _describe(self, m, group, finish):
        """Keep what goes with the sums of the group that ends."""
        kept = Signal.like(group, reset_less=True)
        with m.If(finish):
            m.d.sync += kept.eq(group)
        for field in ("exponent", "index", "begin", "end"):
            m.d.comb += self.o.payload[field].eq(kept[field])

    def _add_column(self, m, index, selects, take, load, advance):
        """Add one column's tables and plane sum; return that and its scale."""
        weights = self.i_weights.payload
        column = Cell(Column, self.parameters.column)
        plane_sum = Cell(PlaneSum, self.parameters.plane_sum)
        m.submodules[f"column_{index}"] = column
        m.submodules[f"plane_sum_{index}"] = plane_sum
        m.d.comb += [
            column.codes.eq(weights.codes[index]),
            column.zero.eq(weights.zeros[index]),
            column.load.eq(load),
            plane_sum.tables.eq(column.tables),
            plane_sum.selects.eq(selects),
        ]
        scale, coming = Signal(16, reset_less=True), weights.scales[index]
        ranks = self.parameters.plane_sum.rank_rows
        if ranks:
            m.d.comb += [plane_sum.advance.eq(advance), column.take.eq(take)]
            coming = delayed(m, coming, take, 1, "coming_scale")
        with m.If(load):
            m.d.sync += scale.eq(coming)
        return plane_sum, delayed(m, scale, advance, len(ranks), "scale")

    def _put_out(self, m, index, plane_sum, scale, finish):
        """Put a column's sum and scale where the contract has them."""
        summed_scale = Signal(16, reset_less=True)
        m.d.comb += [
            self.o.payload.sums[index].eq(Cat(plane_sum.low, plane_sum.high).as_signed()),
            self.o.payload.scales[index].eq(summed_scale),
        ]
        with m.If(finish):
            m.d.sync += summed_scale.eq(scale)
