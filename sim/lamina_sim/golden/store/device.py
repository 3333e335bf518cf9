"""The store as a CXL.mem device: what every message does and how it is answered, one at a time.

Source: SmartQuant's logical spaces behind CXL.mem; docs/modules/store_device.md has the contract.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lamina_sim.golden import _check
from lamina_sim.golden.store._device_map import (
    Decoder,
    Window,
    device_address,
    lines_within,
    planes_within,
)
from lamina_sim.golden.store._formats import LINE_BYTES
from lamina_sim.golden.store._layout import plane_address
from lamina_sim.golden.store._views import read, write

__all__ = ["COUNTERS", "Answer", "Decoder", "Device", "Window", "lines_within", "planes_within"]

MEM_INV, MEM_RD, MEM_RD_DATA, MEM_SPEC_RD, MEM_INV_NT = 0, 1, 2, 8, 9
MEM_WR, MEM_WR_PTL = 1, 2
ALL_BYTES = (1 << LINE_BYTES) - 1

COUNTERS = (
    "reads",
    "writes",
    "invalidates",
    "malformed",
    "unmapped_reads",
    "unmapped_writes",
    "read_only_writes",
    "partial_writes",
    "poisoned_reads",
)


@dataclass(frozen=True)
class Answer:
    """``kind``: "MemData", "MemData-NXM" or "Cmp". ``data``: 64 bytes, None where no data come or
    where they mean nothing because a plane could not be read.
    """

    kind: str
    tag: int
    ld_id: int = 0
    data: bytes | None = None
    poison: bool = False


def _never(_address: int) -> bool:
    return False


class Device:
    """A device over ``memory`` (uint8 [bytes], written in place), one message at a time.

    ``read_fails`` and ``write_fails`` say whether the memory answers the 64 bytes at an address
    with an error; what a failing write leaves there is unknown and here the old bytes.
    ``poison`` maps the address of plane 0 of a block to a mask of its poisoned full-view lines,
    ``overflow`` is the range of blocks that found no place in it, or None. ``counters`` has the
    names in COUNTERS.

    Planes that a view does not read count as zero: a NaN which only they tell from Inf is Inf.
    """

    def __init__(
        self,
        memory: np.ndarray,
        windows: Sequence[Window],
        decoders: Sequence[Decoder],
        *,
        poison_entries: int = 64,
        read_fails: Callable[[int], bool] = _never,
        write_fails: Callable[[int], bool] = _never,
    ) -> None:
        self.memory = _check.array("memory", memory, np.uint8, 1)
        self.windows, self.decoders = tuple(windows), tuple(decoders)
        self.poison_entries = _check.integer("poison_entries", poison_entries, 1)
        self.read_fails, self.write_fails = read_fails, write_fails
        self.poison: dict[int, int] = {}
        self.overflow: tuple[int, int] | None = None
        self.counters: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))

    def request(self, opcode: int, address: int, tag: int, ld_id: int = 0) -> Answer | None:
        """An M2S Req; the answer, None if there is none. Address bits below 6 are ignored."""
        if opcode in (MEM_INV, MEM_INV_NT):
            self.counters["invalidates"] += 1
            return Answer("Cmp", tag, ld_id)
        if opcode not in (MEM_RD, MEM_RD_DATA):
            self.counters["malformed"] += opcode != MEM_SPEC_RD
            return None
        self.counters["reads"] += 1
        found = self._find(address)
        if found is None:
            self.counters["unmapped_reads"] += 1
            return Answer("MemData-NXM", tag, ld_id, b"\xff" * LINE_BYTES)
        window, block, line = found
        data, poison = self._read(window, block, line)
        self.counters["poisoned_reads"] += poison
        return Answer("MemData", tag, ld_id, data, poison)

    def write(
        self,
        opcode: int,
        address: int,
        tag: int,
        data: bytes,
        byte_enable: int = ALL_BYTES,
        *,
        poison: bool = False,
        ld_id: int = 0,
    ) -> Answer | None:
        """An M2S RwD; ``byte_enable`` bit i belongs to byte i and counts for MemWrPtl only."""
        if opcode not in (MEM_WR, MEM_WR_PTL):
            self.counters["malformed"] += 1
            return None
        self.counters["writes"] += 1
        partial = opcode == MEM_WR_PTL and byte_enable != ALL_BYTES
        found = self._find(address)
        if found is None:
            self.counters["unmapped_writes"] += 1
        elif found[0].view.kind != "full":
            self.counters["read_only_writes"] += 1
        else:
            self.counters["partial_writes"] += partial
            self._write(*found, data, byte_enable if partial else ALL_BYTES, poison)
        return Answer("Cmp", tag, ld_id)

    def peek(self, address: int) -> bytes | None:
        """What a read of ``address`` would give now; nothing is counted."""
        found = self._find(address)
        return self._read(*found)[0] if found else b"\xff" * LINE_BYTES

    def _find(self, address: int) -> tuple[Window, int, int] | None:
        inside = device_address(self.decoders, address)
        if inside is None:
            return None
        for window in self.windows:
            place = window.place(inside)
            if place is not None:
                return window, *place
        return None

    def _addresses(self, window: Window, block: int) -> list[int]:
        """Where the planes of a block lie."""
        planes, row = window.view.format.bits, window.blocks_per_row
        where = plane_address(block, np.arange(planes), planes, blocks_per_row=row)
        return [window.store + int(a) for a in where]

    def _planes(self, addresses: Sequence[int]) -> np.ndarray:
        return np.stack([self.memory[a : a + LINE_BYTES] for a in addresses])[None]

    def _read(self, window: Window, block: int, line: int) -> tuple[bytes | None, bool]:
        addresses, view = self._addresses(window, block), window.view
        planes = self._planes(addresses).copy()
        planes[:, view.planes_read :] = 0
        if any(self.read_fails(addresses[p]) for p in planes_within(view, line)):
            return None, True
        mask = self.poisoned_lines(addresses[0])
        poison = any(mask >> source & 1 for source in lines_within(view, line))
        return read(planes, view)[0, line].tobytes(), poison

    def _write(
        self, window: Window, block: int, line: int, data: bytes, enable: int, poison: bool
    ) -> None:
        addresses = self._addresses(window, block)
        key, bit = addresses[0], 1 << line
        if enable != ALL_BYTES:
            old = any(map(self.read_fails, addresses))
            poison = poison or old or bool(self.poisoned_lines(key) & bit)
        if poison:  # Bad data are remembered as bad, not stored.
            self._set_poison(key, bit)
            return
        planes = self._planes(addresses)
        lines = np.zeros((1, window.view.lines, LINE_BYTES), np.uint8)
        lines[0, line] = np.frombuffer(data, np.uint8)
        strobes = np.zeros(lines.shape, np.bool_)
        strobes[0, line] = [enable >> i & 1 for i in range(LINE_BYTES)]
        written = write(planes, window.view, lines, strobes)[0]
        failed = False
        for plane, at in zip(written, addresses, strict=True):
            if self.write_fails(at):
                failed = True
            else:
                self.memory[at : at + LINE_BYTES] = plane
        if failed:
            self._set_poison(key, bit)
        else:
            self._clear_poison(key, bit)

    def poisoned_lines(self, key: int) -> int:
        """Mask of the poisoned full-view lines of the block whose plane 0 is at ``key``."""
        if self.overflow and self.overflow[0] <= key <= self.overflow[1]:
            return (1 << 16) - 1
        return self.poison.get(key, 0)

    def _set_poison(self, key: int, mask: int) -> None:
        if key in self.poison or len(self.poison) < self.poison_entries:
            self.poison[key] = self.poison.get(key, 0) | mask
        else:
            low, high = self.overflow or (key, key)
            self.overflow = (min(low, key), max(high, key))

    def _clear_poison(self, key: int, mask: int) -> None:
        left = self.poison.pop(key, 0) & ~mask
        if left:
            self.poison[key] = left
