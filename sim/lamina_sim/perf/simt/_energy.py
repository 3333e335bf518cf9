"""Energy and energy-delay product: traffic by a table of memories, products by measured units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lamina_sim.perf.simt._counts import Core, Shape, count
from lamina_sim.perf.simt._traffic import Blocks, traffic


@dataclass(frozen=True, kw_only=True)
class Memory:
    """``pj_per_bit`` read or written, and where that comes from."""

    pj_per_bit: float
    source: str


_HOROWITZ = "Horowitz, ISSCC 2014, figure 1.1.9, 45 nm, 0.9 V"
#: One table for all flows. SRAMs are Horowitz's, 64 bits an access: 8 KiB 10 pJ, 32 KiB 20 pJ,
#: 1 MiB 100 pJ; sizes that he does not give are put in by the square root of the capacity, as his
#: first two go.
MEMORIES: Mapping[str, Memory] = {
    "operand_buffer": Memory(
        pj_per_bit=10 / 64 * (384 / 8192) ** 0.5,
        source=f"{_HOROWITZ}: 8 KiB, by the root of the capacity to 3,072 bits",
    ),
    "register_file": Memory(pj_per_bit=10 / 64, source=f"{_HOROWITZ}: a bank of 8 KiB"),
    "l1": Memory(
        pj_per_bit=20 / 64 * (96 / 32) ** 0.5,
        source=f"{_HOROWITZ}: 32 KiB, by the root of the capacity to 96 KiB",
    ),
    "l2": Memory(pj_per_bit=100 / 64, source=f"{_HOROWITZ}: 1 MiB, wires to it left out"),
    "dram": Memory(pj_per_bit=3.92, source="HBM2: O'Connor et al., MICRO 2017, section 2"),
}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What multiplies and adds: ``pj_per_mac`` as it was measured, sums and scales included.

    ``pj_per_dequantized``: of a general core, for each weight that becomes FP16; 0 leaves it out.
    """

    pj_per_mac: float
    pj_per_dequantized: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.pj_per_mac < float("inf")):
            raise ValueError(f"pj_per_mac must be above 0, not {self.pj_per_mac}.")
        if not (0 <= self.pj_per_dequantized < float("inf")):
            raise ValueError(
                f"pj_per_dequantized must be at least 0, not {self.pj_per_dequantized}."
            )


@dataclass(frozen=True, kw_only=True)
class Energy:
    """``parts``: pJ by memory, and of the units under "compute"; ``cycles`` as counted."""

    parts: Mapping[str, float]
    cycles: int

    @property
    def total(self) -> float:
        """All parts, in pJ."""
        return sum(self.parts.values())

    @property
    def delay_product(self) -> float:
        """EDP in pJ times cycles: of two flows at one clock, whose ratio it is for."""
        return self.total * self.cycles


def energy(
    flow: str,
    shape: Shape,
    unit: Unit,
    *,
    core: Core | None = None,
    blocks: Blocks | None = None,
    memories: Mapping[str, Memory] = MEMORIES,
) -> Energy:
    """Energy of a product by one flow, whose units are ``unit``; leakage is not in it."""
    moved = traffic(flow, shape, core, blocks)
    counted = count(flow, shape, core)
    parts = {name: bits * memories[name].pj_per_bit for name, bits in moved.bits.items()}
    parts["compute"] = counted.macs * unit.pj_per_mac + moved.dequantized * unit.pj_per_dequantized
    return Energy(parts=parts, cycles=counted.cycles)


def sensitivity(
    shape: Shape,
    flow: str,
    unit: Unit,
    against: str,
    other: Unit,
    *,
    core: Core | None = None,
    blocks: Blocks | None = None,
    factors: tuple[float, ...] = (0.5, 2.0),
    together: tuple[float, ...] = (0.5, 1.0, 2.0, 10.0),
) -> dict[str, dict[float, float]]:
    """EDP of ``flow`` over that of ``against``, by the memory that is changed and its factor.

    "all" is all memories together, with the factors ``together``: 1 is the result itself, 10 about
    what units of 130 nm and 1.8 V are beside a table of 45 nm and 0.9 V.
    """

    def ratio(changed: Mapping[str, Memory]) -> float:
        mine, theirs = (
            energy(one, shape, its, core=core, blocks=blocks, memories=changed).delay_product
            for one, its in ((flow, unit), (against, other))
        )
        return mine / theirs

    def scaled(name: str, factor: float) -> dict[str, Memory]:
        return {
            key: replace(memory, pj_per_bit=memory.pj_per_bit * factor)
            if name in (key, "all")
            else memory
            for key, memory in MEMORIES.items()
        }

    return {
        name: {factor: ratio(scaled(name, factor)) for factor in used}
        for name, used in (
            ("all", together),
            *((memory, factors) for memory in MEMORIES),
        )
    }
