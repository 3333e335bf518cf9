"""What the passes over a scale group do in ranks of their own on FPGAs."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Value, unsigned

from lamina.arith.pipeline import PipelineParameters
from lamina.formats.ieee import FP16
from lamina.pacq.window_rows import LOWEST, WindowRow, shifted, window_below

__all__ = ["LookParameters", "PlaceParameters"]


@dataclass(frozen=True, kw_only=True)
class _StepParameters(PipelineParameters):
    """``rows`` of ``lanes`` activations, seen through windows of ``window_bits``.

    Operands: FP16 activations ``a`` and the ``bases`` of the windows, row by row; ``alone`` as of
    `WindowRow`.
    """

    rows: int = 1
    lanes: int = 4
    window_bits: int = 30

    @property
    def operands(self):
        return {
            "a": unsigned(16 * self.lanes * self.rows),
            "bases": unsigned(FP16.exponent_bits * self.rows),
            "alone": unsigned(1),
        }

    def _bases(self, x: SimpleNamespace) -> list[Value]:
        return [x.bases.word_select(row, FP16.exponent_bits) for row in range(self.rows)]

    def _rows(self, m: Module, x: SimpleNamespace) -> list[WindowRow]:
        return [
            WindowRow(
                m,
                f"row_{row}",
                x.a.word_select(row, 16 * self.lanes),
                base,
                x.alone,
                self.window_bits,
            )
            for row, base in enumerate(self._bases(x))
        ]


@dataclass(frozen=True, kw_only=True)
class LookParameters(_StepParameters):
    """Finds which activations ``a`` a pass will leave: ``kept``, and whether it ``keeps`` any.

    ``again``: the next pass; the pass of the operands leaves to it what they say is ``kept``.
    """

    again: bool = False

    @property
    def stages(self):
        return (self._leave, self._keep) if self.again else (self._look, self._any)

    @property
    def operands(self):
        kept = {"kept": unsigned(self.lanes * self.rows)} if self.again else {}
        return super().operands | kept

    @property
    def results(self):
        values = {"kept": unsigned(self.lanes * self.rows), "keeps": unsigned(1)}
        return {"a": self.operands["a"]} | values

    def _leave(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        bases = self._bases(x)
        lanes = [x.a.word_select(lane, 16) for lane in range(len(x.kept))]
        left = [a & kept.replicate(16) for a, kept in zip(lanes, x.kept, strict=True)]
        return {
            "a": Cat(left),
            "bases": Cat(
                window_below(base, self.window_bits)[: FP16.exponent_bits] for base in bases
            ),
            # Nothing is below: what is left are infinities.
            "alone": Cat(base == LOWEST for base in bases).all(),
        }

    def _look(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        return {"a": x.a, "kept": Cat(Cat(row.keep) for row in self._rows(m, x))}

    def _any(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        return {"a": x.a, "kept": x.kept, "keeps": x.kept.any()}

    def _keep(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        return self._any(m, SimpleNamespace(**self._look(m, x)))


@dataclass(frozen=True, kw_only=True)
class PlaceParameters(_StepParameters):
    """Aligns a step: ``terms`` and ``infinite``, row by row, as of `WindowRow`."""

    @property
    def stages(self):
        return (self._see, self._shift)

    @property
    def results(self):
        return {
            "terms": unsigned(self.window_bits * self.lanes * self.rows),
            "infinite": unsigned(self.rows),
        }

    def _see(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        rows = self._rows(m, x)
        return {
            "significands": Cat(Cat(row.significands) for row in rows),
            "shifts": Cat(Cat(row.shifts) for row in rows),
            "infinite": Cat(row.infinite for row in rows),
        }

    def _shift(self, m: Module, x: SimpleNamespace) -> dict[str, Value]:
        count = self.rows * self.lanes
        widths = [len(value) // count for value in (x.significands, x.shifts)]
        terms = []
        for number in range(count):
            significand, shift = (
                value.word_select(number, width)
                for value, width in zip((x.significands, x.shifts), widths, strict=True)
            )
            terms.append(shifted(significand.as_signed(), shift, self.window_bits))
        return {"terms": Cat(terms), "infinite": x.infinite}
