"""Beat sum: several planes of activations times one column of weights a cycle, summed serially."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.pairs import select_entries
from lamina.arith.compressor_tree import Inverse, reduce_columns
from lamina.formats.anda import GROUP, MANTISSA_BITS_MAX, PAIRS, pair_table_layout
from lamina.parameters import check_choice, check_range

__all__ = ["PLANE_LEVELS", "BeatSum", "BeatSumParameters"]

#: Chains of a binary tree, one behind the other, that add up a plane.
PLANE_LEVELS = (GROUP - 1).bit_length()

#: Of them, those without registers between: a stage.
_STAGE_LEVELS = 2


@dataclass(frozen=True, kw_only=True)
class BeatSumParameters:
    """What a beat sum is built for.

    ``entry_bits``: width of a weight after its zero point was taken off. ``planes`` a cycle: 1, 2
    or 4. ``step``: cycles after the sum is complete in which it is read. ``stages_per_rank``: after
    so many stages comes a rank of registers; with ranks it is a `ChainSum`, without, from 4 on, or
    3 for one plane a cycle, a `BeatSum`.
    """

    entry_bits: int
    planes: int = 1
    step: int = 0
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("entry_bits", self.entry_bits, 2, 9)
        check_choice("planes", self.planes, (1, 2, 4))
        check_range("step", self.step, 0, 16)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def rank_levels(self) -> range:
        """Levels of a tree of chains behind which there is a rank: two at least come after it."""
        levels = PLANE_LEVELS + self.planes.bit_length()
        step = _STAGE_LEVELS * self.stages_per_rank
        return range(step, levels - 1, step)

    @property
    def chains(self) -> bool:
        """Whether it is a `ChainSum`."""
        return bool(self.rank_levels)

    @property
    def constant(self) -> int:
        """C: what the inverted entries of a plane add to, if its sum is 0."""
        return PAIRS * ((1 << self.entry_bits) - 1)

    @property
    def running_bits(self) -> int:
        """Of the running sum: a plane's inverted entries add to less than 2^(entry_bits + 6)."""
        return self.entry_bits + 6 + self.planes

    @property
    def high_bits(self) -> int:
        """Of the running sum, those that decide a group's sum, fraction included."""
        return self.running_bits - 1

    @property
    def carry_places(self) -> tuple[int, ...]:
        """Places of the running sum where a carry waits for the next beat, and runs no further.

        They are above the planes' bits, where one column's last carry is the next one's last bit.
        Of all choices of two these made the shortest path, by OpenSTA.
        """
        return () if self.chains else tuple(self.running_bits - below for below in (5, 3))

    @property
    def low_bits(self) -> int:
        """Bits of the result that have left the running sum."""
        return MANTISSA_BITS_MAX - (self.planes - 1)

    @property
    def latency(self) -> int:
        """Cycles from the last beat to the sum."""
        return 1 + len(self.rank_levels) + self.step

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return f"{self.planes} planes a cycle"

    @property
    def storage_bits(self) -> int:
        """Running sum, its carries and low bits, the snapshot, and the ranks."""
        carries = len(self.carry_places)
        snapshot = self.high_bits + carries if self.step else 0
        sums = self.running_bits + carries + self.low_bits + self.planes * self.step + snapshot
        ranks = ((PAIRS >> level - 1) * (self.entry_bits + level) for level in self.rank_levels)
        return sums + self.planes * sum(ranks)

    def columns(self, selected: Sequence[Sequence[Value]]) -> list[list[Value | Inverse]]:
        """Sort the bits of the ``selected`` entries of each plane by weight, but the top one's
        inverted again.
        """
        columns: list[list[Value | Inverse]] = [[] for _ in range(self.running_bits)]
        for place, entries in enumerate(selected):
            for weight in range(self.entry_bits):
                columns[place + weight] += [entry[weight] for entry in entries]
            columns[place + self.entry_bits] += [Inverse(entry[-1]) for entry in entries]
        return columns


class BeatSum(wiring.Component):
    """Sum, over planes LSB first, of plane j times the weights of a column times 2^j, exactly.

    Members
    -------
    advance : In(1)
        All registers take what is before them; in other cycles nothing happens.
    selects : In(ArrayLayout(ArrayLayout(unsigned(3), PAIRS), planes))
        The beat's planes, as `decode_pairs` gives them, the one of the least weight first.
    tables : In(ArrayLayout(pair_table_layout(entry_bits), PAIRS))
        The weights.
    first : In(1)
        The beat in the tree's last stage is the first of its group.
    take : In(1), if ``step`` is not 0
        The cycle after the group's last beat was added: the sum is complete.
    high : Out(unsigned(high_bits)), low : Out(unsigned(low_bits))
        In the cycle ``step`` after that: the sum, see below.
    carries : Out(len(carry_places)), if there are any
        With ``high``: bits to be added to it at ``carry_places``.

    Numerics
    --------
    With a plane's exact sum T_j, L planes, R = C * 2^L - 1 - sum_j 2^j T_j is ``high``, with its
    carries, and ``low`` below it, of which the top planes * (beats - 1) bits count. The select
    cells invert, and but their top bits, after some of them are added, nothing is inverted back: so
    the 32 selected entries of a plane add to N_j = C - T_j >= 0, and the tree needs no sign
    extension. The sum G' = floor(G / 2^planes) + sum_p 2^p N_p is one more row of the tree, with
    the carries that wait; what it drops are final low bits. They shift on, and are read before the
    next group's push them out: for each cycle that they wait the shift register is ``planes`` bits
    longer, and they need no snapshot.
    """

    def __init__(self, parameters: BeatSumParameters):
        self.parameters = p = parameters
        super().__init__(
            ({"take": In(1)} if p.step else {})
            | {
                "advance": In(1),
                **self._operands(),
                "first": In(1),
                "high": Out(unsigned(p.high_bits)),
                "low": Out(unsigned(p.low_bits)),
            }
            | ({"carries": Out(len(p.carry_places))} if p.carry_places else {})
        )

    def _operands(self) -> dict[str, wiring.Member]:
        """Return the ports of the planes and weights."""
        p = self.parameters
        plane = data.ArrayLayout(unsigned(3), PAIRS)
        return {
            "selects": In(data.ArrayLayout(plane, p.planes)),
            "tables": In(data.ArrayLayout(pair_table_layout(p.entry_bits), PAIRS)),
        }

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        # No register needs a reset: the first beat of a group makes all that went before unseen.
        running = Signal(p.running_bits, reset_less=True)
        carries = Signal(len(p.carry_places), reset_less=True)
        shifted = Signal(p.low_bits + p.planes * p.step, reset_less=True)
        high, waiting = running, carries
        if p.step:
            high = Signal(p.high_bits, name="snapshot", reset_less=True)
            waiting = Signal.like(carries, name="snapshot_carries", reset_less=True)
            with m.If(self.advance & self.take):
                m.d.sync += [high.eq(running), waiting.eq(carries)]
        m.d.comb += [self.low.eq(shifted), self.high.eq(high)]
        if p.carry_places:
            m.d.comb += self.carries.eq(waiting)
        total = self._total(m, platform, running, carries)
        with m.If(self.advance):
            m.d.sync += [
                Cat(running, carries).eq(total),
                shifted.eq(Cat(shifted, running[: p.planes])[p.planes :]),
            ]
        return m

    def _total(self, m, platform, running, carries) -> Value:
        """Return what the running sum becomes with this beat, and above it its carries."""
        p = self.parameters
        addend = Signal(p.running_bits - p.planes)
        m.d.comb += addend.eq(Mux(self.first, p.constant - 1, running[p.planes :]))
        selected = [
            select_entries(m, platform, plane, self.tables, p.entry_bits) for plane in self.selects
        ]
        columns = p.columns(selected)
        columns = [bits + list(addend[place : place + 1]) for place, bits in enumerate(columns)]
        for place, carry in zip(p.carry_places, carries, strict=True):
            columns[place - p.planes].append(carry & ~self.first)
        total = reduce_columns(m, platform, columns, 1, p.carry_places)
        return Cat(*(bits[0] for bits in total), *(total[place][1] for place in p.carry_places))
