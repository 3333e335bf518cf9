"""AXI4-Stream: streams inside a design, flat pins (``s_axis_a_tdata``, ...) at a generated top."""

from amaranth.hdl import Module, Shape, ShapeLike, ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["connect_master_pins", "connect_slave_pins", "master_pins", "slave_pins"]


def slave_pins(prefix: str, shape: ShapeLike) -> dict:
    """Return the members of a stream of ``shape`` that comes in, ``<prefix>_tdata`` and so on.

    There is no TKEEP, which says that all bytes are data, and no TLAST: frames may be cut anywhere.
    Raises ValueError if ``shape`` is no whole number of bytes.
    """
    _bytes_of(prefix, shape)
    return {f"{prefix}_tdata": In(shape), f"{prefix}_tvalid": In(1), f"{prefix}_tready": Out(1)}


def master_pins(prefix: str, shape: ShapeLike) -> dict:
    """Return the members of a stream of ``shape`` that goes out, with TKEEP and TLAST.

    Raises ValueError if ``shape`` is no whole number of bytes.
    """
    return {
        f"{prefix}_tdata": Out(shape),
        f"{prefix}_tkeep": Out(_bytes_of(prefix, shape)),
        f"{prefix}_tlast": Out(1),
        f"{prefix}_tvalid": Out(1),
        f"{prefix}_tready": In(1),
    }


def connect_slave_pins(
    m: Module, component: wiring.Component, prefix: str, sink: stream.Interface
) -> None:
    """Connect the `slave_pins` of ``component`` to a stream of the same shape into a part."""
    pins = _Pins(component, prefix)
    m.d.comb += [sink.payload.eq(pins.tdata), sink.valid.eq(pins.tvalid)]
    m.d.comb += pins.tready.eq(sink.ready)


def connect_master_pins(
    m: Module,
    component: wiring.Component,
    prefix: str,
    source: stream.Interface,
    *,
    last: ValueLike = 0,
    keep: ValueLike = -1,
) -> None:
    """Connect the `master_pins` of ``component`` to a stream out of a part.

    ``last``: the beat ends its frame; ``keep``: a bit for each byte that is data. Both must hold
    while the stream is stalled.
    """
    pins = _Pins(component, prefix)
    m.d.comb += [
        pins.tdata.eq(source.payload),
        pins.tkeep.eq(keep),
        pins.tlast.eq(last),
        pins.tvalid.eq(source.valid),
        source.ready.eq(pins.tready),
    ]


class _Pins:
    """The pins of ``component`` with a prefix, by what follows it."""

    def __init__(self, component: wiring.Component, prefix: str):
        self._component, self._prefix = component, prefix

    def __getattr__(self, name: str):
        return getattr(self._component, f"{self._prefix}_{name}")


def _bytes_of(prefix: str, shape: ShapeLike) -> int:
    width = Shape.cast(shape).width
    if width == 0 or width % 8:
        raise ValueError(f"{prefix}_tdata must have whole bytes, not {width} bits.")
    return width // 8
