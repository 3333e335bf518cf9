"""What `bench pe` compares: Anda's element and the papers' baselines, on the same terms.

Every contender is measured with all that turns its operands into FP32 sums. The floating-point
lanes hold that themselves; elements that put out exact integers get as many `anda.accumulator` as
keep up with them.
"""

from dataclasses import dataclass, field
from typing import Any

from lamina_gen.registry import find, make_parameters

__all__ = ["CONTENDERS", "FP_FP", "MANTISSA_BITS", "Contender", "Part"]

MANTISSA_BITS = (4, 6, 8, 11)

#: By target: columns that share a row of activations (a placed FPGA design with more takes hours),
#: rows whose sums take turns, as many as hide the latency of the addition, and as a power of two,
#: and stages in a rank of registers: silicon does all of an FP32 addition in one cycle.
_COLUMNS = {"cells": 8, "ecp5": 2}
_INDEX_BITS = {"cells": 2, "ecp5": 4}
_RANKS = {"cells": 9, "ecp5": 1}


@dataclass(frozen=True)
class Part:
    """``count`` instances of ``module`` built with ``settings``."""

    module: str
    settings: dict[str, Any]
    count: int = 1

    @property
    def parameters(self) -> Any:
        """The parameters that the module is built with."""
        return make_parameters(find(self.module), self.settings)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One line of the table.

    ``mantissa_bits``: of the activations' integers; None where they stay FP16. ``paper``: the line
    of the Anda paper's table that it stands for, if there is one. ``ranks``: stages in a rank on
    cells. ``whole``: it adds up outputs in FP32 itself, and is as large as it is to be built: too
    large to be simulated as a netlist; for an FPGA ``smaller`` has what is built in its place.
    """

    name: str
    module: str
    settings: dict[str, Any] = field(default_factory=dict)
    mantissa_bits: int | None = None
    paper: str | None = None
    ranks: int = _RANKS["cells"]
    whole: bool = False
    smaller: dict[str, Any] = field(default_factory=dict)

    def element(self, target: str) -> Part:
        """Return what makes the sums, or for integer elements all but the last part of them."""
        settings = dict(self.settings)
        if self.mantissa_bits is not None:
            # INT4 weights without zero points, as in the papers.
            settings["zero_points"] = False
            if not self.whole:
                settings |= {"columns": _COLUMNS[target], "index_bits": _INDEX_BITS[target]}
        if target == "cells":
            settings["stages_per_rank"] = self.ranks
        else:
            settings |= {**self.smaller, "stages_per_rank": _RANKS[target]}
        return Part(self.module, settings)

    def cycles(self, target: str) -> int:
        """Cycles that an integer element takes for a group at this mantissa length."""
        return _cycles(self.element(target).parameters, self.mantissa_bits)

    def macs_per_cycle(self, target: str) -> float:
        """Multiply-accumulates a cycle in steady state."""
        rate = self.element(target).parameters.macs_per_cycle
        return float(rate(self.mantissa_bits) if callable(rate) else rate)

    def parts(self, target: str) -> list[Part]:
        """Return the element and the accumulators that keep up with it at the shortest mantissa.

        An accumulator takes one column a cycle, so it serves as many as a group takes cycles.
        """
        element = self.element(target)
        if self.mantissa_bits is None or self.whole:
            return [element]
        columns = element.settings["columns"]
        cycles = _cycles(element.parameters, min(MANTISSA_BITS))
        served = max(n for n in range(1, cycles + 1) if columns % n == 0)
        settings = {"columns": served, "index_bits": element.settings["index_bits"]}
        settings["stages_per_rank"] = _RANKS[target]
        return [element, Part("anda.accumulator", settings, columns // served)]


def _cycles(parameters: Any, mantissa_bits: int | None) -> int:
    """Return the cycles per group of an integer element, whose length of mantissa may be fixed."""
    if hasattr(parameters, "cycles"):
        return int(parameters.cycles(mantissa_bits))
    return int(parameters.steps)


FP_FP = Contender(name="FP-FP lane", module="baseline.fp_lane", paper="FP-FP")


def _figna(mantissa_bits: int, structure: str) -> Contender:
    papers = {13: "FIGNA", 11: "FIGNA-M11", 8: "FIGNA-M8"}
    return Contender(
        name=f"FIGNA {structure}",
        module="baseline.figna",
        settings={"mantissa_bits": mantissa_bits, "structure": structure},
        mantissa_bits=mantissa_bits,
        paper=papers.get(mantissa_bits) if structure == "plain" else None,
        # One rank for all 7 stages of the plain sum; the dense one has 2, too slow for one.
        ranks=7 if structure == "plain" else 1,
    )


def _anda(mantissa_bits: int) -> Contender:
    return Contender(
        name="Anda",
        module="anda.element",
        mantissa_bits=mantissa_bits,
        paper=f"Anda M{mantissa_bits}",
        # All 4 stages of a plane's sum in one: that is no longer than an FP32 addition.
        ranks=4,
    )


def _array(mantissa_bits: int) -> Contender:
    return Contender(
        name="Anda array",
        module="anda.array",
        # 256 elements, ports of 1,024 bits.
        settings={"rows": 8, "columns": 32, "block_columns": 4},
        mantissa_bits=mantissa_bits,
        paper=f"Anda M{mantissa_bits}",
        ranks=5,
        whole=True,
        # As many rows as share a unit.
        smaller={"rows": 3, "columns": 4, "block_columns": 2},
    )


#: In the order of the table.
CONTENDERS = (
    FP_FP,
    Contender(name="FP-FP dot", module="baseline.fp_dot"),
    Contender(name="FP-INT", module="baseline.fp_int", paper="FP-INT"),
    Contender(
        name="iFPU",
        module="baseline.ifpu",
        settings={"mantissa_bits": 13},
        mantissa_bits=13,
        paper="iFPU",
    ),
    *(_figna(bits, structure) for structure in ("plain", "dense") for bits in (13, 11, 8, 6, 4)),
    *(_anda(bits) for bits in reversed(MANTISSA_BITS)),
    *(_array(bits) for bits in reversed(MANTISSA_BITS)),
)
