"""iFPU: groups of aligned integers times columns of weights, one plane of weights a cycle."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data

from lamina.arith.adder_tree import AdderTreeParameters
from lamina.arith.pipeline import Pipeline, PipelineParameters, delayed
from lamina.baseline.integer_element import IntegerElement, IntegerElementParameters
from lamina.cell import Cell
from lamina.formats.anda import GROUP
from lamina.parameters import check_range

__all__ = ["Ifpu", "IfpuParameters"]


@dataclass(frozen=True, kw_only=True)
class SignedSumParameters(PipelineParameters):
    """``mantissa_bits`` M of an activation, and `PipelineParameters`.

    From 64 ``values`` and a plane of weights to their sum: each value counts +1 times where its bit
    of ``plane`` is set, else -1 times; with ``last``, 0 times and -1 times.
    """

    mantissa_bits: int

    def __post_init__(self):
        super().__post_init__()
        check_range("mantissa_bits", self.mantissa_bits, 1, 16)

    @property
    def operands(self):
        values = data.ArrayLayout(signed(self.mantissa_bits + 1), GROUP)
        return {"values": values, "plane": unsigned(GROUP), "last": unsigned(1)}

    @property
    def results(self):
        return {"sum": signed(self.mantissa_bits + 1 + 6)}

    @property
    def stages(self):
        tree = AdderTreeParameters(inputs=GROUP, width=self.mantissa_bits + 1)
        return (self._apply_plane, *tree.stages)

    def _apply_plane(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        terms = []
        for value, bit in zip(data.View(self.operands["values"], x.values), x.plane, strict=True):
            term = Signal(signed(self.mantissa_bits + 1))
            counted = value & ~(x.last & bit).replicate(len(value))
            m.d.comb += term.eq(Mux(x.last | ~bit, -counted.as_signed(), counted.as_signed()))
            terms.append(term)
        return {"values": Cat(terms)}


class SignedSum(Pipeline):
    """Adds 64 signed values. Parameters: `SignedSumParameters`; see `Pipeline`."""


@dataclass(frozen=True, kw_only=True)
class IfpuParameters(IntegerElementParameters):
    """As `IntegerElementParameters`. ``stages_per_rank``: the sum of a plane has 7 stages."""

    @property
    def steps(self) -> int:
        """Cycles per group: one for each plane of the weights."""
        return self.entry_bits

    @property
    def dot(self) -> SignedSumParameters:
        """Parameters of each column's sum over a plane."""
        return SignedSumParameters(
            mantissa_bits=self.mantissa_bits, stages_per_rank=self.stages_per_rank
        )

    @property
    def sum_bits(self) -> int:
        """Bits of a group's sum."""
        return self.mantissa_bits + self.entry_bits + 6

    @property
    def latency(self) -> int:
        """Cycles from a group accepted to its sums valid."""
        return 1 + (self.steps - 1) + self.dot.latency + 1 + self.slice_latency

    @property
    def storage_bits(self) -> int:
        """Operands, the plane's number, plane sums, running sums, and what goes beside."""
        columns = self.columns * (self.dot.storage_bits + self.sum_bits)
        beside = (self.dot.latency + 1) * self.beside_layout.size + 2 * self.dot.latency
        return 3 + (self.steps - 1).bit_length() + self.operand_bits + columns + beside


class Ifpu(IntegerElement):
    """Multiply groups of 64 integers by columns of 64 weights, a plane of the weights at a time.

    Ports: `IntegerElement`.

    Timing
    ------
    One group in ``parameters.steps`` cycles, new weights included; ``parameters.latency`` cycles.

    Numerics
    --------
    B = code - zero point, of n bits, is sum over j from 1 of +-2^(j - 1), by bit j of
    B + 2^(n - 1), and 0 or -1, by bit 0. So planes of weights, most significant first, add or
    subtract all activations, sum = 2 * sum + plane sum; the last plane subtracts some of them and
    is not shifted to. The result is the exact sum of values * B.

    Source: iFPU (ICLR 2023), as the Anda paper compares with it.
    """

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        advance, valid, last, summing = Signal(), Signal(), Signal(), Signal()
        step = Signal(range(p.steps))
        take, load = self._admit(m, ~valid | (advance & last))
        results, valid_result = self._results(m), Signal()
        values = Signal(self.i.payload["values"].shape(), reset_less=True)
        with m.If(take):
            m.d.sync += [valid.eq(1), step.eq(0), values.eq(self.i.payload["values"])]
            m.d.sync += last.eq(p.steps == 1)
        with m.Elif(valid & advance):
            m.d.sync += [valid.eq(~last), step.eq(step + 1), last.eq(step == p.steps - 2)]
        beside = delayed(m, self._describe(m, take, load), summing, p.dot.latency)
        flags = delayed(m, Cat(step == 0, last), summing, p.dot.latency)
        go = Signal()
        # The weights' own way to `load`, or a turn: whether they move is all that comes late.
        fresh, move = Signal(), Signal()
        m.d.comb += [
            fresh.eq(self.i.valid & self.i.payload.load & self.i_weights.valid & (last | ~valid)),
            move.eq(Mux(valid, advance, fresh)),
        ]
        columns = [self._add_column(m, index, move, fresh) for index in range(p.columns)]
        # A slice is ready before anything is in it, so nothing needs to fill up towards it, and
        # the operands move on by its word alone.
        free = results.ready if p.slice else results.ready | ~valid_result
        sums = []
        for column in columns:
            m.d.comb += [
                column.i.payload["values"].eq(values),
                column.i.payload.last.eq(last),
                column.i.valid.eq(valid & advance),
                column.o.ready.eq(free),
            ]
            sums.append(self._accumulate(m, column, go, *flags))
        m.d.comb += [
            summing.eq(columns[0].i.ready),
            advance.eq(results.ready if p.slice else summing),
            go.eq(columns[0].o.valid & columns[0].o.ready),
        ]
        with m.If(columns[0].o.ready):
            m.d.sync += valid_result.eq(columns[0].o.valid & flags[1])
        m.d.comb += results.valid.eq(valid_result)
        self._put_out(m, results.payload, sums, delayed(m, beside, go & flags[1], 1))
        return m

    def _add_column(self, m, index, move, fresh):
        """Add one column's weights, which turn by a plane a step, and the sum over a plane."""
        column = Cell(SignedSum, self.parameters.dot)
        m.submodules[f"sum_{index}"] = column
        weights = [
            Signal(self.parameters.entry_bits, name=f"weight_{index}_{lane}", reset_less=True)
            for lane in range(GROUP)
        ]
        entries = self._entries(m, index)
        with m.If(move):
            for weight, entry in zip(weights, entries, strict=True):
                # Offset binary: the top bit the other way round.
                stored = Cat(entry[:-1], ~entry[-1])
                m.d.sync += weight.eq(Mux(fresh, stored, weight.rotate_left(1)))
        m.d.comb += column.i.payload.plane.eq(Cat(weight[-1] for weight in weights))
        return column

    def _accumulate(self, m, column, go, first, last):
        """Add a plane's sum to twice the sum before it; after the last plane that is the result."""
        running = Signal(signed(self.parameters.sum_bits), reset_less=True)
        before = Mux(first, 0, Mux(last, running, running << 1))
        with m.If(go):
            m.d.sync += running.eq(before + column.o.payload.sum)
        return running
