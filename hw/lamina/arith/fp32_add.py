"""FP32 addition, and FP16's by the same stages."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned

from lamina.arith.leading_zeros import count_leading_zeros
from lamina.arith.pipeline import Pipeline, PipelineParameters, Stage
from lamina.arith.rounding import (
    jam,
    keep,
    of_format,
    round_to_nearest_even,
    rounded_bits,
    shift_left,
    shift_right,
)
from lamina.arith.unpack import unpack
from lamina.formats.ieee import FP16, FP32, Format

__all__ = ["Fp16Add", "Fp16AddParameters", "Fp32Add", "Fp32AddParameters", "add_stages"]

#: Bits below the significand that decide the rounding of any sum: guard, round and sticky.
_EXTRA = 3

#: Low bits of the alignment distance, left to the fine shift.
_COARSE = 3


def _aligned_bits(fmt: Format) -> int:
    """Return the bits of a significand that another one is aligned to."""
    return fmt.precision + _EXTRA


@dataclass(frozen=True, kw_only=True)
class Fp32AddParameters(PipelineParameters):
    """`PipelineParameters` and nothing else."""

    @property
    def format(self) -> Format:
        """Of operands and sum."""
        return FP32

    @property
    def stages(self):
        return add_stages(self.format)

    @property
    def operands(self):
        return {"a": unsigned(self.format.width), "b": unsigned(self.format.width)}

    @property
    def results(self):
        return {"value": unsigned(self.format.width)}


@dataclass(frozen=True, kw_only=True)
class Fp16AddParameters(Fp32AddParameters):
    """`PipelineParameters` and nothing else."""

    @property
    def format(self) -> Format:
        """Of operands and sum."""
        return FP16


def compare(m: Module, x: SimpleNamespace, fmt: Format) -> dict[str, Value]:
    """Find which magnitude is the smaller: as integers, patterns order as their values do."""
    a, b = unpack(fmt, x.a), unpack(fmt, x.b)
    return keep(x, "a", "b") | {
        "exchange": x.a[:-1] < x.b[:-1],
        "nan": a.nan | b.nan | (a.inf & b.inf & (a.sign ^ b.sign)),
        "inf": a.inf | b.inf,
    }


def swap(m: Module, x: SimpleNamespace, fmt: Format) -> dict[str, Value]:
    """Put the larger magnitude first; find the distance between the two."""
    larger, smaller = Signal(fmt.width), Signal(fmt.width)
    m.d.comb += Cat(larger, smaller).eq(Mux(x.exchange, Cat(x.b, x.a), Cat(x.a, x.b)))
    large, small = unpack(fmt, larger), unpack(fmt, smaller)
    return keep(x, "nan", "inf") | {
        "sign": large.sign,
        "subtract": large.sign ^ small.sign,
        "exponent": large.exponent,
        "large": large.significand,
        "small": small.significand,
        "distance": (large.exponent - small.exponent)[: fmt.exponent_bits],
    }


def align_coarse(m: Module, x: SimpleNamespace, fmt: Format) -> dict[str, Value]:
    """Shift the smaller significand by whole bytes, or out of sight but for its sticky bit."""
    small = Cat(Const(0, _EXTRA), x.small)
    bits = _aligned_bits(fmt).bit_length()
    shifted = shift_right(m, small, x.distance[_COARSE:bits], unit=1 << _COARSE)
    far = x.distance[bits:].any()
    return keep(x, "sign", "subtract", "exponent", "large", "nan", "inf") | {
        "small": Mux(far, jam(small, 1), shifted),
        "distance": x.distance[:_COARSE] & ~far.replicate(_COARSE),
    }


def align_fine(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Shift the smaller significand by the rest."""
    return keep(x, "sign", "subtract", "exponent", "large", "nan", "inf") | {
        "small": shift_right(m, x.small, x.distance)
    }


def add(m: Module, x: SimpleNamespace, fmt: Format) -> dict[str, Value]:
    """Add or subtract; the larger magnitude is first, so the result is not negative."""
    magnitude = Signal(_aligned_bits(fmt) + 1)
    large = Cat(Const(0, _EXTRA), x.large)
    small = Cat(x.small, Const(0, 1)) ^ x.subtract.replicate(len(magnitude))
    m.d.comb += magnitude.eq(large + small + x.subtract)
    return keep(x, "sign", "exponent", "nan", "inf") | {"magnitude": magnitude}


def count_zeros(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Find the distance of the sum from its normal form. An exact zero is positive."""
    return keep(x, "exponent", "magnitude", "nan", "inf") | {
        "sign": x.sign & x.magnitude.any(),
        "zeros": count_leading_zeros(m, x.magnitude),
    }


def limit_shift(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Shift a sum below the normal range no further than to the weight of a subnormal's bits."""
    shift = Signal.like(x.zeros)
    m.d.comb += shift.eq(Mux(x.zeros < x.exponent, x.zeros, x.exponent))
    # The top bit is the carry, one place above the larger operand's leading one.
    return keep(x, "sign", "magnitude", "nan", "inf") | {
        "shift": shift,
        "exponent": x.exponent + 1 - shift,
    }


def normalise(m: Module, x: SimpleNamespace, fmt: Format) -> dict[str, Value]:
    """Move the sum up by the limited shift."""
    shifted = shift_left(m, x.magnitude, x.shift)
    return keep(x, "sign", "exponent", "nan", "inf") | {
        "significand": jam(shifted, rounded_bits(fmt))
    }


def add_stages(
    fmt: Format,
    *,
    comparison: Callable = compare,
    exchange: Callable = swap,
    align: Callable = align_coarse,
    limit: Stage = limit_shift,
    to_nearest: Callable = round_to_nearest_even,
) -> tuple[Stage, ...]:
    """Return the stages from patterns ``a`` and ``b`` to that of their sum, ``value``.

    ``comparison``, ``exchange``, ``align``, ``limit``, ``to_nearest``: for operands of which more
    is known.
    """
    stages = (
        comparison, exchange, align, align_fine, add,
        count_zeros, limit, normalise, to_nearest,
    )  # fmt: skip
    plain = (align_fine, count_zeros, limit)
    return tuple(stage if stage in plain else of_format(stage, fmt) for stage in stages)


class Fp32Add(Pipeline):
    """Adds FP32 ``a`` and ``b``.

    Members
    -------
    i : {a: 32, b: 32, tag}
    o : {value: 32, tag}

    Parameters: `Fp32AddParameters`. Timing: see `Pipeline`.
    Numerics: IEEE 754, one rounding to nearest even, subnormals kept in and out, overflow to Inf;
    NaN operands and Inf - Inf give 0x7FC00000. An exact zero is +0, even (-0) + (-0).
    """


class Fp16Add(Pipeline):
    """Adds FP16 ``a`` and ``b``: ports of 16 bits, else as `Fp32Add`; NaN is 0x7E00."""
