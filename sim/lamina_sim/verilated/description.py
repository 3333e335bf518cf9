"""MODULE.json as far as the driver needs it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Port", "read_description"]

AXI_READ = (
    "arid", "araddr", "arlen", "arsize", "arburst", "arvalid", "arready",
    "rid", "rdata", "rresp", "rlast", "rvalid", "rready",
)  # fmt: skip
"""Signals of an axi4-read port in the order of memory.h AxiReadSignals."""

#: Ports that can be stepped by hand only.
BY_HAND = ("axi4", "axi4-write", "axi4-lite", "axi4-lite-read", "axi4-lite-write")

_NEEDED = {
    "stream": ("valid", "ready"),
    "signal": ("value",),
    "axi4-read": tuple(
        name for name in AXI_READ if name not in ("arid", "rid", "arsize", "arburst")
    ),
    **dict.fromkeys(BY_HAND, ()),
}


@dataclass(frozen=True, kw_only=True)
class Port:
    """One entry of "ports": a stream, a plain signal or an AXI interface."""

    name: str
    kind: str
    direction: str
    shape: Mapping[str, Any]
    signals: Mapping[str, str | None]

    @property
    def width(self) -> int:
        """Bits of the payload or value."""
        return int(self.shape["width"])


def read_description(path: Path) -> dict[str, Any]:
    """Parse MODULE.json and check that the driver can serve it; ValueError says why not."""
    try:
        description = json.loads(path.read_text())
        top, ports = description["top"], ports_of(description)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} must be the JSON that describes a module: {error!r}.") from error
    if not isinstance(top, str):
        raise ValueError(f"The top of {path} must be the name of a module, not {top!r}.")
    for port in ports:
        needed = _NEEDED.get(port.kind)
        if needed is None:
            raise ValueError(
                f"Port {port.name} must be one of {', '.join(_NEEDED)}, not {port.kind}."
            )
        missing = [name for name in needed if not port.signals.get(name)]
        if port.kind == "stream" and port.width and not port.signals.get("payload"):
            missing.append("payload")
        if missing and (port.kind != "signal" or port.width):
            raise ValueError(f"Port {port.name} must have the signals {', '.join(missing)}.")
        if port.kind == "axi4-read" and port.direction != "out":
            raise ValueError(f"Port {port.name} must be a master: only reads by it are served.")
    return dict(description)


def ports_of(description: Mapping[str, Any]) -> list[Port]:
    """The ports of a parsed description, in its order."""
    return [
        Port(
            name=port["name"],
            kind=port["kind"],
            direction=port["direction"],
            shape=port.get("shape", {"kind": "bits", "width": 0}),
            signals=port["signals"],
        )
        for port in description["ports"]
    ]
