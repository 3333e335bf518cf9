"""How fast the device is: single reads, streams of reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from lamina_gen.device.host import GRANULE, Host, Setup, line_at
from lamina_sim.golden import store
from lamina_sim.golden.store import device

__all__ = [
    "Stream",
    "fill",
    "first_line",
    "isolated_beats",
    "lines_of_a_block",
    "plain_setup",
    "setup_of",
    "streaming",
]


def plain_setup(
    kind: str,
    keep: int,
    form: store.Format = store.INT8,
    *,
    blocks: int = 256,
    rounding: str = "truncate",
) -> Setup:
    """One region of one format: its full view and one other."""
    return setup_of([store.View(kind=kind, format=form, keep=keep, rounding=rounding)], blocks)


def setup_of(views: Sequence[store.View], blocks: int = 256) -> Setup:
    """One region: its full view, and others of it."""
    form = views[0].format
    span = -(-blocks * 16 * 64 // (16 * GRANULE)) * 16 * GRANULE
    windows = [
        device.Window(view=view, base=(n + 1) * span, blocks=blocks, store=0)
        for n, view in enumerate([store.View(kind="full", format=form), *views])
    ]
    rows = -(-blocks // windows[0].blocks_per_row) * windows[0].blocks_per_row
    data = bytes(range(256)) * (rows * form.bits // 4)
    size = -(-(len(windows) + 1) * span >> 28) << 28
    return windows, [device.Decoder(base=1 << 30, size=size)], data


def lines_of_a_block(view: store.View) -> int:
    """Lines that a host reads to have a block; those beyond say nothing."""
    return view.k if view.kind in ("planes", "packed") else view.lines


async def fill(host: Host) -> None:
    """Write random codes through all full views."""
    for window in host.windows:
        if window.view.kind == "full":
            for block in range(window.blocks):
                for line in range(window.view.lines):
                    host.write(line_at(host, window, block, line), host.rng.randbytes(64))
    await host.drain(100 * len(host.expected))


async def first_line(host: Host, window: int = 1) -> tuple[int, int]:
    """Cycles from a read taken to its line, and from its first address taken to its beat."""
    seen: dict[str, int] = {}
    host.req.on_taken = lambda cycle: seen.setdefault("taken", cycle)
    host.memory.on_address = lambda cycle: seen.setdefault("address", cycle)
    host.memory.on_beat = lambda cycle: seen.setdefault("beat", cycle)
    for _ in range(20):
        await host.stepper.step()
    tag = host.read(line_at(host, host.windows[window], 3, 0))
    await host.drain()
    return host.answered[tag] - seen["taken"], seen["beat"] - seen["address"]


async def isolated_beats(host: Host, block: int = 7) -> int:
    """Beats that a read of one line of one block takes."""
    before = host.memory.beats
    host.read(line_at(host, host.windows[1], block, 0))
    await host.drain()
    return host.memory.beats - before


@dataclass(frozen=True)
class Stream:
    """A stream of reads of ``lines`` lines, all of some blocks, for which ``beats`` were read.

    ``activations``: rows that memory opened for them.
    ``lines_per_cycle``: after the first quarter of them.
    """

    lines: int
    beats: int
    activations: int
    lines_per_cycle: float

    @property
    def beats_per_cycle(self) -> float:
        """How full the bus from memory is."""
        return self.lines_per_cycle * self.beats / self.lines


async def streaming(
    host: Host, blocks: int = 160, outstanding: int = 1 << 15, number: int = 1
) -> Stream:
    """Read window ``number`` block by block, all lines, up to ``outstanding`` of them at a time."""
    window, rows = host.windows[number], host.memory.rows
    before, opened = host.memory.beats, rows.activations
    tags = []
    for block in range(blocks):
        for line in range(lines_of_a_block(window.view)):
            while len(host.expected) >= outstanding:
                await host.stepper.step()
            tags.append(host.read(line_at(host, window, block, line)))
    await host.drain()
    beats, activations = host.memory.beats - before, rows.activations - opened
    await host.check()
    cycles = sorted(host.answered[tag] for tag in tags)
    skip = len(cycles) // 4
    rate = (len(cycles) - skip) / (cycles[-1] - cycles[skip] + 1)
    return Stream(len(cycles), beats, activations, rate)
