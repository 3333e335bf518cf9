"""Neighbouring outputs of a row: as many as are synthesized as one, with what drives them."""

from dataclasses import dataclass

from amaranth.hdl import Module, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.pacq.window_element import WindowElement, WindowElementParameters, pair_layout
from lamina.parameters import check_range, narrowed

__all__ = ["WindowBank", "WindowBankParameters"]


@dataclass(frozen=True, kw_only=True)
class WindowBankParameters(WindowElementParameters):
    """As `WindowElementParameters`; ``columns``: elements of the bank, 1 to 16."""

    columns: int = 8

    def __post_init__(self):
        super().__post_init__()
        check_range("columns", self.columns, 1, 16)

    @property
    def element(self) -> WindowElementParameters:
        """Parameters of an element."""
        return narrowed(WindowElementParameters, self)

    @property
    def throughput(self) -> int:
        """Steps per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Flip-flops of all elements."""
        return self.columns * self.element.storage_bits


class WindowBank(wiring.Component):
    """Several `WindowElement` that share their operands of the row.

    Members are those of an element, ``codes`` and ``sums`` by column, and ``pairs`` inverted. A
    bank is a cell of its own. Its inverters are what synthesis can size and multiply for all that
    the bits of a table have to drive: nothing else is between registers and selects.
    """

    def __init__(self, parameters: WindowBankParameters):
        self.parameters = p = parameters
        codes = data.ArrayLayout(unsigned(p.weight_bits), p.lanes)
        super().__init__(
            {
                "enables": In(len(p.element.ends)),
                "first": In(1),
                "pairs": In(data.ArrayLayout(pair_layout(p.window_bits), p.lanes // 2)),
                "codes": In(data.ArrayLayout(codes, p.columns)),
                "sums": Out(data.ArrayLayout(p.element.total_shape, p.columns)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for column in range(self.parameters.columns):
            element = WindowElement(self.parameters.element)
            m.submodules[f"element_{column}"] = element
            m.d.comb += [
                element.enables.eq(self.enables),
                element.first.eq(self.first),
                element.pairs.eq(~self.pairs.as_value()),
                element.codes.eq(self.codes[column]),
                self.sums[column].eq(element.sum),
            ]
        return m
