"""What a block of an array, and each of its columns, is built for."""

from collections import Counter
from dataclasses import dataclass

from amaranth.lib import data

from lamina.anda.beat_sum import BeatSumParameters
from lamina.anda.sum_unit import SumUnitParameters
from lamina.formats.anda import (
    array_finish_layout,
    array_planes_layout,
    array_weights_layout,
    units_of,
)
from lamina.parameters import check_choice, check_range, narrowed

__all__ = ["BlockParameters"]


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
        return units_of(self.rows, self.sharing)

    def beat_sum(self, row: int) -> BeatSumParameters:
        """Parameters of a row's beat sums."""
        return narrowed(BeatSumParameters, self, step=row // self.units)

    def sum_unit(self, unit: int) -> SumUnitParameters:
        """Parameters of a unit: the last ones may have a row less."""
        elements = len(range(unit, self.rows, self.units))
        return narrowed(SumUnitParameters, self, elements=elements)

    @property
    def triples(self) -> bool:
        """Whether the scales come with three times their significands."""
        return self.sum_unit(0).multiply.multiples

    @property
    def weights(self) -> data.StructLayout:
        """Weights as the block takes and holds them."""
        return array_weights_layout(
            self.columns, self.entry_bits, triples=self.triples, chains=self.ranked
        )

    @property
    def planes_layout(self) -> data.StructLayout:
        """Planes as they pass by."""
        return array_planes_layout(self.rows, self.planes, chains=self.ranked)

    @property
    def groups(self) -> data.ArrayLayout:
        """What units take of the groups whose sums are read."""
        return data.ArrayLayout(self.sum_unit(0).group, self.units)

    @property
    def ranks(self) -> int:
        """Ranks of registers in the trees."""
        return len(self.beat_sum(0).rank_levels)

    @property
    def ranked(self) -> bool:
        """Whether there are any: then what is wide or far has registers of its own, and what
        adds up planes are carry chains.
        """
        return self.beat_sum(0).chains

    @property
    def correction_delay(self) -> int:
        """Cycles that corrections, if any, come after the tables: a group before needs its own."""
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
        passed = self.planes_layout.size
        passed += array_finish_layout(self.units, self.sharing).size
        weights = self.weights.size
        arithmetic = self.sum_unit(0).latency * (self.sharing + 2)
        # Behind the ranks it is known of a beat whether it is its group's first, and its last.
        waiting = 2 * self.ranks + self.scale_delay + arithmetic
        # Counted first: many are the same.
        parts = Counter(self.beat_sum(row) for row in range(self.rows))
        parts += Counter(self.sum_unit(unit) for unit in range(self.units))
        sums = sum(count * part.storage_bits for part, count in parts.items())
        return passed + weights + waiting + self.columns * sums
