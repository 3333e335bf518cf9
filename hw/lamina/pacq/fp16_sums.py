"""FP16 times FP16 for a DP-4: four products a step, summed exactly."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.arith.products import join_parts, partial_products
from lamina.arith.rounding import keep
from lamina.arith.unpack import unpack
from lamina.formats.ieee import FP16
from lamina.formats.packed import LANES
from lamina.pacq.layouts import special_layout
from lamina.parameters import check_range

__all__ = ["FP16_TOTAL_BITS", "FP16_UNIT_EXPONENT", "Fp16Sums", "Fp16SumsParameters"]

#: Sums are integers in units of 2^-48, the smallest product.
FP16_UNIT_EXPONENT = -48

_PRODUCT_BITS = 2 * FP16.precision

#: The largest product is moved by twice the largest exponent less one.
_TERM_BITS = _PRODUCT_BITS + 2 * (FP16.exponent_ones - 2) + 1
_STEP_BITS = _TERM_BITS + 2

#: Of a group of up to 2^18 products.
FP16_TOTAL_BITS = _TERM_BITS + 18

_SHIFT_BITS = 6
_COARSE = 8


@dataclass(frozen=True, kw_only=True)
class _ProductsParameters(PipelineParameters):
    """From four activations and four weights to the sum of their products."""

    @property
    def stages(self):
        return (_unpack, _multiply, join_parts, _negate, _shift_coarse, _shift, _add_pairs, _add)

    @property
    def operands(self):
        vector = data.ArrayLayout(unsigned(FP16.width), LANES)
        return {"a": vector, "b": vector}

    @property
    def results(self):
        return {"sum": signed(_STEP_BITS), "special": special_layout()}


def _lanes(value: Value) -> list[Value]:
    width = len(value) // LANES
    return [value[width * lane : width * (lane + 1)] for lane in range(LANES)]


def _unpack(m: Module, x) -> dict[str, Value]:
    pairs = [
        (unpack(FP16, a), unpack(FP16, b)) for a, b in zip(_lanes(x.a), _lanes(x.b), strict=True)
    ]
    minus = Cat(a.sign ^ b.sign for a, b in pairs)
    infinite = Cat(a.inf | b.inf for a, b in pairs)
    nan = Cat(a.nan | b.nan | (a.inf & b.zero) | (a.zero & b.inf) for a, b in pairs)
    shifts = []
    for a, b in pairs:
        shifts.append(Signal(_SHIFT_BITS))
        # What Inf and NaN are moved by means nothing: their flags stand for the sum.
        m.d.comb += shifts[-1].eq(a.exponent + b.exponent - 2)
    special = Cat((infinite & ~minus).any(), (infinite & minus).any(), nan.any())
    return {
        "factors": Cat(a.significand for a, _ in pairs),
        "weights": Cat(b.significand for _, b in pairs),
        "minus": minus,
        "shifts": Cat(shifts),
        "special": special,
    }


def _multiply(m: Module, x) -> dict[str, Value]:
    parts: dict[str, Value] = {}
    for lane, (a, b) in enumerate(zip(_lanes(x.factors), _lanes(x.weights), strict=True)):
        parts |= partial_products(f"product{lane}", a, b)
    return keep(x, "minus", "shifts", "special") | parts


def _negate(m: Module, x) -> dict[str, Value]:
    """Here, in 23 bits, rather than after the shift has made them wide."""
    terms = []
    for lane in range(LANES):
        flipped = Cat(getattr(x, f"product{lane}"), Const(0, 1))
        flipped ^= x.minus[lane].replicate(_PRODUCT_BITS + 1)
        terms.append((flipped + x.minus[lane])[: _PRODUCT_BITS + 1])
    return keep(x, "shifts", "special") | {"terms": Cat(terms)}


def _shift_coarse(m: Module, x) -> dict[str, Value]:
    """By multiples of eight."""
    terms = []
    for term, shift in zip(_lanes(x.terms), _lanes(x.shifts), strict=True):
        shifted = Signal(signed(_TERM_BITS))
        m.d.comb += shifted.eq(term.as_signed() << Cat(Const(0, 3), shift[3:]))
        terms.append(shifted)
    fine = Cat(shift[:3] for shift in _lanes(x.shifts))
    return keep(x, "special") | {"terms": Cat(terms), "shifts": fine}


def _shift(m: Module, x) -> dict[str, Value]:
    terms = []
    for term, shift in zip(_lanes(x.terms), _lanes(x.shifts), strict=True):
        shifted = Signal(signed(_TERM_BITS))
        m.d.comb += shifted.eq(term.as_signed() << shift)
        terms.append(shifted)
    return keep(x, "special") | {"terms": Cat(terms)}


def _add_pairs(m: Module, x) -> dict[str, Value]:
    terms = [term.as_signed() for term in _lanes(x.terms)]
    return keep(x, "special") | {"low": terms[0] + terms[1], "high": terms[2] + terms[3]}


def _add(m: Module, x) -> dict[str, Value]:
    return keep(x, "special") | {"sum": x.low + x.high}


def fp16_total_layout(index_bits: int) -> data.StructLayout:
    """Return the exact sum of a segment in units of 2^-48, and what the segment says of it.

    The fields are those of `dot_step_layout`; there is one column, and with it one scale.
    """
    flags = ("group_first", "group_last", "begin", "end")
    beside = {"scale": unsigned(16), "index": unsigned(index_bits)}
    beside |= {name: unsigned(1) for name in flags}
    return data.StructLayout(
        {"total": signed(FP16_TOTAL_BITS), "special": special_layout()} | beside
    )


@dataclass(frozen=True, kw_only=True)
class Fp16SumsParameters:
    """``index_bits`` of an output; ``stages_per_rank`` as in `PipelineParameters`."""

    index_bits: int = 5
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("index_bits", self.index_bits, 0, 12)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def beside(self) -> data.StructLayout:
        """What goes with a step through the products: ends of its segment, and its place."""
        fields = dict(fp16_total_layout(self.index_bits).members)
        del fields["total"], fields["special"]
        return data.StructLayout({"first": unsigned(1), "last": unsigned(1)} | fields)

    @property
    def step(self) -> data.StructLayout:
        """A step: four FP16 values of a row, the four of a column that they meet."""
        vector = data.ArrayLayout(unsigned(FP16.width), LANES)
        return data.StructLayout({"a": vector, "b": vector, "beside": self.beside})

    @property
    def products(self) -> _ProductsParameters:
        """Parameters of the pipeline up to the sum of a step."""
        return _ProductsParameters(tag_bits=self.beside.size, stages_per_rank=self.stages_per_rank)

    @property
    def latency(self) -> int:
        """Cycles from the last step of a segment to its sum."""
        return self.products.latency + 1

    @property
    def throughput(self) -> int:
        """Steps per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Products, the sum so far, and the finished one."""
        total = fp16_total_layout(self.index_bits).size
        sums = FP16_TOTAL_BITS + special_layout().size
        return self.products.storage_bits + sums + total + 1


class Fp16Sums(wiring.Component):
    """Adds up FP16 times FP16, four products a step, for one column.

    Members
    -------
    i : In(stream) of ``parameters.step``
    o : Out(stream) of `fp16_total_layout`
        The sum of each segment.

    Timing: one step a cycle; a segment's sum waits in a register until the next one's.

    Numerics: exact, for groups of up to 2^18 products.
    """

    def __init__(self, parameters: Fp16SumsParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.step)),
                "o": Out(stream.Signature(fp16_total_layout(p.index_bits))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p, o = self.parameters, self.o
        m.submodules.products = products = Pipeline(p.products)
        step = data.View(p.beside, products.o.p.tag)
        before, before_special = Signal(signed(FP16_TOTAL_BITS)), Signal(special_layout())
        total, special = Signal(signed(FP16_TOTAL_BITS)), Signal(special_layout().size)
        m.d.comb += [
            products.i.valid.eq(self.i.valid),
            products.i.p.a.eq(self.i.p.a),
            products.i.p.b.eq(self.i.p.b),
            products.i.p.tag.eq(self.i.p.beside),
            self.i.ready.eq(products.i.ready),
            # Only the next segment's sum has to wait for this one to leave.
            products.o.ready.eq(o.ready | ~o.valid | ~step.last),
            total.eq(Mux(step.first, 0, before) + products.o.p.sum),
            special.eq(
                Mux(step.first, 0, before_special.as_value()) | products.o.p.special.as_value()
            ),
        ]
        with m.If(o.ready):
            m.d.sync += o.valid.eq(0)
        with m.If(products.o.valid & products.o.ready):
            m.d.sync += [before.eq(total), before_special.eq(special)]
            with m.If(step.last):
                beside = (name for name in o.p.shape().members if name not in ("total", "special"))
                m.d.sync += [
                    o.valid.eq(1),
                    o.p.total.eq(total),
                    o.p.special.eq(special),
                    *(o.p[name].eq(step[name]) for name in beside),
                ]
        return m
