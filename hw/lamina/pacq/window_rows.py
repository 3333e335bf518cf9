"""Activations of a step placed in the alignment windows of their rows."""

from collections.abc import Callable

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed

from lamina.formats.ieee import FP16
from lamina.pacq.unpack import SIGNIFICAND_BITS, Unpacked

__all__ = [
    "LOWEST",
    "WindowRow",
    "finite_exponents",
    "highest",
    "shifted",
    "unpacked",
    "window_below",
    "window_depth",
]

#: Least exponent, that of subnormals too.
LOWEST = 1


def window_depth(window_bits: int) -> int:
    """Exponents that a window has below its top: it holds that many and one."""
    return window_bits - SIGNIFICAND_BITS


def unpacked(a: Value, *, negate: bool = False) -> list[Unpacked]:
    """Return the FP16 values that ``a`` is made of."""
    return [Unpacked(a.word_select(lane, 16), negate=negate) for lane in range(len(a) // 16)]


class WindowRow:
    """FP16 activations ``a`` of a row seen through the window that begins at ``base``.

    ``alone``: instead of the window's values, the first infinity counts as 1, of its sign, in the
    unit of the window. Members, as expressions: ``significands`` and ``shifts``, of which `shifted`
    makes minus the activations inside, others 0; ``keep``, of each activation whether this window
    leaves it to later ones; ``kept``, these, FP16, others 0; ``keeps``, whether there are any;
    ``infinite``: ``alone`` found one. NaN are left out.
    """

    def __init__(self, m: Module, name: str, a: Value, base: Value, alone: Value, window_bits: int):
        depth = window_depth(window_bits)
        shifts = range(depth + 1)
        lanes = unpacked(a, negate=True)
        infinite = Cat(x.inf for x in lanes)
        # Isolates the lowest bit.
        chosen = Signal(len(lanes), name=f"{name}_chosen")
        m.d.comb += chosen.eq(infinite & -infinite & alone.replicate(len(lanes)))
        self.significands, self.shifts, kept, keeps = [], [], [], []
        for lane, x in enumerate(lanes):
            below = Signal(name=f"{name}_below_{lane}")
            finite = ~x.inf & ~x.nan
            shift = Signal(shifts, name=f"{name}_shift_{lane}")
            significand = Signal(signed(SIGNIFICAND_BITS), name=f"{name}_significand_{lane}")
            here = Signal(name=f"{name}_here_{lane}")
            keep = Signal(name=f"{name}_keep_{lane}")
            m.d.comb += [
                below.eq(x.exponent < base),
                here.eq(finite & ~below & ~alone),
                shift.eq(Mux(alone, 0, x.exponent - base)),
                keep.eq((finite & below & x.significand.any()) | (x.inf & ~chosen[lane])),
                significand.eq(
                    Mux(
                        here,
                        x.significand,
                        Mux(chosen[lane], Mux(x.negative, 1, -1), 0),
                    )
                ),
            ]
            self.significands.append(significand)
            self.shifts.append(shift)
            kept.append(a.word_select(lane, 16) & keep.replicate(16))
            keeps.append(keep)
        self.kept, self.keep, self.keeps = kept, keeps, Cat(keeps).any()
        self.infinite = chosen.any()


def shifted(significand: Value, shift: Value, window_bits: int) -> Value:
    """Return an aligned activation, of as many bits."""
    return (significand << shift)[:window_bits]


def finite_exponents(a: Value) -> list[Value]:
    """Return the exponents of the FP16 values that ``a`` is made of, 0 of what is not finite."""
    return [Mux(x.inf | x.nan, 0, x.exponent) for x in unpacked(a)]


def highest(
    m: Module, name: str, values: list[Value], rank: Callable[..., list[Value]] | None = None
) -> Value:
    """Return the largest of ``values``; ``rank(m, values)``: registers behind each comparison."""
    while len(values) > 1:
        larger = []
        for one, other in zip(values[0::2], values[1::2], strict=False):
            value = Signal(FP16.exponent_bits, name=f"{name}_{len(values)}_{len(larger)}")
            m.d.comb += value.eq(Mux(one > other, one, other))
            larger.append(value)
        values = larger + values[len(values) // 2 * 2 :]
        if rank:
            values = rank(m, values)
    return values[0]


def window_below(base: Value, window_bits: int) -> Value:
    """Return the least exponent of the window below that which begins at ``base``."""
    span = window_depth(window_bits) + 1
    return Mux(base > span, base - span, LOWEST)
