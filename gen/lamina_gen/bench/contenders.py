"""What `bench pe` compares: Anda's element and the papers' baselines, on the same terms.

Every contender is measured with all that turns its operands into FP32 sums. The floating-point
lanes hold that themselves; elements that put out exact integers get as many `anda.accumulator` as
keep up with them.
"""

from dataclasses import dataclass, field
from typing import Any

from lamina_gen.registry import MODULES, find, make_parameters

__all__ = ["CONTENDERS", "FP_FP", "MANTISSA_BITS", "Contender", "Part"]

MANTISSA_BITS = (4, 6, 8, 11)

#: Columns that share one row of activations, in all elements that have columns.
_COLUMNS = 8

#: INT4 weights without zero points, as in the papers; few sums, as their memory is not measured.
_ELEMENT = {"columns": _COLUMNS, "index_bits": 6, "zero_points": False}


@dataclass(frozen=True)
class Part:
    """``count`` instances of ``module`` built with ``settings``."""

    module: str
    settings: dict[str, Any]
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One line of the table.

    ``mantissa_bits``: of the activations' integers; None where they stay FP16. ``paper``: the line
    of the Anda paper's table that it stands for, if there is one.
    """

    name: str
    module: str
    settings: dict[str, Any] = field(default_factory=dict)
    mantissa_bits: int | None = None
    paper: str | None = None

    @property
    def parameters(self) -> Any:
        """The parameters that the module is built with."""
        return make_parameters(find(self.module), self.settings)

    @property
    def cycles(self) -> int:
        """Cycles that a group takes, at this mantissa length."""
        return _cycles(self.parameters, self.mantissa_bits)

    @property
    def macs_per_cycle(self) -> float:
        """Multiply-accumulates a cycle in steady state."""
        rate = self.parameters.macs_per_cycle
        return float(rate(self.mantissa_bits) if callable(rate) else rate)

    @property
    def parts(self) -> list[Part]:
        """The element and the accumulators that keep up with it at the shortest mantissa.

        An accumulator takes one column a cycle, so it serves as many as a group takes cycles.
        """
        element = Part(self.module, self.settings)
        if "columns" not in self.settings:
            return [element]
        cycles = _cycles(self.parameters, min(MANTISSA_BITS))
        served = max(n for n in range(1, cycles + 1) if _COLUMNS % n == 0)
        settings = {"columns": served, "index_bits": _ELEMENT["index_bits"]}
        return [element, Part("anda.accumulator", settings, _COLUMNS // served)]


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
        settings=_ELEMENT | {"mantissa_bits": mantissa_bits, "structure": structure},
        mantissa_bits=mantissa_bits,
        paper=papers.get(mantissa_bits) if structure == "plain" else None,
    )


_ALL = (
    FP_FP,
    Contender(name="FP-FP dot", module="baseline.fp_dot"),
    Contender(name="FP-INT", module="baseline.fp_int", paper="FP-INT"),
    Contender(
        name="iFPU",
        module="baseline.ifpu",
        settings=_ELEMENT | {"mantissa_bits": 13},
        mantissa_bits=13,
        paper="iFPU",
    ),
    *(_figna(bits, structure) for structure in ("plain", "dense") for bits in (13, 11, 8, 6, 4)),
    *(
        Contender(
            name="Anda",
            module="anda.element",
            settings=_ELEMENT,
            mantissa_bits=bits,
            paper=f"Anda M{bits}",
        )
        for bits in reversed(MANTISSA_BITS)
    ),
)

#: In the order of the table.
CONTENDERS = tuple(contender for contender in _ALL if contender.module in MODULES)
