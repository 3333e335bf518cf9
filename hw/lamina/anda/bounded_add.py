"""Addition in a sum unit: of FP32 that is neither subnormal nor Inf."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned

from lamina.anda.sum_stages import exponent_of, rounding_of
from lamina.arith import fp32_add
from lamina.arith.fp32_add import Fp32AddParameters
from lamina.arith.rounding import keep
from lamina.arith.unpack import unpack
from lamina.formats.ieee import Format

__all__ = ["BoundedAddParameters"]


@dataclass(frozen=True, kw_only=True)
class BoundedAddParameters(Fp32AddParameters):
    """Without subnormals and Inf: see `ScaleParameters`; with NaN. ``anew``: ``a`` is +0.

    NaN is told by the exponent, which is enough for sums that go on; cells leave it at that.
    """

    @property
    def operands(self):
        return super().operands | {"anew": unsigned(1)}

    @property
    def stages(self):
        cells = self.stages_per_rank > 1
        return fp32_add.add_stages(
            self.format,
            comparison=_compare_and_measure if cells else _compare_bounded,
            exchange=_exchange_measured if cells else fp32_add.swap,
            align=_align_measured if cells else fp32_add.align_coarse,
            limit=_shift_all,
            to_nearest=rounding_of(self),
        )


def _compare_bounded(m: Module, x: SimpleNamespace, fmt: Format) -> dict[str, Value]:
    """As for any operands, but an exponent of all ones is NaN's.

    To make ``a`` zero takes as long as a part of the comparison, so neither waits for the other.
    """
    compared = fp32_add.compare(m, x, fmt)
    return compared | {
        "a": Mux(x.anew, 0, x.a),
        "exchange": compared["exchange"] | x.anew,
        "nan": (exponent_of(x.a).all() & ~x.anew) | exponent_of(x.b).all(),
        "inf": Const(0),
    }


def _compare_and_measure(m: Module, x: SimpleNamespace, fmt: Format) -> dict[str, Value]:
    """As that; at the same time find the distance, for which the exponents are enough.

    What is zero by ``anew`` is not made so: it is the smaller, and shifted out of sight.
    """
    a, b = Signal(fmt.exponent_bits), Signal(fmt.exponent_bits)
    below, equal, distance = Signal(), Signal(), Signal(fmt.exponent_bits)
    fraction = slice(0, fmt.fraction_bits)
    m.d.comb += [
        a.eq(exponent_of(x.a)),
        b.eq(exponent_of(x.b)),
        below.eq(a < b),
        equal.eq((a ^ ~b).all()),
        # Of a zero any distance will do: it is 0 wherever it is shifted.
        distance.eq((a + ~b + ~below)[: len(a)] ^ below.replicate(len(a))),
    ]
    return keep(x, "a", "b", "anew") | {
        "exchange": below | (equal & (x.a[fraction] < x.b[fraction])) | x.anew,
        "distance": Cat(distance[:-1], distance[-1] | x.anew),
        "nan": (a.all() & ~x.anew) | b.all(),
        "inf": Const(0),
    }


def _exchange_measured(m: Module, x: SimpleNamespace, fmt: Format) -> dict[str, Value]:
    """Put the larger magnitude first; of the smaller one the exponent is needed no more."""
    a, b = unpack(fmt, x.a), unpack(fmt, x.b)
    parts = [Cat(part.significand, part.sign) for part in (a, b)]
    large, small = Signal(fmt.precision + 1), Signal(fmt.precision + 1)
    m.d.comb += Cat(large, small).eq(Mux(x.exchange, Cat(*reversed(parts)), Cat(*parts)))
    return keep(x, "anew", "distance", "nan", "inf") | {
        "sign": large[-1],
        "subtract": large[-1] ^ small[-1],
        "exponent": Mux(x.exchange, exponent_of(x.b), exponent_of(x.a)),
        "large": large[:-1],
        "small": small[:-1],
    }


def _align_measured(m: Module, x: SimpleNamespace, fmt: Format) -> dict[str, Value]:
    """Shift the smaller significand by whole bytes; of what is out of sight leave a sticky bit."""
    aligned = fp32_add.align_coarse(m, x, fmt)
    small = aligned["small"]
    return aligned | {"small": Cat(small[0] & ~x.anew, small[1:])}


def _shift_all(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Shift a sum to its normal form, wherever that is."""
    # The top bit is the carry, one place above the larger operand's leading one.
    return keep(x, "sign", "magnitude", "nan", "inf") | {
        "shift": x.zeros,
        "exponent": x.exponent + 1 - x.zeros,
    }
