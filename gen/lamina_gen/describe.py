"""What a module's ports are, as data: the description that MODULE.json carries."""

import re
from collections.abc import Iterator

from amaranth.hdl import Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Flow

__all__ = ["describe_ports", "describe_shape"]

_AXI_PIN = re.compile(r"(?P<prefix>[ms]_axil?)_(?P<pin>(ar|r|aw|w|b)[a-z]+)")


def describe_shape(shape: object) -> dict:
    """Describe an Amaranth shape as nested bits, structs and arrays, offsets from the LSB."""
    if isinstance(shape, data.StructLayout | data.FlexibleLayout):
        members = [
            {"name": str(name), "offset": field.offset, "shape": describe_shape(field.shape)}
            for name, field in shape
        ]
        return {"kind": "struct", "width": shape.size, "fields": members}
    if isinstance(shape, data.ArrayLayout):
        stride = Shape.cast(shape.elem_shape).width
        return {
            "kind": "array",
            "width": shape.size,
            "length": shape.length,
            "stride": stride,
            "element": describe_shape(shape.elem_shape),
        }
    cast = Shape.cast(shape)
    return {"kind": "bits", "width": cast.width, "signed": cast.signed}


def describe_ports(component: wiring.Component) -> list[dict]:
    """List the ports of ``component``: streams, AXI interfaces, plain signals."""
    return list(_streams_and_signals(component)) + list(_axi_interfaces(component))


def _direction(member: wiring.Member) -> str:
    return "in" if member.flow == Flow.In else "out"


def _streams_and_signals(component: wiring.Component) -> Iterator[dict]:
    for name, member in component.signature.members.items():
        if member.is_port and _AXI_PIN.fullmatch(name):
            continue
        port = {"name": name, "direction": _direction(member)}
        if member.is_port:
            shape = describe_shape(member.shape)
            yield {**port, "kind": "signal", "shape": shape, "signals": {"value": name}}
        elif isinstance(member.signature, stream.Signature):
            shape = describe_shape(member.signature.members["payload"].shape)
            payload = f"{name}__payload" if shape["width"] else None
            signals = {"payload": payload, "valid": f"{name}__valid", "ready": f"{name}__ready"}
            yield {**port, "kind": "stream", "shape": shape, "signals": signals}
        else:
            raise TypeError(f"Port {name} must be a signal, a stream or an AXI pin.")


def _axi_interfaces(component: wiring.Component) -> Iterator[dict]:
    interfaces: dict[str, dict[str, wiring.Member]] = {}
    for name, member in component.signature.members.items():
        if match := _AXI_PIN.fullmatch(name):
            interfaces.setdefault(match["prefix"], {})[match["pin"]] = member
    for prefix, pins in interfaces.items():
        address, datum = ("araddr", "rdata") if "araddr" in pins else ("awaddr", "wdata")
        reads, writes = "araddr" in pins, "awaddr" in pins
        kind = "axi4-lite" if prefix.endswith("axil") else "axi4"
        if not (reads and writes):
            kind += "-read" if reads else "-write"
        identifier = pins.get("arid") or pins.get("awid")
        yield {
            "name": prefix,
            "direction": _direction(pins[address]),
            "kind": kind,
            "address_width": Shape.cast(pins[address].shape).width,
            "data_width": Shape.cast(pins[datum].shape).width,
            "id_width": Shape.cast(identifier.shape).width if identifier else 0,
            "signals": {pin: f"{prefix}_{pin}" for pin in pins},
        }
