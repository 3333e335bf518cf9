"""DP-N: FP16 multipliers and a tree of floating-point adders, each of which rounds."""

import functools
from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Module, Value, unsigned
from amaranth.lib import data

from lamina.arith.fp32_add import add_stages
from lamina.arith.pipeline import PipelineParameters, Stage
from lamina.arith.rounding import of_format, round_stages
from lamina.baseline.fp_lane import multiply_stages, unpack_factors
from lamina.baseline.lane import EXACT_STAGES, Lane, LaneParameters
from lamina.baseline.ring import RingParameters
from lamina.formats.ieee import FP16, FP32, Format
from lamina.parameters import check_choice, check_power_of_two, narrowed

__all__ = ["TreeDot", "TreeDotParameters"]

_FORMATS = {"fp16": FP16, "fp32": FP32}


@dataclass(frozen=True, kw_only=True)
class _TermParameters(PipelineParameters):
    """From ``lanes`` pairs of FP16 patterns to the pattern of their sum in the format ``sums``.

    Between stages the values of unit n have names that end with _n.
    """

    lanes: int
    sums: str

    @property
    def format(self) -> Format:
        """Of products and sums."""
        return _FORMATS[self.sums]

    @property
    def stages(self):
        products = multiply_stages(self)
        ends = EXACT_STAGES if self.format == FP32 else round_stages(self.format)
        first = _split(of_format(unpack_factors, self.format), self.lanes)
        stages = [first, *(_each(stage, self.lanes) for stage in (*products, *ends))]
        adders = self.lanes // 2
        while adders:
            compare, *rest = add_stages(self.format)
            stages += [_pairs(compare, adders), *(_each(stage, adders) for stage in rest)]
            adders //= 2
        return (*stages[:-1], _alone(stages[-1]))

    @property
    def operands(self):
        vector = data.ArrayLayout(unsigned(FP16.width), self.lanes)
        return {"a": vector, "b": vector}

    @property
    def results(self):
        return {"value": unsigned(self.format.width)}


def _apply(stage: Stage, m: Module, units: list[dict[str, Value]]) -> dict[str, Value]:
    """Run a stage of every unit, each with its own values."""
    return {
        f"{name}_{number}": value
        for number, own in enumerate(units)
        for name, value in stage(m, SimpleNamespace(**own)).items()
    }


def _split(stage: Stage, units: int) -> Stage:
    """Return a stage of all units from the elements of the vectors ``a`` and ``b``."""

    @functools.wraps(stage)
    def split(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        width = FP16.width
        own = [
            {name: getattr(x, name).word_select(unit, width) for name in "ab"}
            for unit in range(units)
        ]
        return _apply(stage, m, own)

    return split


def _each(stage: Stage, units: int) -> Stage:
    """Return a stage of all units from the values of each."""

    @functools.wraps(stage)
    def each(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        own: list[dict[str, Value]] = [{} for _ in range(units)]
        for key, value in vars(x).items():
            name, _, unit = key.rpartition("_")
            own[int(unit)][name] = value
        return _apply(stage, m, own)

    return each


def _pairs(stage: Stage, units: int) -> Stage:
    """Return a stage of all units, each of which gets the values of two: ``a`` and ``b``."""

    @functools.wraps(stage)
    def pairs(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        own = [
            {"a": getattr(x, f"value_{2 * unit}"), "b": getattr(x, f"value_{2 * unit + 1}")}
            for unit in range(units)
        ]
        return _apply(stage, m, own)

    return pairs


def _alone(stage: Stage) -> Stage:
    """Return a stage whose one unit needs no number any more."""

    @functools.wraps(stage)
    def alone(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        return {key.removesuffix("_0"): value for key, value in stage(m, x).items()}

    return alone


@dataclass(frozen=True, kw_only=True)
class TreeDotParameters(LaneParameters):
    """As `LaneParameters`; ``lanes`` of the dot product, format of its ``sums``.

    ``stages_per_rank``: as there. ``lanes``: products of a step, a power of two from 2 to 32.
    ``sums``: "fp16": products and sums are rounded to FP16; "fp32": products are exact, sums are
    rounded to FP32.
    """

    lanes: int = 4
    sums: str = "fp16"

    def __post_init__(self):
        super().__post_init__()
        check_power_of_two("lanes", self.lanes, 2, 32)
        check_choice("sums", self.sums, tuple(_FORMATS))

    @property
    def macs_per_cycle(self) -> float:
        """Multiply-accumulates a cycle."""
        return float(self.lanes)

    @property
    def ring(self) -> RingParameters:
        """Parameters of the sums."""
        return narrowed(RingParameters, self)

    @property
    def product(self) -> _TermParameters:
        """Parameters of the multipliers and the tree."""
        return narrowed(_TermParameters, self, tag_bits=self.tag_bits)


class TreeDot(Lane):
    """Dot products by FP16 multipliers and floating-point adders: ``lanes`` products a cycle.

    Ports and timing: `Lane`, with FP16 arrays ``a`` and ``b``; ``value`` has the width of ``sums``.

    Numerics
    --------
    acc = R(acc + R(R(R(p0) + R(p1)) + R(R(p2) + R(p3)))), R rounding to nearest even in the format
    of ``sums``, in which FP32 products are exact. Subnormals are kept, overflow is Inf, Inf and NaN
    as in IEEE 754, an exact zero is +0.

    Source: the DP-4 baseline of PacQ (DAC 2025), section II: four FP16 multipliers and adders.
    """
