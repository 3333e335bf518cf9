"""Result buffer: results come a few of each row at a time, and leave a group of a row at a time."""

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.cell import Cell
from lamina.formats.anda import GROUP
from lamina.stream.memory import BlockMemory

__all__ = ["ResultBuffer"]


class ResultBuffer(wiring.Component):
    """A memory for each place of a beat of results, so that all are written at once.

    Parameters: `OutputStageParameters`.

    Members
    -------
    write, address : In
    segment : In(one-hot)
        Which of the group's blocks of columns ``values`` are.
    values : In(ArrayLayout(ArrayLayout(16, block_columns), units))
    read, read_address, unit : In
    read_values : Out(ArrayLayout(16, 64))
        Of the row ``unit`` of the address, a cycle after ``read``; they stay until the next one.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "write": In(1),
                "address": In(p.memory.address_bits),
                "segment": In(p.segments),
                "values": In(data.ArrayLayout(data.ArrayLayout(16, p.block_columns), p.units)),
                "read": In(1),
                "read_address": In(p.memory.address_bits),
                "unit": In(range(p.units)),
                "read_values": Out(data.ArrayLayout(16, GROUP)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        rows = []
        for unit in range(p.units):
            parts = []
            for segment in range(p.segments):
                memory = Cell(BlockMemory, p.memory)
                m.submodules[f"memory_{unit}_{segment}"] = memory
                m.d.comb += [
                    memory.write_enable.eq(self.write & self.segment[segment]),
                    memory.write_address.eq(self.address),
                    memory.write_data.eq(self.values[unit]),
                    memory.read_enable.eq(self.read),
                    memory.read_address.eq(self.read_address),
                ]
                parts.append(memory.read_data)
            rows.append(Cat(*parts))
        unit = Signal.like(self.unit)
        with m.If(self.read):
            m.d.sync += unit.eq(self.unit)
        m.d.comb += self.read_values.as_value().eq(Array(rows)[unit] if p.units > 1 else rows[0])
        return m
