"""Coroutines that the floating-point baselines share: what the handshakes of a lane do."""

import itertools
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from tb.baseline.steps import interleave
from tb.bench import bench_parameters
from tb.streams import Sink, Source, payloads, reset, start


class LaneBench:
    """Checks of a lane against ``golden(a, b)``; ``draw(rng, shape)`` returns ``a`` and ``b``."""

    def __init__(self, golden, draw, lanes=1):
        self.golden, self.draw, self.lanes = golden, draw, lanes
        self.parameters = bench_parameters()

    def vectors(self, rounds, k):
        """Return payloads of the steps and of the sums."""
        p = self.parameters
        rng = np.random.default_rng(random.getrandbits(32))
        a, b = self.draw(rng, (rounds * p.slots, k * self.lanes))
        steps = interleave(a, b, p.slots, self.lanes)
        values = self.golden(a, b)
        sums = {"value": values.view(f"u{values.itemsize}"), "index": np.arange(len(a)) % p.slots}
        return payloads(p.input_layout, steps), payloads(p.ring.output_layout, sums)

    async def stream(self, dut, rounds, k, idle=0.0, stall=0.0):
        """Send groups of ``k`` steps and check the sums."""
        steps, due = self.vectors(rounds, k)
        sending = cocotb.start_soon(Source(dut, "i", idle, random).send(steps))
        received = await Sink(dut, "o", stall, random).receive(len(due))
        await sending
        assert sorted(received) == sorted(due)
        # Sums that wait for a step are overtaken; those of one index stay in order.
        slots, width = self.parameters.slots, self.parameters.ring.format.width
        for index in range(slots):
            assert [payload for payload in received if payload >> width == index] == due[
                index::slots
            ]

    async def grid(self, dut):
        """Every mix of idle input and back-pressure."""
        await start(dut)
        for idle, stall in itertools.product((0.0, 0.3, 0.8), (0.0, 0.5, 0.9)):
            await self.stream(dut, 3, 5, idle, stall)

    async def reset_in_mid_stream(self, dut):
        """What was under way is gone; what comes after is answered as by a fresh lane."""
        await start(dut)
        for fill in (1, 3, 40):
            steps, _ = self.vectors(40, 1)
            Sink(dut, "o")  # holds ready low, so that the lane fills up and stalls
            source = Source(dut, "i")
            sending = cocotb.start_soon(source.send(steps))
            for _ in range(fill):
                await FallingEdge(dut.clk)
            sending.cancel()
            source.valid.value = 0
            await reset(dut)
            assert not dut.o__valid.value
            await self.stream(dut, 2, 4)
