"""FP-FP, fused: a dot product of FP16 vectors aligned once, rounded once, accumulating in FP32."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data

from lamina.arith.adder_tree import AdderTreeParameters
from lamina.arith.pipeline import PipelineParameters
from lamina.arith.products import join_parts, partial_products
from lamina.arith.rounding import ROUND_NORMAL_STAGES, keep
from lamina.arith.unpack import unpack
from lamina.baseline.lane import Lane, LaneParameters
from lamina.formats.ieee import FP16, FP32
from lamina.parameters import check_power_of_two, check_range, narrowed

__all__ = ["FpDot", "FpDotParameters"]

#: Bits of a product of significands, and of the sum of two exponent fields.
_PRODUCT_BITS = 2 * FP16.precision
_EXPONENT_BITS = FP16.exponent_bits + 1

#: Low bits of the alignment distance, left to the fine shift.
_COARSE = 3


@dataclass(frozen=True, kw_only=True)
class _TermParameters(PipelineParameters):
    """From ``lanes`` pairs of FP16 patterns to their dot product in FP32.

    Between the stages ``products`` and ``exponents`` are arrays, one element a lane.
    """

    lanes: int
    window_bits: int

    @property
    def stages(self):
        tree = AdderTreeParameters(inputs=self.lanes, width=self.window_bits + 1)
        levels = [_beside(level, "top", "nan", "inf", "negative") for level in tree.stages]
        finds = (self._find_largest, self._find_top)
        align = (self._measure, self._align_coarse, self._align_fine, self._apply_signs)
        ends = (self._take_magnitude, *ROUND_NORMAL_STAGES)
        return (self._unpack, self._multiply, *finds, *align, *levels, *ends)

    @property
    def operands(self):
        vector = data.ArrayLayout(unsigned(FP16.width), self.lanes)
        return {"a": vector, "b": vector}

    @property
    def results(self):
        return {"value": unsigned(FP32.width)}

    def _split(self, value: Value) -> list[Value]:
        """Return the elements of an array, one for each lane."""
        width = len(value) // self.lanes
        return [value[width * lane : width * (lane + 1)] for lane in range(self.lanes)]

    def _unpack(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        pairs = zip(self._split(x.a), self._split(x.b), strict=True)
        pairs = [(unpack(FP16, a), unpack(FP16, b)) for a, b in pairs]
        signs = Cat(a.sign ^ b.sign for a, b in pairs)
        infinite = Cat(a.inf | b.inf for a, b in pairs)
        nan = Cat(a.nan | b.nan | (a.inf & b.zero) | (a.zero & b.inf) for a, b in pairs)
        exponents = []
        for a, b in pairs:
            exponents.append(Signal(_EXPONENT_BITS))
            m.d.comb += exponents[-1].eq(a.exponent + b.exponent)
        return {
            "a": Cat(a.significand for a, _ in pairs),
            "b": Cat(b.significand for _, b in pairs),
            "signs": signs,
            "exponents": Cat(exponents),
            # A product of 0 has no say in where the window is.
            "candidates": Cat(
                exponent & ~(a.zero | b.zero).replicate(_EXPONENT_BITS)
                for exponent, (a, b) in zip(exponents, pairs, strict=True)
            ),
            "nan": nan,
            "inf": infinite,
        }

    def _multiply(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        factors = zip(self._split(x.a), self._split(x.b), strict=True)
        parts: dict[str, Value] = {}
        for lane, (a, b) in enumerate(factors):
            parts |= partial_products(f"product{lane}", a, b)
        # Infinities and NaN of all lanes meet here, as lanes are far apart on an FPGA.
        negative, positive = (x.inf & x.signs).any(), (x.inf & ~x.signs).any()
        return (
            keep(x, "signs", "exponents", "candidates")
            | parts
            | {
                "nan": x.nan.any() | (negative & positive),
                "inf": x.inf.any(),
                "negative": negative,
            }
        )

    def _find_largest(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        """Find the largest exponent of each quarter of the lanes, and join the products."""
        joined = join_parts(m, x)
        products = Cat(joined.pop(f"product{lane}") for lane in range(self.lanes))
        quarters = max(1, self.lanes // 4)
        return joined | {"products": products, "candidates": _largest(m, x.candidates, quarters)}

    def _find_top(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        """Find the largest exponent of all."""
        passed = keep(x, "signs", "exponents", "products", "nan", "inf", "negative")
        return passed | {"candidates": _largest(m, x.candidates, 1)}

    def _measure(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        """Find how far below the top each product is."""
        distances = Cat(
            (x.candidates - exponent)[:_EXPONENT_BITS] for exponent in self._split(x.exponents)
        )
        passed = keep(x, "signs", "products", "nan", "inf", "negative")
        return passed | {"top": x.candidates, "distances": distances}

    def _align_coarse(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        """Put each product at the window's top and shift it down by whole bytes."""
        spare = Const(0, self.window_bits - _PRODUCT_BITS)
        lanes = zip(self._split(x.products), self._split(x.distances), strict=True)
        shifted = [
            (Cat(spare, product) >> (distance[_COARSE:] << _COARSE))[: self.window_bits]
            for product, distance in lanes
        ]
        fine = Cat(distance[:_COARSE] for distance in self._split(x.distances))
        passed = keep(x, "signs", "top", "nan", "inf", "negative")
        return passed | {"products": Cat(shifted), "distances": fine}

    def _align_fine(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        lanes = zip(self._split(x.products), self._split(x.distances), strict=True)
        shifted = Cat((product >> distance)[: self.window_bits] for product, distance in lanes)
        return keep(x, "signs", "top", "nan", "inf", "negative") | {"products": shifted}

    def _apply_signs(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        lanes = zip(self._split(x.products), x.signs, strict=True)
        values = [Mux(sign, -product, product)[: self.window_bits + 1] for product, sign in lanes]
        return keep(x, "top", "nan", "inf", "negative") | {"values": Cat(values)}

    def _take_magnitude(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        total = x.sum.as_signed()
        magnitude = Mux(total[-1], -total, total)[: len(total)]
        # A product at the top has its top bit there, with this exponent field; the sum has
        # room for carries and a sign above it.
        field = x.top + (FP32.bias + 1 - 2 * FP16.bias)
        return keep(x, "nan", "inf") | {
            "sign": Mux(x.inf, x.negative, total[-1]),
            "magnitude": magnitude,
            "exponent": field + (len(total) - self.window_bits),
        }


def _beside(level, *names: str):
    """Return a level of an adder tree that passes on more than its sums."""

    def add_pairs(m: Module, x: SimpleNamespace) -> dict[str, Value]:
        return keep(x, *names) | level(m, x)

    return add_pairs


def _exponents(width: int) -> data.ArrayLayout:
    return data.ArrayLayout(unsigned(_EXPONENT_BITS), width // _EXPONENT_BITS)


def _largest(m: Module, exponents: Value, wanted: int) -> Value:
    """Return the largest of each ``wanted``-th of the exponents."""
    largest = [*data.View(_exponents(len(exponents)), exponents)]
    while len(largest) > wanted:
        pairs = [*zip(largest[::2], largest[1::2], strict=True)]
        largest = [Signal(_EXPONENT_BITS) for _ in pairs]
        m.d.comb += [
            larger.eq(Mux(a > b, a, b)) for larger, (a, b) in zip(largest, pairs, strict=True)
        ]
    return Cat(largest)


@dataclass(frozen=True, kw_only=True)
class FpDotParameters(LaneParameters):
    """As `LaneParameters`; ``lanes`` and ``window_bits`` of the dot product.

    ``stages_per_rank``: as there. ``lanes``: products of a step, a power of two from 4 to 64.
    ``window_bits``: bits that products are aligned in, from the top of the largest down, 22 to 48.
    """

    lanes: int = 16
    window_bits: int = 26

    def __post_init__(self):
        super().__post_init__()
        check_power_of_two("lanes", self.lanes, 4, 64)
        check_range("window_bits", self.window_bits, _PRODUCT_BITS, 48)

    @property
    def macs_per_cycle(self) -> float:
        """Multiply-accumulates a cycle."""
        return float(self.lanes)

    @property
    def product(self) -> _TermParameters:
        """Parameters of the dot product."""
        return narrowed(_TermParameters, self, tag_bits=self.tag_bits)


class FpDot(Lane):
    """Fused dot products of FP16 vectors, accumulated in FP32: ``lanes`` products a cycle.

    Ports and timing: `Lane`, with FP16 arrays ``a`` and ``b``: a group is 64 / lanes steps.

    Numerics
    --------
    Among the products that are not 0 the largest sum of exponents sets the window; each product is
    cut to ``window_bits`` bits from there down, toward zero. Their sum in it is exact, is rounded
    to FP32, and added: acc = FP32(acc + FP32(sum)), both to nearest even. Inf and NaN: IEEE 754's
    rules for the products and their sum.

    Source: the fused units of tensor cores, whose windows are as narrow; what the FP-FP baseline of
    Anda (HPCA 2025) would be at its densest.
    """
