"""Activations of a step made fixed-point, once for all columns, and its words cut into digits."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value

from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.formats.packed import LANES, WORD_BITS, WORD_COLUMNS_MAX, dot_step_layout
from lamina.pacq.layouts import TERM_BITS, aligned_step_layout
from lamina.pacq.unpack import SIGNIFICAND_BITS, Unpacked

__all__ = ["Align", "AlignParameters", "code_offset"]


def code_offset(zero: Value, int2: Value) -> Value:
    """Return what a stored code exceeds its weight B by, 0 to 15: 2^(bits - 1) + zero point.

    Adding 2^(bits - 1) to a number of ``bits`` bits turns its top bit around.
    """
    return Mux(int2, Cat(zero[0], ~zero[1]), Cat(zero[:3], ~zero[3]))


@dataclass(frozen=True, kw_only=True)
class AlignParameters(PipelineParameters):
    """``single``: steps may have one column, see `dot_step_layout`; else only ranks and tag."""

    single: bool = False

    @property
    def stages(self):
        """Unpack and negate, then shift."""
        return (_unpack, _shift)

    @property
    def operands(self):
        """Fields of `dot_step_layout` that a column needs."""
        names = ("a", "words", "int2", "zeros", "first", "last") + ("single",) * self.single
        step = dot_step_layout(0, single=self.single)
        return {name: step.members[name] for name in names}

    @property
    def results(self):
        """Fields of `aligned_step_layout`."""
        return dict(aligned_step_layout(single=self.single).members)


class Align(Pipeline):
    """Takes the steps of a dot product, puts out `aligned_step_layout`.

    A finite FP16 value is an integer of 41 bits in units of 2^-24, so that one shift per activation
    replaces one per product, and every sum after it is exact. Minus the activation is put out: the
    columns' inverting selects turn it back.

    Timing: ``parameters.latency`` cycles, one step a cycle.
    """


def _unpack(m: Module, i) -> dict[str, Value]:
    a = [Unpacked(i.a.word_select(lane, 16), negate=True) for lane in range(LANES)]
    zeros = [i.zeros.word_select(column, 4) for column in range(WORD_COLUMNS_MAX)]
    return {
        "significands": Cat(x.significand for x in a),
        "shifts": Cat((x.exponent - 1)[:5] for x in a),
        "infinite": Cat(x.inf for x in a),
        "negative": Cat(x.negative for x in a),
        "nan": Cat(x.nan for x in a).any(),
        "offsets": Cat(code_offset(zero, i.int2)[:4] for zero in zeros),
        "words": i.words,
        "int2": i.int2,
        "single": getattr(i, "single", Const(0, 0)),
        "first": i.first,
        "last": i.last,
    }


def _shift(m: Module, i) -> dict[str, Value]:
    terms, low, high = [], [], []
    for lane in range(LANES):
        significand = i.significands.word_select(lane, SIGNIFICAND_BITS).as_signed()
        # The all-ones exponent shifts its bits out: then flags stand for the value.
        shifted = significand << i.shifts.word_select(lane, 5)
        terms.append(shifted[:TERM_BITS])
        word = i.words.word_select(lane, WORD_BITS)
        fields = [word.word_select(field, 2) for field in range(WORD_COLUMNS_MAX)]
        # An INT2 code is a low digit alone; an INT4 code has fields 2j and 2j + 1.
        low.append(Mux(i.int2, word, Cat(*fields[0::2], Const(0, WORD_COLUMNS_MAX))))
        high.append(Mux(i.int2, 0, Cat(fields[1::2])))
    names = ("offsets", "infinite", "negative", "nan", "int2", "single", "first", "last")
    beside = {name: getattr(i, name) for name in names}
    return {"terms": Cat(terms), "low": Cat(low), "high": Cat(high), **beside}
