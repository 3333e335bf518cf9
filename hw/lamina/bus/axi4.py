"""AXI4: five streams inside a design, flat pins (``m_axi_araddr``, ...) at a generated top."""

from dataclasses import dataclass

from amaranth.hdl import Module, Shape, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.parameters import check_power_of_two, check_range

__all__ = [
    "BURST_BEATS_MAX",
    "BURST_INCR",
    "PAGE_BYTES",
    "Axi4Parameters",
    "address_layout",
    "connect_read_pins",
    "connect_write_pins",
    "read_data_layout",
    "read_pins",
    "write_data_layout",
    "write_pins",
    "write_response_layout",
]

#: ``burst`` of a burst whose addresses rise from beat to beat, the only kind that Lamina issues.
BURST_INCR = 1

#: Longest INCR burst, and the page that no burst may leave.
BURST_BEATS_MAX = 256
PAGE_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Axi4Parameters:
    """Widths of one AXI4 port, in bits."""

    address_bits: int = 48
    data_bits: int = 512
    id_bits: int = 1

    def __post_init__(self):
        check_range("address_bits", self.address_bits, 12, 64)
        check_power_of_two("data_bits", self.data_bits, 8, 1024)
        check_range("id_bits", self.id_bits, 1, 32)

    @property
    def size(self) -> int:
        """``size`` of a beat that fills the bus: log2 of its bytes."""
        return (self.data_bits // 8).bit_length() - 1


def address_layout(p: Axi4Parameters) -> data.StructLayout:
    """Return a beat of AR or AW: a burst of ``len`` + 1 beats of 2^``size`` bytes at ``addr``."""
    return data.StructLayout(
        {
            "id": unsigned(p.id_bits),
            "addr": unsigned(p.address_bits),
            "len": unsigned(8),
            "size": unsigned(3),
            "burst": unsigned(2),
        }
    )


def read_data_layout(p: Axi4Parameters) -> data.StructLayout:
    """Return a beat of R. ``resp``: bit 1 set = error (2 slave, 3 decode). ``last``: of a burst."""
    return data.StructLayout(
        {
            "id": unsigned(p.id_bits),
            "data": unsigned(p.data_bits),
            "resp": unsigned(2),
            "last": unsigned(1),
        }
    )


def write_data_layout(p: Axi4Parameters) -> data.StructLayout:
    """Return a beat of W: ``strb`` bit i says that byte i of ``data`` is to be written."""
    return data.StructLayout(
        {
            "data": unsigned(p.data_bits),
            "strb": unsigned(p.data_bits // 8),
            "last": unsigned(1),
        }
    )


def write_response_layout(p: Axi4Parameters) -> data.StructLayout:
    """Return a beat of B, the answer to a whole write burst; ``resp`` as in `read_data_layout`."""
    return data.StructLayout({"id": unsigned(p.id_bits), "resp": unsigned(2)})


def _channel_pins(prefix: str, layout: data.StructLayout, towards, back) -> dict:
    """Return the flat members of one channel whose payload flows ``towards``."""
    pins = {f"{prefix}{name}": towards(Shape.cast(field.shape)) for name, field in layout}
    return pins | {f"{prefix}valid": towards(1), f"{prefix}ready": back(1)}


def read_pins(prefix: str, p: Axi4Parameters) -> dict:
    """Return the members of a read-only AXI4 master, ``<prefix>_araddr`` to ``<prefix>_rready``."""
    return _channel_pins(f"{prefix}_ar", address_layout(p), Out, In) | _channel_pins(
        f"{prefix}_r", read_data_layout(p), In, Out
    )


def write_pins(prefix: str, p: Axi4Parameters) -> dict:
    """Return the members of a write-only AXI4 master, ``<prefix>_awaddr`` to ``_bready``."""
    return (
        _channel_pins(f"{prefix}_aw", address_layout(p), Out, In)
        | _channel_pins(f"{prefix}_w", write_data_layout(p), Out, In)
        | _channel_pins(f"{prefix}_b", write_response_layout(p), In, Out)
    )


def connect_read_pins(
    m: Module,
    component: wiring.Component,
    prefix: str,
    ar: stream.Interface,
    r: stream.Interface,
) -> None:
    """Connect the `read_pins` of ``component`` to a stream ``ar`` out of and ``r`` into a part."""
    _connect(m, component, f"{prefix}_ar", ar, outward=True)
    _connect(m, component, f"{prefix}_r", r, outward=False)


def connect_write_pins(
    m: Module,
    component: wiring.Component,
    prefix: str,
    aw: stream.Interface,
    w: stream.Interface,
    b: stream.Interface,
) -> None:
    """Connect the `write_pins` of ``component`` to streams ``aw``, ``w`` out and ``b`` in."""
    _connect(m, component, f"{prefix}_aw", aw, outward=True)
    _connect(m, component, f"{prefix}_w", w, outward=True)
    _connect(m, component, f"{prefix}_b", b, outward=False)


def _connect(m, component, prefix, flow, *, outward):
    """Connect the pins of one channel to a stream of the same fields."""
    names = [name for name, _ in flow.p.shape()]
    pins = [getattr(component, f"{prefix}{name}") for name in names]
    fields = [flow.p[name] for name in names]
    valid, ready = getattr(component, f"{prefix}valid"), getattr(component, f"{prefix}ready")
    sinks, sources = (pins, fields) if outward else (fields, pins)
    m.d.comb += [sink.eq(source) for sink, source in zip(sinks, sources, strict=True)]
    if outward:
        m.d.comb += [valid.eq(flow.valid), flow.ready.eq(ready)]
    else:
        m.d.comb += [flow.valid.eq(valid), ready.eq(flow.ready)]
