"""Drivers, monitors and checkers of Lamina's streams for cocotb benches.

A bench packs and unpacks payloads with the layouts of `lamina.formats`; here a payload is an int.
"""

import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly


async def start(dut, cycles: int = 2):
    """Start the clock and reset ``dut``."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    await reset(dut, cycles)


async def reset(dut, cycles: int = 2):
    """Hold ``rst`` for some cycles."""
    await FallingEdge(dut.clk)
    dut.rst.value = 1
    for _ in range(cycles):
        await FallingEdge(dut.clk)
    dut.rst.value = 0


class Simulator:
    """cocotb's simulator, as our hosts step it."""

    def __init__(self, dut):
        self.clock = dut.clk

    async def settle(self):
        await ReadOnly()

    async def tick(self):
        await FallingEdge(self.clock)


def payloads(layout, columns) -> list[int]:
    """Pack fields, given as arrays over the beats by name, into one integer a beat."""
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [layout.const(dict(zip(columns, row, strict=True))).as_bits() for row in rows]


def fields(layout, beats) -> dict[str, np.ndarray]:
    """Unpack payloads, one integer a beat, into arrays over the beats by field."""
    beats = [layout.from_bits(beat) for beat in beats]
    return {name: np.array([beat[name] for beat in beats]) for name in layout.members}


class Source:
    """Drives the stream ``name`` of ``dut`` with payloads, idle in a share of the cycles."""

    def __init__(self, dut, name: str, idle: float = 0.0, rng: random.Random | None = None):
        self.clock = dut.clk
        self.payload = getattr(dut, f"{name}__payload")
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.idle = idle
        self.rng = rng or random.Random(0)
        self.valid.value = 0

    async def send(self, payloads):
        """Send all ``payloads``; valid, once up, stays until ready, whatever the stream does."""
        for payload in payloads:
            while self.rng.random() < self.idle:
                # What is on the wires of an idle stream must not matter.
                self.payload.value = self.rng.getrandbits(len(self.payload))
                await FallingEdge(self.clock)
            self.payload.value = payload
            self.valid.value = 1
            await ReadOnly()
            while not self.ready.value:
                await FallingEdge(self.clock)
                await ReadOnly()
            await FallingEdge(self.clock)
            self.valid.value = 0


class Sink:
    """Takes payloads from the stream ``name``; checks that a stalled beat is held."""

    def __init__(self, dut, name: str, stall: float = 0.0, rng: random.Random | None = None):
        self.clock = dut.clk
        self.payload = getattr(dut, f"{name}__payload")
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.stall = stall
        self.rng = rng or random.Random(0)
        self.received: list[int] = []
        self.ready.value = 0

    async def receive(self, count: int, timeout: int = 100_000):
        """Return the next ``count`` payloads; fail if that takes over ``timeout`` cycles."""
        wanted = len(self.received) + count
        offered = None
        for _ in range(timeout):
            if len(self.received) == wanted:
                self.ready.value = 0
                return self.received[wanted - count :]
            self.ready.value = int(self.rng.random() >= self.stall)
            await ReadOnly()
            if offered is not None:
                assert self.valid.value, "valid fell before the beat was taken"
                assert int(self.payload.value) == offered, "payload changed while stalled"
            offered = int(self.payload.value) if self.valid.value else None
            if offered is not None and self.ready.value:
                self.received.append(offered)
                offered = None
            await FallingEdge(self.clock)
        raise AssertionError(
            f"only {len(self.received)} of {wanted} beats came in {timeout} cycles"
        )


async def exchange(dut, given, due, idle: float, stall: float, rng: random.Random):
    """Send ``given`` to ``i`` and check that ``due`` comes from ``o``."""
    source, sink = Source(dut, "i", idle, rng), Sink(dut, "o", stall, rng)
    sending = cocotb.start_soon(source.send(given))
    received = await sink.receive(len(due))
    await sending
    assert received == due
