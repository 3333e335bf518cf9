"""What a device is told: address windows, HDM decoders, and which lines a view line is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from lamina_sim.golden import _check
from lamina_sim.golden.store._formats import BLOCK, LINE_BYTES, View
from lamina_sim.golden.store._layout import BLOCKS_PER_ROW

DECODER_GRANULE = 1 << 28
WINDOW_GRANULE = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """One HDM decoder: host addresses from ``base`` on, ``size`` bytes, multiples of 256 MiB.

    It maps them to device addresses behind those of the decoders before it, and ``skip``.
    """

    base: int
    size: int
    skip: int = 0

    def __post_init__(self) -> None:
        for name in ("base", "size", "skip"):
            _granular(name, getattr(self, name), DECODER_GRANULE)


@dataclass(frozen=True, kw_only=True)
class Window:
    """One entry of the view table: ``blocks`` blocks seen through ``view`` from ``base`` on.

    ``base`` is a device address, a multiple of 64 KiB. ``store`` is the address in memory of the
    region's first plane, a multiple of ``blocks_per_row`` * 64.
    """

    view: View
    base: int
    blocks: int
    store: int = 0
    blocks_per_row: int = BLOCKS_PER_ROW

    def __post_init__(self) -> None:
        _granular("base", self.base, WINDOW_GRANULE)
        _check.integer("blocks", self.blocks, 1, (1 << 32) - 1)
        rows = _check.integer("blocks_per_row", self.blocks_per_row, 1, 1 << 15)
        if rows & (rows - 1):
            raise ValueError(f"blocks_per_row must be a power of two, not {rows}.")
        _granular("store", self.store, rows * LINE_BYTES)

    def place(self, address: int) -> tuple[int, int] | None:
        """Block and line of a device address, None if the window does not hold it."""
        block, line = divmod((address - self.base) // LINE_BYTES, self.view.lines)
        return (block, line) if 0 <= block < self.blocks else None


def _granular(name: str, value: int, granule: int) -> None:
    if _check.integer(name, value, 0) % granule:
        raise ValueError(f"{name} must be a multiple of {granule}, not {value}.")


def device_address(decoders: Sequence[Decoder], address: int) -> int | None:
    """The device address of a host address, None if no decoder holds it."""
    start = 0
    for decoder in decoders:
        start += decoder.skip
        if decoder.base <= address < decoder.base + decoder.size:
            return start + address - decoder.base
        start += decoder.size
    return None


def lines_within(view: View, line: int) -> range:
    """The lines of the full view whose codes ``line`` of ``view`` holds bits of; may be empty."""
    form = view.format
    if view.kind in ("full", "container"):
        return range(line, line + 1)
    if line >= view.k:
        return range(0)
    if view.kind == "planes":
        return range(form.container_bits)
    line_codes = BLOCK // form.container_bits
    first, last = line * 8 * LINE_BYTES // view.k, ((line + 1) * 8 * LINE_BYTES - 1) // view.k
    return range(first // line_codes, last // line_codes + 1)


def planes_within(view: View, line: int) -> range:
    """The planes of which a failing one spoils ``line`` of ``view``; may be empty."""
    if view.kind in ("packed", "planes") and line >= view.k:
        return range(0)
    if view.kind == "planes" and view.planes_read == view.k:
        return range(line, line + 1)
    return range(view.planes_read)
