# amaranth: UnusedElaboratable=no
# (components are made here to be looked at, not to be built)
"""What a module is, as data: ports, parameters and figures, for MODULE.json and `describe`."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Flow

from lamina_gen.registry import Entry

__all__ = ["describe", "describe_figures", "describe_ports", "describe_shape"]

_AXI_STREAM_PIN = re.compile(
    r"(?P<prefix>[ms]_axis(_[a-z]+)?)_t(?P<pin>data|keep|last|valid|ready)"
)
_AXI_PIN = re.compile(r"(?P<prefix>[ms]_axil?)_(?P<pin>(ar|r|aw|w|b)[a-z]+)")


def describe(entry: Entry, parameters: object) -> dict[str, Any]:
    """Describe ``entry`` as built with ``parameters``: plain data, for people to read."""
    return {
        "module": entry.name,
        "stage": entry.stage,
        "summary": entry.summary,
        "contract": inspect.getdoc(entry.component) or "",
        **describe_figures(parameters),
        "parameters": list(_parameters(parameters)),
        "ports": describe_ports(entry.component(parameters)),
    }


def describe_figures(parameters: object) -> dict[str, Any]:
    """Return what ``parameters`` say of latency (cycles), throughput and storage (bits)."""
    return {
        figure: getattr(parameters, figure) for figure in ("latency", "throughput", "storage_bits")
    }


def _parameters(parameters: Any) -> Iterator[dict[str, Any]]:
    values = asdict(parameters)
    for field in fields(parameters):
        yield {
            "name": field.name,
            "type": getattr(field.type, "__name__", str(field.type)),
            "default": None if field.default is MISSING else field.default,
            "value": values[field.name],
            "meaning": _meaning(type(parameters), field.name),
        }


def _meaning(kind: type, name: str) -> str:
    """Return what the docstring of ``kind``, or of a class that it extends, says of ``name``."""
    for base in kind.__mro__:
        text = inspect.cleandoc(base.__doc__ or "")
        # An entry of a Parameters section, with the range in the place of the type ...
        if section := re.search(rf"^{name} : (.*)\n((?: +\S.*\n?)+)", text, re.M):
            return _plain(f"{section[2].rstrip().rstrip('.')} ({section[1]})")
        # ... or running text: clauses start at a name that follows a full stop or a semicolon.
        for clause in re.split(r"(?:^|(?<=[.;])\s+)(?=``)", text):
            if f"``{name}``" in clause:
                return _plain(re.sub(rf"^``{name}``(:|(?= ))", "", clause))
    return ""


def _plain(text: str) -> str:
    return " ".join(text.replace("`", "").split()).rstrip(".;")


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
    return [
        *_streams_and_signals(component),
        *_axi_streams(component),
        *_axi_interfaces(component),
    ]


def _direction(member: wiring.Member) -> str:
    return "in" if member.flow == Flow.In else "out"


def _streams_and_signals(component: wiring.Component) -> Iterator[dict]:
    for name, member in component.signature.members.items():
        if member.is_port and (_AXI_PIN.fullmatch(name) or _AXI_STREAM_PIN.fullmatch(name)):
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


def _pins_by_prefix(
    component: wiring.Component, pattern: re.Pattern[str]
) -> dict[str, dict[str, wiring.Member]]:
    """Group the pins whose names match ``pattern``: by its ``prefix``, then by its ``pin``."""
    interfaces: dict[str, dict[str, wiring.Member]] = {}
    for name, member in component.signature.members.items():
        if member.is_port and (match := pattern.fullmatch(name)):
            interfaces.setdefault(match["prefix"], {})[match["pin"]] = member
    return interfaces


def _axi_streams(component: wiring.Component) -> Iterator[dict]:
    """AXI4-Stream is a stream by other names: TKEEP and TLAST are not in its payload."""
    for prefix, pins in _pins_by_prefix(component, _AXI_STREAM_PIN).items():
        names = {"payload" if pin == "data" else pin: f"{prefix}_t{pin}" for pin in pins}
        yield {
            "name": prefix,
            "direction": _direction(pins["data"]),
            "kind": "stream",
            "shape": describe_shape(pins["data"].shape),
            "signals": names,
        }


def _axi_interfaces(component: wiring.Component) -> Iterator[dict]:
    for prefix, pins in _pins_by_prefix(component, _AXI_PIN).items():
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
