"""One output of the windowed dot product: selects, compressor and accumulator."""

from dataclasses import dataclass

from amaranth.hdl import Const, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.compressor_tree import as_rows, compress_rows, reduce_levels
from lamina.arith.pipeline import delayed
from lamina.cells import and_or_select
from lamina.formats.packed import LANES
from lamina.pacq.late_carry import accumulate, late_places
from lamina.parameters import check_choice, check_power_of_two, check_range

__all__ = ["FINE_LIMITS", "WindowElement", "WindowElementParameters", "pair_layout"]

#: Columns below which few steps have a bit, and the accumulators' flip-flops seldom a clock.
FINE_LIMITS = (8, 11)

#: Rows in the rank within the tree. Before it there are selects, whose codes drive whole rows.
_RANK_ROWS = 4


def pair_layout(window_bits: int) -> data.StructLayout:
    """Return what the weight bits of two activations choose from: minus each, minus their sum."""
    bits = unsigned(window_bits)
    return data.StructLayout({"one": bits, "other": bits, "both": unsigned(window_bits + 1)})


@dataclass(frozen=True, kw_only=True)
class WindowElementParameters:
    """Of one output.

    Parameters
    ----------
    window_bits : int, 16 to 41
        Of an aligned activation, sign included.
    weight_bits : int, 2 or 4
        Of a weight code.
    lanes : int, 2 to 16
        Activations of a step, a power of two.
    steps : int, 1 to 65536
        Most steps that are added up.
    carry_limit : int, 40 to 1000
        Tenths of a full adder's delay after which a carry waits for the next cycle.
    stages_per_rank : int, 1 to 16
        1, for FPGAs: there are ranks within the tree and before the accumulator, whose carry chain
        runs all along it: no carry is late. Else there is neither.
    """

    window_bits: int = 30
    weight_bits: int = 4
    lanes: int = LANES
    steps: int = 32
    carry_limit: int = 130
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("window_bits", self.window_bits, 16, 41)
        check_choice("weight_bits", self.weight_bits, (2, 4))
        check_power_of_two("lanes", self.lanes, 2, 16)
        check_range("steps", self.steps, 1, 1 << 16)
        check_range("carry_limit", self.carry_limit, 40, 1000)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def split(self) -> bool:
        """Whether there are ranks within the tree and before the accumulator."""
        return self.stages_per_rank == 1

    @property
    def rows(self) -> int:
        """Sum of the weights 2^j of all rows of a step."""
        return self.lanes // 2 * ((1 << self.weight_bits) - 1)

    @property
    def step_bits(self) -> int:
        """Width of the sum of a step's rows, which is unsigned."""
        return (self.rows * ((2 << self.window_bits) - 1)).bit_length()

    @property
    def total_bits(self) -> int:
        """Width of the accumulator, which is unsigned."""
        return (self.steps * self.rows * ((2 << self.window_bits) - 1)).bit_length()

    @property
    def heights(self) -> list[int]:
        """Bits of rows in each column."""
        rows = range(self.weight_bits)
        width = range(self.total_bits)
        return [self.lanes // 2 * sum(j <= c <= j + self.window_bits for j in rows) for c in width]

    @property
    def late_places(self) -> list[int]:
        """Columns of the late carries."""
        return [] if self.split else late_places(self.heights, self.carry_limit)

    @property
    def ends(self) -> list[int]:
        """Ends of the columns of each enable; a late carry's own needs that of all steps."""
        most = min(self.late_places, default=self.total_bits)
        fine = () if self.split else FINE_LIMITS
        return [*(min(limit, most) for limit in fine), self.total_bits]

    @property
    def total_shape(self) -> data.StructLayout:
        """The sum: ``total`` and ``late`` carries, in their places of ``late_places``."""
        fields = {"total": unsigned(self.total_bits), "late": unsigned(len(self.late_places))}
        return data.StructLayout(fields)

    @property
    def latency(self) -> int:
        """Cycles from operands to the registers that hold their sum."""
        return 1 + 2 * self.split

    @property
    def throughput(self) -> int:
        """Steps per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Flip-flops: the accumulator, and the late carries or the ranks before it."""
        ranks = (_RANK_ROWS + 1) * self.step_bits + 2 * 2 if self.split else 0
        return self.total_shape.size + ranks


class WindowElement(wiring.Component):
    """Sums aligned activations times stored codes, ``lanes`` of both a step.

    Members
    -------
    enables, first : In
        There is a step that has bits in the columns of ``parameters.ends``, in any for the last; it
        starts the sum anew, with all enables.
    pairs : In
        Minus the activations 0, 1 and 2, 3 and so on, and minus the sums of both.
    codes : In
        Stored codes, one per activation.
    sum : Out, ``parameters.total_shape``
        As the accumulator takes it, ``parameters.latency`` - 1 cycles later. With all bits inverted
        it is the sum of minus the activations with this step in it, plus steps * ``rows`` *
        2^window_bits.

    Structure: bit j of the codes of two activations selects none, one, the other or both of them:
    one AND-OR-INVERT gate per bit. All that is added is inverted, as these gates give it. Sign bits
    are turned around, which adds 2^window_bits and makes rows unsigned: so the accumulator is one
    more row of the same compressor and nothing is extended. What this adds is the same in every
    step. Columns in which a step has no bits do not change, and have no clock if ``enables`` says
    so.
    """

    def __init__(self, parameters: WindowElementParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "enables": In(len(p.ends)),
                "first": In(1),
                "pairs": In(data.ArrayLayout(pair_layout(p.window_bits), p.lanes // 2)),
                "codes": In(data.ArrayLayout(unsigned(p.weight_bits), p.lanes)),
                "sum": Out(p.total_shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        columns = [[] for _ in range(p.total_bits)]
        for pair, table in enumerate(self.pairs):
            a, b = self.codes[2 * pair], self.codes[2 * pair + 1]
            one, other = (value.as_signed() for value in (table.one, table.other))
            values = [Signal(p.window_bits + 1) for _ in range(3)]
            m.d.comb += [
                values[0].eq(one), values[1].eq(other), values[2].eq(table.both),
            ]  # fmt: skip
            for j in range(p.weight_bits):
                selects = (a[j] & ~b[j], ~a[j] & b[j], a[j] & b[j])
                selected = and_or_select(m, platform, selects, values)
                for place, bit in enumerate(selected[:-1]):
                    columns[j + place].append(bit)
                columns[j + p.window_bits].append(~selected[-1])
        if p.split:
            m.d.comb += self.sum.total.eq(self._accumulate(m, platform, columns[: p.step_bits]))
            return m
        total, late = accumulate(
            m, platform, columns, first=self.first, limit=p.carry_limit,
            enables=list(zip(p.ends, self.enables, strict=True)),
        )  # fmt: skip
        m.d.comb += [self.sum.total.eq(total), self.sum.late.eq(late)]
        return m

    def _accumulate(self, m, platform, columns):
        """Return the sum with these bits in it, of which ranks and accumulator are built."""
        p, always = self.parameters, Const(1)
        columns = [[~bit for bit in column] for column in columns]
        rows = as_rows(reduce_levels(m, platform, columns, _RANK_ROWS), _RANK_ROWS)
        rows = [delayed(m, row, always, 1, f"row_{n}") for n, row in enumerate(rows)]
        step = delayed(m, compress_rows(m, platform, rows, p.step_bits), always, 1, "step")
        first = delayed(m, self.first, always, 2, "first")
        total, following = Signal(p.total_bits, reset_less=True), Signal(p.total_bits)
        m.d.comb += following.eq((total | first.replicate(p.total_bits)) - step)
        with m.If(delayed(m, self.enables, always, 2, "enable")):
            m.d.sync += total.eq(following)
        return following
