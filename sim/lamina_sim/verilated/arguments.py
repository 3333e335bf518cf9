"""Checks and conversions of what a caller hands to Model.run."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina_sim.verilated import ports
from lamina_sim.verilated.description import Port
from lamina_sim.verilated.memory import Memory

__all__ = ["at_least", "check_names", "constant", "memories", "payloads", "stalls"]


#: Largest count of anything: cycles, beats, transfers.
_MOST = 1 << 48


def at_least(least: int, value: int, name: str) -> int:
    """``value`` if it is an integer not below ``least``, and one that can be counted to."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}.")
    if value > _MOST:
        raise ValueError(f"{name} must be at most {_MOST}, not {value}.")
    return int(value)


def check_names(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise ValueError if a name is not known."""
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"{what} must be one of {known}, not {name!r}.")


def payloads(port: Port, values: Any) -> NDArray[np.uint32]:
    """Packed payloads [n, words] of a stream, from words or from values."""
    words = ports.word_count(port.width)
    if port.width == 0 and isinstance(values, int):
        return np.zeros((at_least(0, values, f"The number of beats of {port.name}"), 0), np.uint32)
    if not isinstance(values, np.ndarray) or values.dtype != np.uint32:
        return ports.pack(port.shape, values, port.name)
    rows = values.reshape(-1, 1) if values.ndim == 1 and words == 1 else values
    if rows.ndim != 2 or rows.shape[1] != words:
        raise ValueError(
            f"{port.name} has {port.width} bits: its words must be uint32 [n, {words}], "
            f"not {list(values.shape)}."
        )
    ports.check_clean(rows, port.width, port.name)
    return rows


def constant(port: Port, value: Any) -> NDArray[np.uint32]:
    """Packed value [words] of a plain input; integers of any width will do."""
    if isinstance(value, int) and port.shape["kind"] == "bits" and port.width > 64:
        if not 0 <= value < 1 << port.width:
            raise ValueError(f"{port.name} must fit in {port.width} bits, not be {value}.")
        count = ports.word_count(port.width)
        return np.frombuffer(value.to_bytes(4 * count, "little"), np.uint32)
    return ports.pack(port.shape, _one(value), port.name)[0]


def _one(value: Any) -> Any:
    """The same value with a leading axis of one payload."""
    if isinstance(value, Mapping):
        return {key: _one(inner) for key, inner in value.items()}
    return np.asarray(value)[None]


def stalls(
    stall: Mapping[str, float] | float, known: Iterable[Port]
) -> dict[str, tuple[float, float]]:
    """Stall probabilities by port, twice: a memory port has one for AR and one for R."""
    names = {port.name: port.kind for port in known if port.kind != "signal"}
    for value in stall.values() if isinstance(stall, Mapping) else [stall]:
        if not isinstance(value, int | float | np.floating):
            raise TypeError(f"stall must be a number from 0 to 1, not {value!r}.")
    if not isinstance(stall, Mapping):
        return dict.fromkeys(names, (stall, stall))
    channels = [f"{n}.{c}" for n, kind in names.items() if kind != "stream" for c in ("ar", "r")]
    check_names(stall, [*names, *channels], "A port with stall")
    result = {}
    for name in names:
        both = stall.get(name, 0.0)
        result[name] = (stall.get(f"{name}.ar", both), stall.get(f"{name}.r", both))
    return result


def memories(
    given: Mapping[str, Memory | NDArray[np.uint8]] | NDArray[np.uint8] | Memory | None,
    latency: int,
    known: Iterable[Port],
) -> dict[str, Memory]:
    """The memory of each memory port."""
    names = [port.name for port in known if port.kind == "axi4-read"]
    if given is None:
        given = {}
    elif not isinstance(given, Mapping):
        if len(names) != 1:
            raise ValueError(f"memory must name one of the ports {names}.")
        given = {names[0]: given}
    check_names(given, names, "A memory port")
    for name in names:
        if name not in given:
            raise ValueError(f"memory must say what port {name} reads.")
    return {
        name: value if isinstance(value, Memory) else Memory(data=value, latency=latency)
        for name, value in given.items()
    }
