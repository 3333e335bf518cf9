"""What reads of bit-planes cost in DRAM: bursts, row activations, and their energy in DDR5.

Sources: currents of Micron's 16 Gb DDR5 SDRAM, die revision D, x8, DDR5-6400 (its data sheet, table
of IDD and IPP limits); the method is that of Micron's TN-40-07, "Calculating memory power for DDR4
SDRAM". An activation is what IDD0 takes over IDD2N for a row cycle: IDD3N of DDR5, with all 32
banks open, is more than IDD0, with one. Refresh, standby and termination are not in it: they pass
with time, not with accesses.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["BURST_BYTES", "Accesses", "Ddr5", "OpenRows", "stream"]

BURST_BYTES = 64


@dataclass(frozen=True)
class Accesses:
    """``bursts`` of 64 bytes and ``activations`` of rows."""

    bursts: int
    activations: int

    @property
    def bytes(self) -> int:
        """Bytes moved."""
        return BURST_BYTES * self.bursts


@dataclass(frozen=True, kw_only=True)
class Ddr5:
    """A module of x8 devices; currents in mA, volts, nanoseconds.

    A burst of 64 bytes comes from the four devices of a subchannel; a row of 8 KiB is 1 KiB in each
    of the eight devices of both.
    """

    vdd: float = 1.1
    vpp: float = 1.8
    idd0: float = 53.0
    idd2n: float = 49.0
    idd3n: float = 111.0
    idd4r: float = 286.0
    ipp0: float = 9.0
    ipp2n: float = 7.0
    ipp3n: float = 8.0
    ipp4r: float = 10.0
    clock: float = 0.312
    row_cycle: float = 0.312 * (102 + 52)
    burst_devices: int = 4
    row_devices: int = 8

    @property
    def burst_pj(self) -> float:
        """A burst of 16 beats, which takes 8 clocks, from an open row."""
        power = self.vdd * (self.idd4r - self.idd3n) + self.vpp * (self.ipp4r - self.ipp3n)
        return self.burst_devices * power * 8 * self.clock

    @property
    def activation_pj(self) -> float:
        """Opening a row of 8 KiB, and closing it."""
        power = self.vdd * (self.idd0 - self.idd2n) + self.vpp * (self.ipp0 - self.ipp2n)
        return self.row_devices * power * self.row_cycle

    def energy_pj(self, accesses: Accesses) -> float:
        """Of what reads do; mW times ns are pJ."""
        return accesses.bursts * self.burst_pj + accesses.activations * self.activation_pj


@dataclass
class OpenRows:
    """Counts activations of accesses in their order: a row stays open until its bank needs another.

    Rows of ``row_bytes`` that follow each other lie in different ones of ``banks``.
    """

    row_bytes: int = 8192
    banks: int = 32
    activations: int = 0
    _open: dict[int, int] = field(default_factory=dict)

    def access(self, address: int) -> None:
        """One burst at ``address``."""
        row = address // self.row_bytes
        if self._open.get(row % self.banks) != row:
            self._open[row % self.banks] = row
            self.activations += 1

    def all(self, addresses: Iterable[int]) -> int:
        """Activations of ``addresses``, one after the other."""
        before = self.activations
        for address in addresses:
            self.access(address)
        return self.activations - before


def stream(keep: int, blocks: int, blocks_per_row: int = 128) -> Accesses:
    """Return what reading ``keep`` planes of ``blocks`` blocks of a region in order costs.

    Rows of planes, R blocks each, are opened once: each burst brings 64 bytes of one of them.
    """
    rows_of_plane = -(-blocks // blocks_per_row)
    return Accesses(keep * blocks, keep * rows_of_plane)
