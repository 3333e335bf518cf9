"""Random messages of all kinds, chosen so that every answer is known when they are sent."""

from collections import Counter

from lamina_gen.device.host import ALL, MEM_WR_PTL, Host, line_at
from lamina_sim.golden import store
from lamina_sim.golden.store import device

__all__ = ["Traffic", "random_traffic"]

MEM_INV, MEM_SPEC_RD, MEM_INV_NT = 0, 8, 9


_Block = tuple[int, int]


class Traffic:
    """Random messages that do not depend on the order in which those under way are done.

    No read while a write of its block is, no write while a read of its block or a write of its
    line is. So what golden answers when a message is sent is what the device must answer.
    """

    def __init__(
        self,
        host: Host,
        *,
        hot: int = 6,
        partial: float = 0.2,
        poison: float = 0.01,
        odd: float = 0.05,
        writes: float = 0.4,
        failing: int = 4,
        sweeps: float = 0.1,
    ) -> None:
        self.host, self.rng = host, host.rng
        self.partial, self.poison, self.odd, self.writes = partial, poison, odd, writes
        self.sweeps, self.sweep = sweeps, (host.windows[0], 0)
        # A block is known by where its region begins and its number there.
        self.reading: Counter[_Block] = Counter()
        self.writing: Counter[_Block] = Counter()
        self.lines: set[tuple[_Block, int]] = set()
        self.under_way: dict[int, tuple[str, _Block, int]] = {}
        self.hot = [self._place() for _ in range(hot)]
        self._break_planes(failing)
        host.on_answer = self._answered

    def _place(self) -> _Block:
        window = self.rng.choice(self.host.windows)
        return window.store, self.rng.randrange(window.blocks)

    def _break_planes(self, count: int) -> None:
        """Of ``count`` blocks one plane cannot be read any more, of as many one not be written.

        The first of them are hot.
        """
        broken = []
        for place in (self.hot + [self._place() for _ in range(2 * count)])[: 2 * count]:
            window = next(w for w in self.host.windows if w.store == place[0])
            planes = window.view.format.bits
            at = store.plane_address(
                place[1],
                self.rng.randrange(planes),
                planes,
                blocks_per_row=window.blocks_per_row,
            )
            broken.append(window.store + int(at))
        for memory in (self.host.memory, self.host.golden):
            memory.read_fails = frozenset(broken[::2]).__contains__
            memory.write_fails = frozenset(broken[1::2]).__contains__

    def _answered(self, tag: int) -> None:
        if tag not in self.under_way:
            return
        kind, block, line = self.under_way.pop(tag)
        if kind == "read":
            self.reading[block] -= 1
        else:
            self.writing[block] -= 1
            self.lines.discard((block, line))

    def send(self) -> None:
        """Send one message, if chance has it that one can be sent."""
        rng, host = self.rng, self.host
        if rng.random() < self.odd:
            self._send_odd()
            return
        if rng.random() < self.sweeps:
            self._go_on()
            return
        if rng.random() < 0.05:
            self.hot[rng.randrange(len(self.hot))] = self._place()
        block = rng.choice(self.hot)
        window = rng.choice([w for w in host.windows if w.store == block[0]])
        line = rng.randrange(window.view.lines)
        address = line_at(host, window, block[1], line)
        if rng.random() >= self.writes:
            if self.writing[block]:
                return
            # Lines of a block are mostly read together.
            self._read(window, block, line, rng.choice((1, 1, 4, window.view.lines)))
        elif window.view.kind != "full":
            host.write(address, rng.randbytes(64))
        elif not self.reading[block]:
            self._write(window, block, line)

    def _read(self, window: device.Window, block: _Block, line: int, count: int) -> None:
        for step in range(count):
            at = line_at(self.host, window, block[1], (line + step) % window.view.lines)
            tag = self.host.read(at, self.rng.choice((1, 1, 2)))
            self.under_way[tag] = ("read", block, 0)
            self.reading[block] += 1

    def _go_on(self) -> None:
        """Read the next block of a sweep through a window; at its end, or by chance, another."""
        window, number = self.sweep
        if number == window.blocks or self.rng.random() < 0.05:
            window, number = self.rng.choice(self.host.windows), 0
        if self.writing[window.store, number]:
            return
        self._read(window, (window.store, number), 0, self.rng.choice((1, window.view.lines)))
        self.sweep = window, number + 1

    def _write(self, window: device.Window, block: _Block, line: int) -> None:
        """Some lines of a block that follow each other."""
        rng, host = self.rng, self.host
        for step in range(rng.choice((1, 2, 8))):
            at = (line + step) % window.view.lines
            if (block, at) in self.lines:
                continue
            enable, opcode = ALL, 1
            if rng.random() < self.partial:
                enable, opcode = rng.choice((rng.getrandbits(64), ALL, 1 << 63, 0)), MEM_WR_PTL
            tag = host.write(
                line_at(host, window, block[1], at),
                rng.randbytes(64),
                enable,
                opcode,
                poison=rng.random() < self.poison,
            )
            self.under_way[tag] = ("write", block, at)
            self.writing[block] += 1
            self.lines.add((block, at))

    def _send_odd(self) -> None:
        """What is not mapped, not known, or not for this device."""
        rng, host = self.rng, self.host
        what = rng.randrange(6)
        nowhere = rng.choice((0, host.decoders[0].base, 1 << 51, (1 << 52) - 64))
        last = max(host.windows, key=lambda w: w.base)
        nowhere = rng.choice((nowhere, line_at(host, last, last.blocks, 0)))
        if what == 0:
            host.read(nowhere)
        elif what == 1:
            host.write(nowhere, rng.randbytes(64), rng.getrandbits(64), rng.choice((1, 2)))
        elif what == 2:
            host.read(nowhere, rng.choice((MEM_INV, MEM_INV_NT)))
        elif what == 3:
            host.read(nowhere, rng.choice((3, 4, 5, 6, 7, 10, 11, 15)))
        elif what == 4:
            host.write(nowhere, rng.randbytes(64), opcode=rng.choice((0, 3, 4, 5, 9, 15)))
        else:
            host.read(nowhere, MEM_SPEC_RD)


async def random_traffic(
    host: Host,
    messages: int,
    finish: bool = True,
    depth: int = 40,
    failing: int = 4,
    partial: float = 0.2,
) -> dict[str, int]:
    """Random messages of all kinds, up to ``depth`` waiting at a time; returns the counters.

    Not ``finish``: stops with messages under way. ``failing``, ``partial``: as in `Traffic`.
    """
    traffic = Traffic(host, failing=failing, partial=partial)
    timeout = 0
    while host.answers < messages:
        while len(host.expected) < depth and host.rng.random() < 0.9:
            before = len(host.req.queue) + len(host.rwd.queue)
            traffic.send()
            if len(host.req.queue) + len(host.rwd.queue) == before:
                break
        answers = host.answers
        await host.stepper.step()
        timeout = 0 if host.answers != answers else timeout + 1
        if timeout == 5000:
            break  # Draining says what is lost.
    if not finish:
        return {}
    await host.drain()
    return await host.check()
