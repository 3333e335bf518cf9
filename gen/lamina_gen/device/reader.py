"""Weights of a model, written to the device in RTL and read from it at the planes of a policy."""

import random

import numpy as np
import numpy.typing as npt

from lamina_gen.device.ends import ByHand, run
from lamina_gen.device.host import Host, line_at
from lamina_gen.device.measure import setup_of
from lamina_sim.golden import store
from lamina_sim.verilated.stepped import Stepped
from lamina_sim.workload.runtime import Region

__all__ = ["Reader"]

#: Messages under way at a time: fewer than there are tags.
_OUTSTANDING = 1 << 15


class Reader:
    """A `Fetch` of a region in a device that is out of reset; view k reads k planes.

    Every line that comes back is compared with the golden device's. Nothing is fetched ahead: the
    blocks behind those of a unit are mostly wanted at other planes. ``cycles`` pass from the first
    message of each fetch to its last answer.
    """

    def __init__(
        self, stepped: Stepped, region: Region, latency: tuple[int, int] = (20, 20)
    ) -> None:
        self.region, self.cycles = region, 0
        views = [region.view(planes) for planes in range(1, region.form.bits + 1)]
        windows, decoders, data = setup_of(views, region.blocks)
        setup = windows, decoders, bytes(len(data))
        self.host = Host(stepped, ByHand(stepped), random.Random(1), setup, latency=latency)
        self._lines: dict[int, bytes] = {}
        self.host.on_line = self._lines.__setitem__
        run(self.host.program())
        run(self.host.write_register("prefetch", 0))

    @property
    def bytes(self) -> int:
        """Read on AXI."""
        return 64 * int(self.host.memory.beats)

    def store(self) -> int:
        """Write all codes through the full view, as the array that they are; return the cycles."""
        form = self.region.form
        full = store.View(kind="full", format=form)
        lines = store.read(self.region.planes, full)
        start = self.host.stepper.cycle
        for block, line in np.ndindex(lines.shape[:2]):
            self._wait(_OUTSTANDING)
            at = line_at(self.host, self.host.windows[0], block, line)
            self.host.write(at, lines[block, line].tobytes())
        return self._finish(start)

    def __call__(self, name: str, keep: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        """Codes int8 [blocks, 512] of a product at the planes [units] of its units."""
        placed, start = self.region.placed[name], self.host.stepper.cycle
        reads, tags = self.region.reads(name, keep), []
        for block, planes in reads:
            self._wait(_OUTSTANDING)
            window = self.host.windows[planes]
            tags.append(
                [self.host.read(line_at(self.host, window, block, p)) for p in range(planes)]
            )
        self.cycles += self._finish(start) if reads else 0
        tiles = np.zeros((placed.blocks, 512), np.int8)
        for (block, _), of_block in zip(reads, tags, strict=True):
            lines = b"".join(self._lines.pop(tag) for tag in of_block)
            read = np.frombuffer(lines, np.uint8).reshape(1, -1, 64)
            tiles[block - placed.first] = self.region.codes_of(read)[0]
        return tiles

    def _wait(self, most: int) -> None:
        while len(self.host.expected) >= most:
            run(self.host.stepper.step())

    def _finish(self, start: int) -> int:
        """Step until all is answered; the cycles since ``start``."""
        self._wait(1)
        cycles = self.host.stepper.cycle - start
        run(self.host.drain())
        return cycles
