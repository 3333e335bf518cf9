"""The memory behind an AXI4 port of the design."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lamina_sim.verilated import library as lib

__all__ = ["Memory", "threshold"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Memory:
    """Contents and behaviour of a memory.

    Parameters
    ----------
    data
        uint8, one axis, contiguous; byte 0 is at address ``base``. Addresses outside answer DECERR.
    base
        Address of the first byte.
    latency
        Cycles from the acceptance of an address to its first data beat, at least 1. Addresses are
        accepted meanwhile: the memory is pipelined.
    errors
        Address ranges (start, stop), stop excluded, that answer SLVERR. Beats in error carry
        garbage.
    reorder
        Probability with which a beat is taken from another ID than the oldest one that is due;
        within an ID answers keep their order.
    """

    data: NDArray[np.uint8]
    base: int = 0
    latency: int = 1
    errors: Sequence[tuple[int, int]] = ()
    reorder: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.data, np.ndarray) or self.data.dtype != np.uint8:
            raise TypeError("The data of a memory must be a uint8 array.")
        if self.data.ndim != 1 or not self.data.flags.c_contiguous:
            raise ValueError(
                f"The data of a memory must be one contiguous axis, not {self.data.shape}."
            )
        if self.latency < 1:
            raise ValueError(f"The latency of a memory must be at least 1, not {self.latency}.")
        if self.base < 0:
            raise ValueError(f"The base of a memory must be at least 0, not {self.base}.")

    def settings(self, ar_stall: float, r_stall: float) -> lib.MemorySettings:
        """The driver's form of this memory; it borrows ``data``."""
        errors = (lib.AddressRange * len(self.errors))(
            *(lib.AddressRange(*pair) for pair in self.errors)
        )
        return lib.MemorySettings(
            data=self.data.ctypes.data,
            size=self.data.size,
            base=self.base,
            latency=self.latency,
            ar_stall=threshold(ar_stall, "ar stall"),
            r_stall=threshold(r_stall, "r stall"),
            reorder=threshold(self.reorder, "reorder"),
            errors=ctypes.cast(errors, ctypes.POINTER(lib.AddressRange)),
            error_count=len(self.errors),
        )


def threshold(probability: float, name: str) -> int:
    """The driver's form of a probability: 32 bits after the binary point."""
    if not 0 <= probability <= 1:
        raise ValueError(f"{name} must be a probability from 0 to 1, not {probability}.")
    return round(probability * 2**32)
