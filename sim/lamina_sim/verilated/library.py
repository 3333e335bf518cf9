"""The C interface of a built model (driver.cpp) as ctypes declarations."""

import ctypes as c
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AddressRange", "MemorySettings", "Schedule", "Traffic", "load", "view"]

RUNNING, DONE, STUCK, ERROR = range(4)  # simulation.h Status


class Schedule(c.Structure):
    """simulation.h Schedule."""

    _fields_ = tuple(
        (name, c.c_int64) for name in ("reset_cycles", "reset_at", "timeout", "drain", "limit")
    )


class AddressRange(c.Structure):
    """memory.h AddressRange."""

    _fields_ = (("start", c.c_uint64), ("stop", c.c_uint64))


class MemorySettings(c.Structure):
    """memory.h MemorySettings."""

    _fields_ = (
        ("data", c.c_void_p),
        ("size", c.c_uint64),
        ("base", c.c_uint64),
        ("latency", c.c_int64),
        ("ar_stall", c.c_uint64),
        ("r_stall", c.c_uint64),
        ("reorder", c.c_uint64),
        ("errors", c.POINTER(AddressRange)),
        ("error_count", c.c_int64),
    )


class Traffic(c.Structure):
    """memory.h Traffic."""

    _fields_ = tuple(
        (name, c.c_int64)
        for name in ("bursts", "beats", "bytes", "slverr", "decerr", "first_beat", "last_beat")
    )


_INT, _I64, _U32, _U64, _PTR, _STR = (
    c.c_int, c.c_int64, c.c_uint32, c.c_uint64, c.c_void_p, c.c_char_p,
)  # fmt: skip
_SIGNALS = c.POINTER(c.c_int)

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "lamina_open": (_PTR, [_U64, _INT, _STR, _INT, _INT, c.POINTER(Schedule)]),
    "lamina_close": (None, [_PTR]),
    "lamina_set": (None, [_PTR, _INT, _PTR, _U32]),
    "lamina_get": (None, [_PTR, _INT, _PTR, _U32]),
    "lamina_input": (None, [_PTR, _SIGNALS, _U32, _PTR, _I64, _U64, _U64, _U64]),
    "lamina_output": (None, [_PTR, _STR, _SIGNALS, _U32, _I64, _U64, _U64, _U64]),
    "lamina_axi_read": (None, [_PTR, _STR, _SIGNALS, c.POINTER(MemorySettings), _U64, _U64]),
    "lamina_run": (_INT, [_PTR, _I64]),
    "lamina_settle": (None, [_PTR]),
    "lamina_edge": (None, [_PTR]),
    "lamina_message": (_STR, [_PTR]),
    "lamina_cycle": (_I64, [_PTR]),
    "lamina_last_transfer": (_I64, [_PTR]),
    "lamina_input_cycles": (_I64, [_PTR, _INT, c.POINTER(_PTR)]),
    "lamina_output_rows": (_I64, [_PTR, _INT, c.POINTER(_PTR), c.POINTER(_PTR)]),
    "lamina_traffic": (
        _I64,
        [_PTR, _INT, c.POINTER(Traffic), c.POINTER(_PTR), c.POINTER(_PTR)],
    ),
}


def load(path: Path) -> c.CDLL:
    """Load a built model. Calls through CDLL release the interpreter lock while they run."""
    library = c.CDLL(str(path))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def view(address: int | None, count: int, dtype: Any) -> NDArray[Any]:
    """Copy ``count`` numbers that the driver owns into an array of ours."""
    if not count or not address:
        return np.zeros(0, dtype)
    raw = (c.c_uint8 * (count * np.dtype(dtype).itemsize)).from_address(address)
    return np.frombuffer(raw, dtype).copy()
