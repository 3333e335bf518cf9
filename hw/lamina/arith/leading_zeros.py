"""Leading-zero count: the distance by which a significand has to be shifted."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned

from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.parameters import check_range

__all__ = ["LeadingZeros", "LeadingZerosParameters", "count_leading_zeros"]


def count_leading_zeros(m: Module, value: Value) -> Value:
    """Return how many zeros stand above the highest set bit; ``len(value)`` where none is set.

    A tree of log2(width) levels, each a multiplexer deep.
    """
    width = len(value)
    size = 1 << (width - 1).bit_length()
    # Ones below the value stop the count at its width.
    bits = Cat(Const((1 << (size - width)) - 1, size - width), value)
    # counts[j] counts within the j-th lowest part; its top bit says that the part is all zero.
    counts = [~bit for bit in bits]
    while len(counts) > 1:
        counts = [
            _joined(m, low, high) for low, high in zip(counts[::2], counts[1::2], strict=True)
        ]
    return counts[0][: width.bit_length()]


def _joined(m: Module, low: Value, high: Value) -> Signal:
    """Count over two neighbouring parts of equal size, given the count of each."""
    upper = [high[-1] & ~low[-1], high[-1] & low[-1]]
    # Parts of one bit have nothing else to say.
    rest = [Mux(high[-1], low[:-1], high[:-1])] if len(low) > 1 else []
    count = Signal(len(low) + 1)
    m.d.comb += count.eq(Cat(*rest, *upper))
    return count


@dataclass(frozen=True, kw_only=True)
class LeadingZerosParameters(PipelineParameters):
    """``width`` (1 to 1024) of the operand, beside `PipelineParameters`."""

    width: int = 32

    def __post_init__(self):
        super().__post_init__()
        check_range("width", self.width, 1, 1024)

    @property
    def stages(self):
        return (_count,)

    @property
    def operands(self):
        return {"value": unsigned(self.width)}

    @property
    def results(self):
        return {"count": range(self.width + 1)}


def _count(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    return {"count": count_leading_zeros(m, x.value)}


class LeadingZeros(Pipeline):
    """Counts the zeros above the highest set bit of ``value``.

    Members
    -------
    i : {value: unsigned(width), tag}
    o : {count: 0 to width, tag}
        ``width`` where ``value`` is 0.

    Parameters: `LeadingZerosParameters`. Timing: one rank; see `Pipeline`.
    """
