"""Activations of a step placed in the alignment windows of their rows."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed

from lamina.formats.ieee import FP16
from lamina.pacq.unpack import SIGNIFICAND_BITS, Unpacked

__all__ = ["LOWEST", "WindowRow", "highest_exponent", "unpacked", "window_depth"]

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
    unit of the window. Members, as expressions: ``terms``, minus the activations inside, others 0;
    ``kept``, the activations, FP16, that this window leaves to later ones, others 0; ``keeps``,
    whether there are any; ``infinite``: ``alone`` found one. NaN are left out.
    """

    def __init__(self, m: Module, name: str, a: Value, base: Value, alone: Value, window_bits: int):
        depth = window_depth(window_bits)
        shifts = range(depth + 1)
        lanes = unpacked(a, negate=True)
        infinite = Cat(x.inf for x in lanes)
        # Isolates the lowest bit.
        chosen = Signal(len(lanes), name=f"{name}_chosen")
        m.d.comb += chosen.eq(infinite & -infinite & alone.replicate(len(lanes)))
        self.terms, kept, keeps = [], [], []
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
            term = Signal(signed(window_bits), name=f"{name}_term_{lane}")
            m.d.comb += term.eq(significand << shift)
            self.terms.append(term)
            kept.append(a.word_select(lane, 16) & keep.replicate(16))
            keeps.append(keep)
        self.kept, self.keeps = kept, Cat(keeps).any()
        self.infinite = chosen.any()


def highest_exponent(m: Module, name: str, a: Value, so_far: Value) -> Value:
    """Return the largest exponent of ``so_far`` and of the finite ones of ``a``."""
    values = [so_far] + [Mux(x.inf | x.nan, 0, x.exponent) for x in unpacked(a)]
    while len(values) > 1:
        larger = []
        for one, other in zip(values[0::2], values[1::2], strict=False):
            value = Signal(FP16.exponent_bits, name=f"{name}_{len(values)}_{len(larger)}")
            m.d.comb += value.eq(Mux(one > other, one, other))
            larger.append(value)
        values = larger + values[len(values) // 2 * 2 :]
    return values[0]
