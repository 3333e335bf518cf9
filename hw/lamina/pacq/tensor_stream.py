"""PacQ's tensor core with AXI4-Stream ports."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from lamina.bus.axi4_stream import (
    connect_master_pins,
    connect_slave_pins,
    master_pins,
    slave_pins,
)
from lamina.formats.tensor import (
    a_tile_layout,
    b_tile_layout,
    columns_of,
    counters_layout,
    placed_element_layout,
    product_operation_layout,
    word_scales_layout,
)
from lamina.pacq.tensor_core import TensorCore, TensorCoreParameters
from lamina.parameters import narrowed

__all__ = ["TensorStream", "TensorStreamParameters"]

#: Places of a tile, each of them with 1, 4 or 8 columns.
_PLACES = 256
#: Of the count of elements to come: a core has far less than 2^16 under way.
_DUE_BITS = 16
_ELEMENT_BYTES = placed_element_layout().size // 8


@dataclass(frozen=True, kw_only=True)
class TensorStreamParameters(TensorCoreParameters):
    """As `TensorCoreParameters`: those of the core inside."""

    @property
    def core(self) -> TensorCoreParameters:
        """Parameters of the tensor core."""
        return narrowed(TensorCoreParameters, self)

    @property
    def beat(self) -> data.ArrayLayout:
        """Elements of a beat, one from each write port."""
        return data.ArrayLayout(placed_element_layout(), self.ports)

    @property
    def latency(self) -> int:
        """Cycles from an operation whose operands are there to the first of its elements."""
        return self.core.latency + 1

    @property
    def storage_bits(self) -> int:
        """The core, the beat that leaves, and the count of elements to come."""
        beat = self.beat.size + self.ports.bit_length() + 1
        return self.core.storage_bits + beat + _DUE_BITS + 1


class TensorStream(wiring.Component):
    """Multiplies matrices that come over AXI4-Stream on PacQ's tensor core.

    Members
    -------
    s_axis_operation_* : pins of a slave, `product_operation_layout`
        Warp operations of any number of products, one after another.
    s_axis_a_*, s_axis_b_*, s_axis_scales_* : pins of slaves
        Their operands, as `TensorCore` takes them: 32, 32 and 20 bytes a beat.
    m_axis_c_* : pins of a master, ``parameters.beat``
        Elements of C in any order, one from each write port of the core that has one; TKEEP leaves
        the others out. TLAST: with it the last elements of a product leave.
    counters : Out of `counters_layout`
        Those of the core.

    Timing: that of the core, and a cycle. Operations enter when the product before them has left.
    """

    def __init__(self, parameters: TensorStreamParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                **slave_pins("s_axis_operation", product_operation_layout()),
                **slave_pins("s_axis_a", a_tile_layout()),
                **slave_pins("s_axis_b", b_tile_layout()),
                **slave_pins("s_axis_scales", word_scales_layout()),
                **master_pins("m_axis_c", p.beat),
                "counters": Out(counters_layout()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = TensorCore(self.parameters.core)
        for name in ("a", "b", "scales"):
            connect_slave_pins(m, self, f"s_axis_{name}", getattr(core, f"i_{name}"))
        m.d.comb += self.counters.eq(core.counters)
        beat, number = self._gather(m, core)
        due, closing = Signal(_DUE_BITS), Signal()
        keep = Cat(element.there[0].replicate(_ELEMENT_BYTES) for element in beat.p)
        last = Signal()
        m.d.comb += last.eq(closing & (due == number))
        connect_master_pins(m, self, "m_axis_c", beat, last=last, keep=keep)
        made = self._operations(m, core, closing, beat.valid & beat.ready & last)
        m.d.sync += due.eq(due + made - Mux(beat.valid & beat.ready, number, 0))
        return m

    def _gather(self, m, core):
        """Register what the write ports have together; return it and how many elements it is."""
        beat = stream.Signature(self.parameters.beat).create()
        ports = [getattr(core, f"o_{n}") for n in range(self.parameters.ports)]
        number, there = Signal(range(len(ports) + 1)), Cat(port.valid for port in ports)
        advance = beat.ready | ~beat.valid
        m.d.comb += [port.ready.eq(advance) for port in ports]
        with m.If(advance):
            m.d.sync += [beat.valid.eq(there.any()), number.eq(sum(there))]
            for element, port in zip(beat.p, ports, strict=True):
                m.d.sync += [
                    element.there.eq(port.valid),
                    *(
                        element[name].eq(Mux(port.valid, port.p[name], 0))
                        for name in port.p.shape().members
                    ),
                ]
        return beat, number

    def _operations(self, m, core, closing, left):
        """Let operations in; return how many elements they make.

        Octets finish apart from each other: elements of two products would mingle if the second
        were let in before the first had ``left``.
        """
        operation = self.s_axis_operation_tdata
        valid, ready, ends = self.s_axis_operation_tvalid, self.s_axis_operation_tready, Signal()
        m.d.comb += [
            core.i.valid.eq(valid & ~closing),
            ready.eq(core.i.ready & ~closing),
            *(core.i.p[name].eq(operation[name]) for name in core.i.p.shape().members),
            ends.eq(valid & ready & operation.group_last & operation.end),
        ]
        with m.If(ends & operation.last):
            m.d.sync += closing.eq(1)
        with m.Elif(left):
            m.d.sync += closing.eq(0)
        return Mux(ends, columns_of(operation) * Const(_PLACES), 0)
