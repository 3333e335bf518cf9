"""Sums of passes become rounded sums of scale groups."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.compressor_tree import as_rows, carry_save, compress_rows, reduce_levels
from lamina.arith.int_to_fp32 import IntToFp32, IntToFp32Parameters
from lamina.arith.pipeline import delayed
from lamina.formats.ieee import FP16
from lamina.formats.packed import scaled_sum_layout
from lamina.formats.window import window_scale_layout
from lamina.pacq.finish import round_sum
from lamina.pacq.late_carry import add_with_one
from lamina.pacq.layouts import UNIT_EXPONENT, special_layout
from lamina.pacq.window_array import WindowArrayParameters
from lamina.pacq.window_rows import LOWEST
from lamina.stream.buffer import SkidBuffer, SkidBufferParameters
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["WindowFinish", "WindowFinishParameters"]

#: Scale groups whose scales fit beside each other: one at work, others sent ahead.
_BANKS = 4
#: Bits of the largest finite FP16 in its least unit.
_LARGEST_BITS = 40
#: Rows in the rank within the multiplication.
_RANK_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class WindowFinishParameters(WindowArrayParameters):
    """As `WindowArrayParameters`; ``stages_per_rank`` also of the rounding."""

    @property
    def index_width(self) -> int:
        """Bits of an output's number: tile * outputs + output."""
        return self.index_bits + (self.outputs - 1).bit_length()

    @property
    def pass_sum_bits(self) -> int:
        """Width of an output's sum over a pass, in units of its window."""
        return self.window_bits + (self.lanes * self.steps).bit_length() + self.weight_bits

    @property
    def group_sum_bits(self) -> int:
        """Width of an output's sum over a group, in units of 2^-24."""
        return _LARGEST_BITS + (self.lanes * self.steps).bit_length() + self.weight_bits

    @property
    def tag_shape(self) -> data.StructLayout:
        """What goes with a sum through the ranks."""
        fields = dict(scaled_sum_layout(self.index_width).members)
        names = ("scale", "index", "begin", "end")
        return data.StructLayout({name: fields[name] for name in names})

    @property
    def lacking(self) -> int:
        """What a sum of a pass lacks because its bits are inverted, a negative number."""
        element = self.element
        return 1 - sum(1 << place for place in [element.total_bits, *element.late_places])

    @property
    def excess_shape(self) -> Shape:
        """That, and what turned signs add up to, in whole units of 2^window_bits."""
        high = self.lacking >> self.window_bits
        return Shape.cast(range(high, self.steps * self.element.rows + high + 1))

    @property
    def multiplied(self) -> data.StructLayout:
        """A sum of a pass without what its codes exceed the weights by."""
        fields = {name: self.sum_shape.members[name] for name in _BESIDE}
        return data.StructLayout(
            {"sum": signed(self.pass_sum_bits), **fields, "tag": self.tag_shape}
        )

    @property
    def partial(self) -> data.StructLayout:
        """The exact sum of a group up to a pass, and what is no number in it."""
        fields = {"sum": signed(self.group_sum_bits), "special": special_layout()}
        return data.StructLayout(fields)

    @property
    def joined(self) -> data.StructLayout:
        """The same on its way."""
        beside = {"done": 1, "output": self.sum_shape.members["output"]}
        return data.StructLayout({**self.partial.members, **beside, "tag": self.tag_shape})

    @property
    def placed(self) -> data.StructLayout:
        """A sum of a pass moved to its place; ``start``: of the first pass."""
        return data.StructLayout({**self.joined.members, "start": 1})

    @property
    def converter(self) -> IntToFp32Parameters:
        """Parameters of the one rounding."""
        return IntToFp32Parameters(
            width=self.group_sum_bits,
            exponent_bits=6,
            tag_bits=self.tag_shape.size + 2,
            stages_per_rank=self.stages_per_rank,
        )

    @property
    def result(self) -> SkidBufferParameters | None:
        """Of the register slice behind the rounding, which lets the ranks before it move."""
        layout = scaled_sum_layout(self.index_width)
        return SkidBufferParameters(shape=layout) if self.split else None

    @property
    def ranks(self) -> int:
        """Ranks before the rounding: entry, multiplied, joined; rows and placed sums if split."""
        return 3 + 2 * self.split

    @property
    def scales(self) -> BlockMemoryParameters:
        """Parameters of the memory of scales and zero points."""
        width = window_scale_layout().size
        return BlockMemoryParameters(width=width, depth=_BANKS * self.columns)

    @property
    def partials(self) -> BlockMemoryParameters:
        """Parameters of the memory of partial sums."""
        return BlockMemoryParameters(width=self.partial.size, depth=self.outputs)

    @property
    def latency(self) -> int:
        """Cycles from an output's sum over the last pass to its rounded sum."""
        slice_ = self.result.latency if self.result else 0
        return self.ranks + self.converter.latency + slice_

    @property
    def throughput(self) -> int:
        """Sums per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Ranks, memories, and the places in the memory of scales."""
        ranks = self.sum_shape.size + self.multiplied.size + self.joined.size + self.ranks
        # In place of the steps what they add in excess.
        ranks += self.excess_shape.width - self.steps.bit_length()
        places = 2 * self.scales.address_bits + self.scales.depth.bit_length()
        if self.split:
            beside = self.multiplied.size - self.pass_sum_bits
            ranks += _RANK_ROWS * self.pass_sum_bits + beside
            ranks += self.joined.size + 1 + self.result.storage_bits
        memories = self.scales.storage_bits + self.partials.storage_bits
        return ranks + self.converter.storage_bits + memories + places


_BESIDE = ("base", "output", "nan", "infinite", "start", "done")


class WindowFinish(wiring.Component):
    """Turns the sums of passes into the rounded sums of scale groups.

    Members
    -------
    i : In(stream) of ``parameters.sum_shape``
    i_scales : In(stream) of `window_scale_layout`
        For each group one of each column, in ascending order; up to four groups ahead.
    o : Out(stream) of `scaled_sum_layout`
        Behind the last pass of each group one sum of each output, row by row.

    Timing: a sum a cycle; the ranks advance together. A partial sum is read two cycles before it is
    written, and comes again a pass later: it never meets itself.

    Numerics: sum(A * B) = sum(A * code) - (offset + zero point) * sum(A), exact in the unit of the
    window; moved to its place above 2^-24, added exactly to what the passes before have, and
    rounded once to nearest even. Inf and NaN by IEEE's rules.
    """

    def __init__(self, parameters: WindowFinishParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.sum_shape)),
                "i_scales": In(stream.Signature(window_scale_layout())),
                "o": Out(stream.Signature(scaled_sum_layout(p.index_width))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.converter = converter = IntToFp32(p.converter)
        o, advance, enters = self.o, converter.i.ready | ~converter.i.valid, Const(1)
        if p.result:  # straight from a register then; the converter may run ahead of the ranks
            m.submodules.result = result = SkidBuffer(p.result)
            wiring.connect(m, result.o, wiring.flipped(self.o))
            o = result.i
            advance = enters = o.ready
        there = Signal()
        m.d.comb += self.i.ready.eq(advance & there)
        scale = self._scales(m, there)
        valid = self._valid(m, advance, self.i.valid & there)
        # Whether a sum moves into a rank. Hundreds of registers wait for this on FPGAs: there they
        # move without one too.
        moves = [advance if p.split else advance & coming for coming in valid[:-1]]
        entry = Signal(p.sum_shape, reset_less=True)
        # The same for all sums of a pass, found a rank early.
        excess = Signal(p.excess_shape, reset_less=True)
        steps, high = self.i.p.steps, p.lacking >> p.window_bits
        with m.If(moves[0]):
            m.d.sync += [entry.eq(self.i.p), excess.eq(steps * p.element.rows + high)]
        multiplied = self._multiply(m, platform, moves[1], entry, excess, scale)
        m.submodules.partials = partials = BlockMemory(p.partials)
        # In time for the rank in which it is added.
        reading = multiplied if p.split else entry
        m.d.comb += [
            partials.read_enable.eq(moves[1] & ~reading.start),
            partials.read_address.eq(reading.output),
        ]
        before = data.View(p.partial, partials.read_data)
        joined = self._join(m, moves[2], multiplied, before)
        m.d.comb += [
            partials.write_enable.eq(valid[-1] & ~joined.done),
            partials.write_address.eq(joined.output),
            partials.write_data.eq(Cat(joined.sum, joined.special)),
            converter.i.valid.eq(valid[-1] & joined.done & enters),
            converter.i.p.value.eq(joined.sum),
            converter.i.p.exponent.eq(UNIT_EXPONENT),
        ]
        round_sum(m, converter, joined.special, joined.tag.as_value(), o)
        return m

    def _valid(self, m, advance, coming):
        """Return whether there is a sum: coming, and in each of the ranks."""
        valid = [coming]
        for rank in range(self.parameters.ranks):
            there = Signal(name=f"valid_{rank}")
            with m.If(advance):
                m.d.sync += there.eq(valid[-1])
            valid.append(there)
        return valid

    def _scales(self, m, there):
        """Keep scales until their groups are done; return that of the sum in the first rank."""
        p = self.parameters
        m.submodules.scales = memory = BlockMemory(p.scales)
        level = Signal(range(p.scales.depth + 1))
        write, start = Signal(p.scales.address_bits), Signal(p.scales.address_bits)
        coming = self.i_scales.valid & self.i_scales.ready
        going = self.i.valid & self.i.ready
        leaving = going & self.i.p.last & self.i.p.done
        place = Signal(p.scales.address_bits)
        m.d.comb += [
            self.i_scales.ready.eq(level != p.scales.depth),
            there.eq(level >= p.columns),
            place.eq(start + self.i.p.column),
            memory.write_enable.eq(coming),
            memory.write_address.eq(write),
            memory.write_data.eq(self.i_scales.payload),
            memory.read_enable.eq(going),
            memory.read_address.eq(place),
        ]
        with m.If(coming):
            m.d.sync += write.eq(Mux(write == p.scales.depth - 1, 0, write + 1))
        with m.If(leaving):
            m.d.sync += start.eq(Mux(start == p.scales.depth - p.columns, 0, start + p.columns))
        m.d.sync += level.eq(level + coming - Mux(leaving, p.columns, 0))
        return data.View(window_scale_layout(), memory.read_data)

    def _multiply(self, m, platform, moves, entry, excess, scale):
        """Take out of a sum what its codes exceed the weights by, times the row's sum."""
        p = self.parameters
        bits = p.weight_bits
        # Adding 2^(bits - 1) to a number of so many bits turns its top bit around.
        offset = Cat(scale.zero[: bits - 1], ~scale.zero[bits - 1])
        columns = [[] for _ in range(p.pass_sum_bits)]
        self._add(columns, entry.total)
        self._add(columns, excess, p.window_bits)
        for place, carry in zip(p.element.late_places, entry.late, strict=True):
            self._add(columns, carry, place)
        for j in range(bits):
            self._add(columns, Mux(offset[j], entry.row_sum, 0).as_signed(), j)
        for place in range(p.window_bits):  # each has bits of two rows at least
            if p.lacking >> place & 1:
                total, carry = add_with_one(columns[place].pop(), columns[place].pop())
                columns[place].append(total)
                columns[place + 1].append(carry)
        tag = Cat(scale.scale, entry.output, entry.index, entry.begin, entry.end)
        beside = Cat(*(entry[name] for name in _BESIDE), tag)
        if p.split:
            rows = as_rows(reduce_levels(m, platform, columns, _RANK_ROWS), _RANK_ROWS)
            rows = [delayed(m, row, moves, 1, f"row_{n}") for n, row in enumerate(rows)]
            beside = delayed(m, beside, moves, 1, "beside")
            total = compress_rows(m, platform, rows, p.pass_sum_bits)
        else:
            total = sum(carry_save(m, platform, columns, reduce_levels))
        multiplied = Signal(p.multiplied, reset_less=True)
        fields = [multiplied[name] for name in (*_BESIDE, "tag")]
        with m.If(moves):
            m.d.sync += [multiplied.sum.eq(total), Cat(*map(Value.cast, fields)).eq(beside)]
        return multiplied

    def _join(self, m, moves, one, before):
        """Move a sum to its place and add it to those of the passes before."""
        p = self.parameters
        own, placed = Signal(special_layout()), Signal(signed(p.group_sum_bits))
        zero = ~one.sum.any()
        m.d.comb += [
            placed.eq(one.sum << (one.base - LOWEST)[: FP16.exponent_bits]),
            own.nan.eq(one.nan | (one.infinite & zero)),
            own.plus.eq(one.infinite & ~zero & ~one.sum[-1]),
            own.minus.eq(one.infinite & one.sum[-1]),
        ]
        here = Signal(p.placed, reset_less=True)
        names = ("output", "done", "tag", "start")
        values = [here.sum.eq(placed), here.special.eq(own)]
        values += [here[name].eq(one[name]) for name in names]
        if p.split:
            with m.If(moves):
                m.d.sync += values
        else:
            m.d.comb += values
        joined = Signal(p.joined, reset_less=True)
        with m.If(moves):
            m.d.sync += [
                joined.sum.eq(here.sum + Mux(here.start, 0, before.sum)),
                joined.special.eq(
                    here.special.as_value() | Mux(here.start, 0, before.special.as_value())
                ),
                *(joined[name].eq(here[name]) for name in names[:-1]),
            ]
        return joined

    @staticmethod
    def _add(columns, value, place=0):
        """Put the bits of ``value`` into columns from ``place`` on, its sign up to the top."""
        for column in range(place, len(columns)):
            if column - place < len(value):
                columns[column].append(value[column - place])
            elif value.shape().signed:
                columns[column].append(value[-1])
